"""Degraded inputs from files beside their ground truths: found by name, checked by size, restored by any model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.mat_files import read_mat
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.reading import read_results
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks.super_resolution import downscale
from conftest import ROI_OF_TESTS, make_config, photograph, run_main, write_config

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "CEM_Demo" / "test_images" / "Test1" / "demo_2.png"

DEGRADE = """
import numpy as np

def darken(patch, random):
    return (patch // 2 + random.integers(0, 20, patch.shape)).astype(np.uint8)

def fail(patch, random):
    return patch[0] @ np.zeros(7)

def real(patch, random):
    return patch / 255

def half(patch, random):
    return patch[::2]

def nothing(patch, random):
    pass
"""


def blurred(image: UInt8Image) -> UInt8Image:
    """Out of focus and grainy, as a camera might leave it."""
    grain = np.random.default_rng(0).normal(0, 4, image.shape)
    return np.asarray((cv2.GaussianBlur(image, (0, 0), 1.5) + grain).clip(0, 255), dtype=np.uint8)


@pytest.fixture
def paired(tmp_path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """A config of ``Tiny`` on a blurred input of the 40 x 32 image, and a file of degradations."""
    (tmp_path / "inputs").mkdir()
    Image.fromarray(blurred(photograph(32, 40))).save(tmp_path / "inputs" / "photo_1.png")
    (tmp_path / "degrade.py").write_text(DEGRADE)
    del settings["sr"]
    return settings | {"task": "PAIR", "input_path": str(tmp_path / "inputs")}


def compute(config: Config) -> None:
    compute_effects(prepare(config))


def crop_of_demo(side: int) -> UInt8Image:
    return read_image(SHIPPED)[96 : 96 + side, 96 : 96 + side]


def test_a_blurred_image_goes_through_both_scripts(tmp_path: Path) -> None:
    truth = crop_of_demo(32)
    for folder, image in (("truth", truth), ("inputs", blurred(truth))):
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / f"crop.{'png' if folder == 'truth' else 'bmp'}")
    (tmp_path / "degrade.py").write_text(DEGRADE)
    settings = yaml.safe_load((ROOT / "demo-DN_CEM.yml").read_text())
    del settings["sr"]
    settings |= {
        "task": "PAIR",
        "Modellist": ["SRResNet_DN@Demo"],
        "Imagelist": ["crop.png"],
        "TextImg_path": str(tmp_path / "truth"),
        "input_path": str(tmp_path / "inputs"),
        "output_dir": str(tmp_path / "out"),
        "device": "cpu",
        "degradation": f"{tmp_path / 'degrade.py'}:darken",
        "w": 16,
        "h": 8,
        "ROI_size": 8,
        "coarse_num": 1,
        "fine_num": 1,
    }
    config = write_config(tmp_path, settings)
    for script in ("demo_causal_effect_calculation.py", "demo_CEM_generation.py"):
        done = subprocess.run(
            [sys.executable, script, "--config", str(config)], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    run = tmp_path / "out" / "PAIR-CEM" / "DEMO-R8M8"
    np.testing.assert_array_equal(read_image(run / "crop.png-truth.png"), truth)
    np.testing.assert_array_equal(read_image(run / "crop.png-input.png"), blurred(truth))
    assert (run / "SRResNet_DN@Demo" / "PAIR_crop.png-Origin.png").is_file()
    report = (tmp_path / "out" / "PAIR_DEMO_Result.html").read_text()
    for expected in ("paired images", "Input, as given", "Ground truth", "input_sha256", "degradation_sha256", "sr: 1"):
        assert expected in report
    assert "Degraded input" not in report


@pytest.mark.parametrize(("scale", "model"), [(4, "EDSR@Demo"), (2, "Tiny"), (1, "Tiny")])
def test_inputs_that_sr_makes_give_the_numbers_of_sr(
    tmp_path: Path, paired: dict[str, Any], monkeypatch: pytest.MonkeyPatch, scale: int, model: str
) -> None:
    if model != "Tiny":
        monkeypatch.undo()  # the bundled weights instead of the test's folder
    truth = crop_of_demo(32)
    Image.fromarray(truth).save(tmp_path / "images" / "photo_1.png")
    Image.fromarray(downscale(truth, scale)).save(tmp_path / "inputs" / "photo_1.png")
    paired |= {"Modellist": [model]}
    pair = make_config(tmp_path, paired)
    assert pair.sr == scale
    unpaired = {key: value for key, value in paired.items() if key != "input_path"}
    found, expected = (
        read_results(result_paths(config, model, "photo_1.png", ROI_OF_TESTS))
        for config in (pair, make_config(tmp_path, unpaired, task="SR", sr=scale))
        if compute(config) is None
    )
    assert found.origin == expected.origin
    np.testing.assert_array_equal(found.rounds["coarse"].values, expected.rounds["coarse"].values)
    assert "fine" in expected.rounds and "fine" in found.rounds
    np.testing.assert_array_equal(found.rounds["fine"].values, expected.rounds["fine"].values)


def test_patches_are_pasted_as_they_are(tmp_path: Path, paired: dict[str, Any]) -> None:
    scene = prepare(make_config(tmp_path, paired)).posed_images[0].scene
    patches = np.random.RandomState(0).randint(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    found = scene.degrade_patches(patches, np.zeros((3, 2), int), np.arange(3, dtype=np.uint64))
    np.testing.assert_array_equal(found, patches)
    np.testing.assert_array_equal(scene.degraded, blurred(photograph(32, 40)))
    np.testing.assert_array_equal(scene.ground_truth, photograph(32, 40))


def test_a_degradation_of_ones_own_draws_from_the_plan_alone(tmp_path: Path, paired: dict[str, Any]) -> None:
    paired["degradation"] = f"{tmp_path / 'degrade.py'}:darken"
    scene = prepare(make_config(tmp_path, paired)).posed_images[0].scene
    patches = np.full((3, 8, 8, 3), 200, dtype=np.uint8)
    seeds, corners = np.array([5, 6, 5], np.uint64), np.zeros((3, 2), int)
    found = scene.degrade_patches(patches, corners, seeds)
    assert ((found >= 100) & (found < 120)).all()
    np.testing.assert_array_equal(found[0], found[2])
    assert (found[0] != found[1]).any()
    np.testing.assert_array_equal(found[1:2], scene.degrade_patches(patches[:1], corners[:1], seeds[1:2]))
    results = []
    for batch_size in (1, 7):
        config = make_config(tmp_path, paired, batch_size=batch_size, prefix=f"B{batch_size}", inference="dense")
        compute(config)
        results.append(read_results(result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS)).rounds["coarse"].values)
    np.testing.assert_allclose(*results, atol=5e-3)


def test_input_and_degradation_are_provenance(tmp_path: Path, paired: dict[str, Any]) -> None:
    paired["load_previous"] = 1
    config = make_config(tmp_path, paired)
    compute(config)
    source = tmp_path / "degrade.py"
    with pytest.raises(InputError, match="degradation was not recorded, is now darken; degradation_sha256"):
        compute(make_config(tmp_path, paired, degradation=f"{source}:darken"))
    compute(make_config(tmp_path, paired, degradation=f"{source}:darken", prefix="DARK"))
    config_with_it = make_config(tmp_path, paired, prefix="DARK")
    manifest = read_manifest(result_paths(config_with_it, "Tiny", "photo_1.png", ROI_OF_TESTS))
    assert manifest is not None and manifest.provenance["degradation"] == "darken"
    source.write_text(DEGRADE.replace("0, 20", "0, 30"))
    with pytest.raises(InputError, match=r"differently: degrade\.py was \w+\.\.\., is now"):
        compute(make_config(tmp_path, paired, degradation=f"{source}:darken", prefix="DARK"))
    Image.fromarray(photograph(32, 40)).save(tmp_path / "inputs" / "photo_1.png")
    with pytest.raises(InputError, match="differently: .*input_sha256 was"):
        compute(config)


# The file in place of DEGRADE, the key's value, what the line says.
MISTAKES: list[tuple[str, str, str]] = [
    ("", "", "degradation: '' does not name a class or function of a Python file; write FILE.py:NAME"),
    ("", "{}", "does not name a class or function of a Python file"),
    ("", "none.py:blur", "degradation: there is no file none.py"),
    ("", "{}:blur", "has no class or function blur; it has darken, fail"),
    ("", "{}:np", "has no class or function np"),
    ("", "{}:fail", "degrade.py, line 8: ValueError: matmul"),
    ("", "{}:real", "degrade.py:real returned float64 (8, 8, 3); it must return uint8 (8, 8, 3), like the patch"),
    ("", "{}:half", "degrade.py:half returned uint8 (4, 8, 3)"),
    ("", "{}:nothing", "degrade.py:nothing returned NoneType, not a NumPy array"),
    ("def darken(:", "{}:darken", "degrade.py, line 1: SyntaxError: invalid syntax"),
    ("import nonesuch", "{}:darken", "degrade.py, line 1: ModuleNotFoundError: No module named 'nonesuch'"),
    ("raise SystemExit", "{}:darken", "degrade.py, line 1: SystemExit"),
]


def message_of(capsys: pytest.CaptureFixture[str], folder: Path, settings: dict[str, Any]) -> str:
    """The one line in which a run ends."""
    assert run_main("demo_causal_effect_calculation.py", "--config", str(write_config(folder, settings))) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    assert not (folder / "out").exists()
    return message


@pytest.mark.parametrize(("source", "word", "expected"), MISTAKES, ids=[case[2][:40] for case in MISTAKES])
def test_mistakes_in_a_degradation_end_in_one_line(
    tmp_path: Path,
    paired: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    source: str,
    word: str,
    expected: str,
) -> None:
    if source:
        (tmp_path / "degrade.py").write_text(source)
    paired["degradation"] = word.format(tmp_path / "degrade.py")
    assert expected in message_of(capsys, tmp_path, paired)


def test_a_degradation_that_fails_midway_keeps_what_is_done(
    tmp_path: Path, paired: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("CEM_Demo.run.ledger.SECONDS_BETWEEN_SAVES", -1)
    source = (
        "calls = []\n\ndef tire(patch, random):\n    calls.append(1)\n    assert len(calls) < 20\n    return patch\n"
    )
    (tmp_path / "degrade.py").write_text(source)
    config = make_config(tmp_path, paired, degradation=f"{tmp_path / 'degrade.py'}:tire", batch_size=4)
    with pytest.raises(InputError, match=r"degrade\.py, line 5: AssertionError"):
        compute(config)
    paths = result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS)
    manifest = read_manifest(paths)
    assert manifest is not None and manifest.rounds["coarse"].counts_of((4, 5)).sum() == 16
    assert np.count_nonzero(read_mat(paths.coarse)) == 16


@pytest.mark.parametrize(
    ("shape", "changes", "expected"),
    [
        ((16, 20), {"sr": 4}, "sr: photo_1.png is 2 times as large as its input"),
        ((16, 20), {"mask_block_size": 5, "ROI_size": 5}, "mask_block_size 5 is not a multiple of sr 2; try 4"),
        ((16, 20), {}, "the images are of scale 2"),
        ((16, 21), {}, "photo_1.png is 40 x 32 pixels and its input"),
        ((16, 40), {}, "both sides must be 1, 2, 3, 4 or 8 times as long"),
        ((64, 80), {}, "both sides must be"),
    ],
)
def test_sizes_that_do_not_fit_are_named(
    tmp_path: Path,
    paired: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    shape: tuple[int, int],
    changes: dict[str, Any],
    expected: str,
) -> None:
    monkeypatch.undo()
    Image.fromarray(photograph(*shape)).save(tmp_path / "inputs" / "photo_1.png")
    paired["Modellist"] = ["DnCNN@Demo"]
    if "sr" in changes:
        paired["Modellist"] = ["EDSR@Demo"]
    assert expected in message_of(capsys, tmp_path, paired | changes)


def test_every_pair_has_the_scale_of_the_first(tmp_path: Path, paired: dict[str, Any]) -> None:
    Image.fromarray(photograph(32, 40)).save(tmp_path / "images" / "photo_2.png")
    Image.fromarray(photograph(16, 20)).save(tmp_path / "inputs" / "photo_2.png")
    config = make_config(tmp_path, paired, Imagelist=["photo_1.png", "photo_2.png"])
    with pytest.raises(InputError, match=r"sr: photo_2\.png is 2 times as large as its input .*, but sr is 1"):
        prepare(config)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["photo_1.jpg"], None),
        (["photo_1.jpg", "photo_1.txt", "photo_11.jpg"], None),
        (["photo_1.png", "photo_1.jpg"], None),
        (["photo_1.jpg", "photo_1.bmp"], "several inputs for photo_1.png: photo_1.bmp, photo_1.jpg; keep one"),
        (["photo_2.png"], "no input for photo_1.png; an input has the same name or stem; there: photo_2.png"),
        ([], "there: no images"),
    ],
)
def test_inputs_are_found_by_name(
    tmp_path: Path, paired: dict[str, Any], names: list[str], expected: str | None
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    for name in names:
        if name.endswith(".txt"):
            (folder / name).write_text("notes")
        else:
            Image.fromarray(photograph(32, 40)).save(folder / name)
    if expected is None:
        config = make_config(tmp_path, paired, input_path=str(folder))
        assert prepare(config).posed_images[0].scene.degraded.shape == (32, 40, 3)
    else:
        with pytest.raises(InputError, match=expected):
            make_config(tmp_path, paired, input_path=str(folder))
