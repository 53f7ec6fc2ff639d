"""Degraded images equal the published ones bit for bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from CEM_Demo.images import read_image
from CEM_Demo.tasks import DEGRADED_SUFFIX, Degradation, make_scene
from CEM_Demo.tasks.deraining import add_rain, make_rain

GOLDEN = Path(__file__).parents[2] / "shared" / "golden_pipeline"
RUNS = [("sr_fsrcnn", "SR", 4), ("dn_dncnn", "DN", 1), ("dr_srresnet", "DR", 1)]
RUNS += [("resume_sr_coarse", "SR", 4), ("resume_dn_fine", "DN", 1)]

needs_goldens = pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs the recorded runs in ../shared/golden_pipeline")


@needs_goldens
@pytest.mark.parametrize(("run", "task", "scale"), RUNS)
def test_degraded_crops_equal_the_recorded_ones(run: str, task: str, scale: int) -> None:
    for image_path in sorted((GOLDEN / run / "images").glob("demo_*.png")):
        if image_path.name.count(".png") > 1:
            continue
        scene = make_scene(Degradation(task, scale), read_image(image_path), image_path.name)
        recorded = GOLDEN / run / "degraded" / f"{image_path.name}-{DEGRADED_SUFFIX[task]}.png"
        np.testing.assert_array_equal(scene.degraded, read_image(recorded))


@needs_goldens
def test_rain_on_full_images_equals_the_recorded_one() -> None:
    for number in (1, 2, 3):
        recorded = np.load(GOLDEN / "degrade_full" / "DR" / f"demo_{number}.png-rain.npz")
        rain = make_rain(256, 256, number)
        assert rain.opacity == float(recorded["beta"])
        np.testing.assert_array_equal(rain.layer, recorded["rain_layer"])


@needs_goldens
@pytest.mark.parametrize("kind", ["small", "medium", "large", "random"])
def test_rain_of_every_kind_equals_the_recorded_digests(kind: str) -> None:
    cases = [case for case in json.loads((GOLDEN / "rain.json").read_text())["cases"] if case["kind"] == kind]
    assert len(cases) == 40
    for case in cases:
        image = ramps(case["height"], case["width_px"])
        rain = make_rain(*image.shape[:2], case["seed"], kind)
        assert rain.opacity == case["beta"]
        assert digest(rain.layer) == case["layer_sha256"], case
        assert digest(add_rain(image, rain.layer, rain.opacity)) == case["rained_sha256"], case


def ramps(height: int, width: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    rows, columns = np.mgrid[:height, :width]
    channels = [3 * rows + 5 * columns, 7 * rows + columns, rows * columns]
    return (np.stack(channels, axis=2) % 256).astype(np.uint8)


def digest(image: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    return hashlib.sha256(image.tobytes()).hexdigest()
