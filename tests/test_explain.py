"""The Python interface gives the numbers that a run from a config gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from CEM_Demo.errors import InputError
from CEM_Demo.explain import Settings, explain, explain_rois
from CEM_Demo.geometry import ROI
from CEM_Demo.images import read_image
from CEM_Demo.method.effect_map import make_effect_map
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.ModelZoo import load_network
from CEM_Demo.results.cache import read_effects
from CEM_Demo.results.paths import result_paths
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks import Degradation
from conftest import ROI_OF_TESTS, make_config


@pytest.fixture
def image(settings: dict[str, Any]) -> np.ndarray:
    return read_image(Path(settings["TextImg_path"]) / "photo_1.png")


@pytest.fixture
def as_in_config(settings: dict[str, Any]) -> Settings:
    return Settings(coarse_num=2, fine_num=3, bank=load_bank(Path(settings["patch_path"])), device="cpu")


@pytest.mark.parametrize("task", ["DN", "DR"])
def test_numbers_are_those_of_a_run(
    tmp_path: Path, settings: dict[str, Any], image: np.ndarray, as_in_config: Settings, task: str
) -> None:
    config = make_config(tmp_path, settings, task=task)
    compute_effects(prepare(config))
    stored = read_effects(result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS))
    found = explain(load_network("Tiny", task), image, ROI_OF_TESTS, Degradation(task), as_in_config, "photo_1.png")
    expected = make_effect_map(stored.origin, stored.coarse, stored.fine, config.tol, found.effect_map.roi)
    assert found.origin == stored.origin
    np.testing.assert_array_equal(found.effects, expected.effects)
    np.testing.assert_array_equal(found.interventions, expected.interventions)
    assert found.reach.shape == (4, 5)


def test_several_rois_come_in_their_order(settings: dict[str, Any], image: np.ndarray, as_in_config: Settings) -> None:
    network, rois = load_network("Tiny", "DN"), [ROI(24, 0, 16, 8), ROI_OF_TESTS]
    several = explain_rois(network, image, rois, Degradation("DN"), as_in_config)
    assert [one.roi for one in several] == rois
    alone = explain(network, image, ROI_OF_TESTS, Degradation("DN"), as_in_config)
    np.testing.assert_allclose(several[1].effects, alone.effects, atol=1e-6)


def test_the_figure_shows_the_image_and_the_map(
    tmp_path: Path, settings: dict[str, Any], image: np.ndarray, as_in_config: Settings
) -> None:
    found = explain(load_network("Tiny", "DN"), image, ROI_OF_TESTS, Degradation("DN"), as_in_config)
    figure = found.figure()
    assert [axes.get_ylabel() for axes in figure.axes] == ["", "", "effect (dB)"]
    figure.savefig(tmp_path / "map.png")
    assert read_image(tmp_path / "map.png").std() > 0


def test_mistakes_are_named(settings: dict[str, Any], image: np.ndarray, as_in_config: Settings) -> None:
    network = load_network("Tiny", "DN")
    with pytest.raises(InputError, match=r"16x16\+30\+0 reaches out of the image of 40 x 32"):
        explain(network, image, ROI.square(30, 0, 16), Degradation("DN"), as_in_config)
    with pytest.raises(InputError, match="no multiple of the scale 4"):
        explain(network, image, ROI_OF_TESTS, Degradation("SR", scale=4), Settings(block=6))
    with pytest.raises(InputError, match="the network: its scale is 4, not 2"):
        explain(nn.Upsample(scale_factor=4), image, ROI_OF_TESTS, Degradation("SR", scale=2), as_in_config)
