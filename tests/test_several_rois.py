"""Several ROIs of an image share the work, and get the effects that each would get alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.inference.choice import choose_inference
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.ModelZoo import build_network
from CEM_Demo.report.report import make_report
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.reading import Results, read_results
from CEM_Demo.run import ledger
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.preparation import prepare
from conftest import make_config, photograph

BOXES = [
    {"left": 8, "top": 8, "width": 16, "height": 16},
    {"left": 20, "top": 4, "width": 9, "height": 5},
    {"left": 0, "top": 24, "width": 16, "height": 8},
    {"left": 32, "top": 0, "width": 8, "height": 32},
]
CPU = torch.device("cpu")


def config_with(folder: Path, settings: dict[str, Any], rois: Any, **changes: Any) -> Config:
    others = {key: value for key, value in settings.items() if key not in ("w", "h", "ROI_size")}
    return make_config(folder, others, rois=rois, **changes)


def stored(config: Config, roi: ROI) -> Results:
    return read_results(result_paths(config, "Tiny", "photo_1.png", roi))


@pytest.mark.parametrize("inference", ["dense", "incremental"])
def test_four_rois_equal_four_single_runs(tmp_path: Path, settings: dict[str, Any], inference: str) -> None:
    together = config_with(tmp_path, settings, BOXES, inference=inference, prefix="together")
    compute_effects(prepare(together))
    for box, roi in zip(BOXES, together.rois_of("photo_1.png"), strict=True):
        alone = config_with(tmp_path, settings, [box], inference=inference, prefix="alone")
        compute_effects(prepare(alone))
        found, expected = stored(together, roi), stored(alone, roi)
        assert found.origin == expected.origin
        np.testing.assert_allclose(found.rounds["coarse"].values, expected.rounds["coarse"].values, atol=1e-6)
        assert "fine" in found.rounds and "fine" in expected.rounds
        np.testing.assert_allclose(found.rounds["fine"].values, expected.rounds["fine"].values, atol=1e-6)
        assert found.manifest is not None and expected.manifest is not None
        assert found.manifest.reach == expected.manifest.reach
        assert found.manifest.rounds == expected.manifest.rounds


def test_a_square_of_the_list_equals_the_one_box_form(tmp_path: Path, settings: dict[str, Any]) -> None:
    listed, single = config_with(tmp_path, settings, BOXES[:1]), make_config(tmp_path, settings)
    compute_effects(prepare(listed))
    compute_effects(prepare(single))
    roi = ROI.square(8, 8, 16)
    np.testing.assert_array_equal(
        stored(listed, roi).rounds["coarse"].values, stored(single, roi).rounds["coarse"].values
    )
    run_folders = {path.name for path in (tmp_path / "out" / "DN-CEM").iterdir() if path.is_dir()}
    assert run_folders == {"TEST-R16x16+8+8M8", "TEST-R16M8"}


def test_an_roi_added_later_leaves_the_finished_ones_alone(tmp_path: Path, settings: dict[str, Any]) -> None:
    before = config_with(tmp_path, settings, BOXES[:1])
    compute_effects(prepare(before))
    finished = result_paths(before, "Tiny", "photo_1.png", ROI.square(8, 8, 16)).manifest.read_bytes()
    after = config_with(tmp_path, settings, BOXES[:2], load_previous=1)
    compute_effects(prepare(after))
    assert result_paths(after, "Tiny", "photo_1.png", ROI.square(8, 8, 16)).manifest.read_bytes() == finished
    assert stored(after, after.rois_of("photo_1.png")[1]).rounds["coarse"].values.all()


@pytest.mark.parametrize("inference", ["dense", "incremental"])
def test_an_interrupted_run_ends_with_the_same_effects(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, inference: str
) -> None:
    monkeypatch.setattr(ledger, "SECONDS_BETWEEN_SAVES", 0.0)
    settings |= {"batch_size": 7, "inference": inference}
    whole = config_with(tmp_path, settings, BOXES, prefix="whole")
    compute_effects(prepare(whole))
    broken = config_with(tmp_path, settings, BOXES, prefix="broken", load_previous=1)
    measure = Experiment.measure_all
    for most in (2, 5, 3):
        calls = 0

        def limited(self: Experiment, batch: Any, most: int = most) -> Any:
            nonlocal calls
            calls += 1
            if calls > most:
                raise KeyboardInterrupt
            return measure(self, batch)

        monkeypatch.setattr(Experiment, "measure_all", limited)
        with pytest.raises(KeyboardInterrupt):
            compute_effects(prepare(broken))
    monkeypatch.setattr(Experiment, "measure_all", measure)
    compute_effects(prepare(broken))
    for roi in whole.rois_of("photo_1.png"):
        found, expected = stored(broken, roi), stored(whole, roi)
        np.testing.assert_array_equal(found.rounds["coarse"].values, expected.rounds["coarse"].values)
        assert "fine" in found.rounds and "fine" in expected.rounds
        np.testing.assert_array_equal(found.rounds["fine"].values, expected.rounds["fine"].values)
        assert found.manifest is not None and found.manifest.rounds == expected.manifest.rounds


def test_images_may_have_rois_of_their_own_and_the_report_shows_all(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = config_with(tmp_path, settings, {"photo_1.png": BOXES[:2]})
    compute_effects(prepare(config))
    page = make_report(config).read_text()
    assert "ROI 16 &times; 16 at column 8, row 8" in page
    assert "ROI 9 &times; 5 at column 20, row 4" in page
    assert page.count('aria-label="causal effect map of Tiny on photo_1.png') == 2


def test_near_rois_share_a_cone_and_far_ones_do_not() -> None:
    net = build_network("IRCNN", "DN").eval()
    image = photograph(160, 160)
    near, next_to_it, far = ROI(24, 24, 8, 8), ROI(32, 24, 8, 12), ROI(136, 140, 8, 8)
    shares = choose_inference(net, image, [near, next_to_it, far], 8, CPU)
    assert {shared.rois for shared in shares} == {(near, next_to_it), (far,)}
    corners = np.argwhere(np.ones((20, 20))) * 8
    for shared in shares:
        for roi, reached in zip(shared.rois, shared.reached, strict=True):
            (alone,) = choose_inference(net, image, [roi], 8, CPU)
            np.testing.assert_array_equal(reached, alone.inference.reaches(corners))
    dense = choose_inference(net, image, [near, far], 8, CPU, "dense")
    assert [type(shared.inference) for shared in dense] == [DenseInference]
    assert dense[0].hull == ROI(24, 24, 120, 124)


@pytest.mark.parametrize(
    ("rois", "complaint"),
    [
        ([], "no box is given for photo_1.png"),
        ([{"left": 0, "top": 0, "width": 8}], "rois.0.height"),
        ([{"left": 0, "top": 0, "width": 8, "height": 0}], "rois.0.height"),
        ([{"left": 0, "top": 0, "width": 8, "hight": 8}], "rois.0"),
        ([BOXES[0], dict(BOXES[0])], "same box twice"),
        ({"photo_2.png": BOXES}, "is in .* only"),
        ([{"left": 36, "top": 0, "width": 8, "height": 8}], "rois: .*reaches out of photo_1.png"),
        ("8x8+0+0", "rois"),
    ],
)
def test_bad_boxes_are_named(tmp_path: Path, settings: dict[str, Any], rois: Any, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        prepare(config_with(tmp_path, settings, rois))


def test_boxes_and_the_one_box_form_exclude_each_other(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="rois takes the place of w, h, ROI_size"):
        make_config(tmp_path, settings, rois=BOXES)
    del settings["h"]
    with pytest.raises(InputError, match="the key h is missing"):
        make_config(tmp_path, settings)


def test_lines_and_bars_say_which_roi_they_are_of(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config = config_with(tmp_path, settings, BOXES[:2], inference="dense")
    compute_effects(prepare(config))
    both = "Tiny photo_1.png, ROI 16x16+8+8 and 9x5+20+4"
    printed = capsys.readouterr().err
    assert f"{both} coarse" in printed and f"{both} fine" in printed
    make_report(config)
    printed = caplog.text
    for roi in config.rois_of("photo_1.png"):
        assert f"Tiny on photo_1.png, ROI {roi}: effects from" in printed
