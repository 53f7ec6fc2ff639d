"""Published and bundled weights restore photographs as well as they should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from CEM_Demo.ModelZoo import MODEL_DIR, checkpoints, load_network
from CEM_Demo.ModelZoo.checkpoints import sha256_of
from CEM_Demo.Training.evaluate import evaluate
from conftest import BUNDLED
from shared_material import SHARED, needs

# dB on photographs outside the training set, for networks that were trained on two CPU cores
TARGETS = {"SR": {"set5": 30.4, "set14": 27.3}, "DN": {"kodak24": 27.5}, "DR": {"kodak24": 29.0}}
GAIN = {"SR": 0.5, "DN": 8.0, "DR": 3.0}  # dB over the degraded image
TEST_IMAGES = Path(__file__).parents[1] / "CEM_Demo" / "test_images" / "Test1"
CPU = torch.device("cpu")


def record_of(name: str) -> dict[str, Any]:
    return json.loads((MODEL_DIR / f"{name}-Demo.json").read_text())


@needs(SHARED / "weights")
@pytest.mark.parametrize(("name", "least"), [("RFDN", 32.1), ("PAN", 32.1)])
def test_published_super_resolution_on_set5(name: str, least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MODEL_DIR", SHARED / "weights")
    score = evaluate(load_network(name, "SR"), SHARED / "images" / "eval" / "set5", "SR", 4, CPU)
    assert score.degraded == pytest.approx(28.43, abs=0.05)
    assert score.restored >= least


@needs(SHARED / "weights")
@pytest.mark.parametrize(("name", "least"), [("DnCNN", 27.5), ("FFDNet", 27.3)])
def test_published_denoising_on_kodak(name: str, least: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MODEL_DIR", SHARED / "weights")
    score = evaluate(load_network(name, "DN"), SHARED / "images" / "eval" / "kodak24", "DN", 1, CPU)
    assert score.images == 24
    assert score.restored >= least


@pytest.mark.parametrize(("task", "name"), BUNDLED)
def test_bundled_weights_restore_the_test_images(task: str, name: str) -> None:
    """The shipped test images are in no training set."""
    scale = 4 if task == "SR" else 1
    score = evaluate(load_network(f"{name}@Demo", task, scale), TEST_IMAGES, task, scale, CPU)
    assert score.restored - score.degraded >= GAIN[task]


@needs(SHARED / "images")
@pytest.mark.parametrize(("task", "name"), BUNDLED)
def test_bundled_weights_gain_on_set5(task: str, name: str) -> None:
    scale = 4 if task == "SR" else 1
    net = load_network(f"{name}@Demo", task, scale)
    score = evaluate(net, SHARED / "images" / "eval" / "set5", task, scale, CPU)
    assert score.restored - score.degraded >= GAIN[task]
    recorded = record_of(name)["psnr"].get("set5")
    assert recorded is None or recorded["out"] == pytest.approx(score.restored, abs=0.02)


@pytest.mark.parametrize(("task", "name"), BUNDLED)
def test_recorded_figures_reach_the_targets_and_stand_in_the_readme(task: str, name: str) -> None:
    record = record_of(name)
    table = (Path(__file__).parents[1] / "CEM_Demo" / "docs" / "models.md").read_text(encoding="utf-8")
    begin = table.index(f"`{name}@Demo` |")
    rows = table[begin : table.index("`", begin + len(name) + 7)]
    assert record["psnr"].keys() == TARGETS[task].keys()
    for photographs, least in TARGETS[task].items():
        figures = record["psnr"][photographs]
        assert figures["out"] >= least
        assert f"| {photographs} | {figures['in']:.2f} | {figures['out']:.2f} |" in rows
    assert f"{record['steps']:,} steps, {record['seconds'] / 60:.0f} min" in rows


@pytest.mark.parametrize(("task", "name"), BUNDLED)
def test_bundled_checkpoints_are_the_recorded_ones(task: str, name: str) -> None:
    path = MODEL_DIR / f"{name}-Demo.pth"
    record = record_of(name)
    assert record["sha256"] == sha256_of(path)
    assert (record["model"], record["task"]) == (name, task)
    assert path.stat().st_size < 7 * 2**20
    assert all(value.dtype == torch.float32 for value in torch.load(path, weights_only=True).values())
