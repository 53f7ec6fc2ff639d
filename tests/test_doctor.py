"""``python -m CEM_Demo.networks`` says what a network is, what it allows, and how long its maps take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.networks.__main__ import main
from CEM_Demo.run import timing
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.preparation import inferences_for, prepare
from CEM_Demo.run.timing import Duration, predict_seconds, readable
from conftest import make_config, photograph

OWN_NETWORKS = """
import torch
from torch import nn

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, image):
        features = self.first(image)
        return image + 0.1 * self.last(features * torch.sigmoid(nn.functional.adaptive_avg_pool2d(features, 1)))

class Branching(nn.Module):
    def forward(self, image):
        return image * 1.0 if image.sum() > 0 else image * 2.0

class Wide(nn.Module):
    def forward(self, image):
        return image.repeat(1, 1, 1, 3)
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "photo_1.png"
    Image.fromarray(photograph(44, 50)).save(path)
    return path


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(OWN_NETWORKS)
    return path


def test_a_local_network(tiny_model: str, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{tiny_model}@Base", "--task", "DN", "--image", str(image), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Tiny@Base: Tiny, x1, 223 parameters, from ")
    assert "torch.export flattens the network" in lines[1]
    assert "2 pixels of the input around it" in lines[2] and "of 30 blocks can change it" in lines[2]
    assert "G dense" in lines[3] and "G incremental" in lines[3]
    assert lines[4].startswith("a map of 48 x 40 pixels, ROI 32, block 8, 3 + 50 draws")
    assert lines[5].startswith("dense: ") and lines[6].startswith("incremental: ")
    assert all("per intervention, " in line and "MiB in batches of" in line for line in lines[5:7])
    assert lines[7].startswith("inference: auto takes ")


def test_a_network_that_sees_the_whole_image(own: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"{own}:Attention", "--task", "DN", "--image", str(image)]) == 0
    said = capsys.readouterr().out
    assert "the ROI sees 100% of the image; computed on whole maps: adaptive_avg_pool2d" in said


def test_a_mistake_ends_with_one_line(own: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, expected in (
        ([f"{own}:Wide", "--task", "DN"], "it returns (1, 3, 64, 192)"),
        ([f"{own}:Attention", "--task", "SR", "--sr", "5"], "scale: 5 is not one of"),
        (["DnCNM@Demo"], "is called 'DnCNM'"),
        (["own.py"], "write FILE.py:NAME"),
        ([f"{own}:Attention", "--image", "none.png"], "none.png: no such image"),
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert expected in said and said.count("\n") == 1


class Clock:
    """A clock that only interventions move: by a second each, and by two in the fine stage."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def experiment(tmp_path: Path, settings: dict[str, Any]) -> Iterator[tuple[Experiment, Any]]:
    run = prepare(make_config(tmp_path, settings, inference="incremental"))
    posed = run.posed_images[0]
    (group,) = inferences_for(run, run.models["Tiny"].load(), posed, posed.rois)
    net = run.models["Tiny"].load()
    yield Experiment(net, group, posed.scene, posed.grid, run.bank, run.device), posed


def test_a_prediction_is_that_of_all_interventions(
    experiment: tuple[Experiment, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, posed = experiment
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    restore = IncrementalInference.restore

    def timed(self: IncrementalInference, corners: np.ndarray, blocks: np.ndarray) -> Any:
        clock.now += float(self.reaches(corners).sum()) * 0.001
        return restore(self, corners, blocks)

    monkeypatch.setattr(IncrementalInference, "restore", timed)
    duration = predict_seconds(made, *posed.sampling.typical, tol=0.01, batch_size=7, seconds_to_measure=10)
    reached = int(made.group.reached.sum())
    assert 0 < reached < made.group.reached.size
    assert duration.coarse == pytest.approx(0.001 * reached * posed.sampling.room["coarse"])
    assert duration.fine_at_most == pytest.approx(0.001 * reached * posed.sampling.room["fine"])
    assert 0 < duration.fine <= duration.fine_at_most
    none_pass = predict_seconds(made, *posed.sampling.typical, tol=90.0, batch_size=7, seconds_to_measure=10)
    assert none_pass.fine == 0 < none_pass.fine_at_most


def test_a_slow_network_is_timed_by_one_intervention(
    experiment: tuple[Experiment, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, posed = experiment
    calls = []
    restore = IncrementalInference.restore

    def slow(self: IncrementalInference, corners: np.ndarray, blocks: np.ndarray) -> Any:
        calls.append(len(corners))
        time.sleep(0.02)
        return restore(self, corners, blocks)

    monkeypatch.setattr(IncrementalInference, "restore", slow)
    duration = predict_seconds(made, *posed.sampling.typical, tol=0.01, batch_size=7, seconds_to_measure=0.005)
    assert set(calls) == {1} and len(calls) <= 2
    assert duration.fine == duration.fine_at_most > duration.coarse > 0


def test_durations_are_told_in_the_unit_one_thinks_in() -> None:
    assert [readable(seconds) for seconds in (0.0123, 7, 61, 100, 5000, 20_000, 140_000)] == [
        *("0.012 s", "7 s", "61 s", "2 min", "83 min", "5.6 h", "39 h")
    ]
    assert str(Duration(1, 120, 299, 600, 0.1)) == "about 7 min, of which coarse 2 min; at most 12 min"
    assert str(Duration(1, 120, 299, 299, 0.1)) == "at most 7 min, of which coarse 2 min"
