"""Published and bundled weights restore photographs as well as they should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from CEM_Demo.images import read_image
from CEM_Demo.metrics import to_uint8
from CEM_Demo.ModelZoo import MODEL_DIR, checkpoints, load_network
from CEM_Demo.ModelZoo.checkpoints import sha256_of
from CEM_Demo.tasks import Degradation, make_scene
from CEM_Demo.Training.evaluate import evaluate, image_psnr
from shared_material import SHARED, needs

BUNDLED = [
    ("SR", "EDSR"),
    ("SR", "SRResNet"),
    ("DN", "DnCNN"),
    ("DN", "SRResNet_DN"),
    ("DR", "SRResNet_DR"),
    ("DR", "PReNet"),
]
GAIN = {"SR": 0.5, "DN": 8.0, "DR": 3.0}  # dB over the degraded image
TEST_IMAGES = Path(__file__).parents[1] / "CEM_Demo" / "test_images" / "Test1"
CPU = torch.device("cpu")


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
    """The three shipped test images, of texture beyond any network's reach, are in no training set."""
    scale = 4 if task == "SR" else 1
    net = load_network(f"{name}@Demo", task, scale)
    gains = []
    for path in sorted(TEST_IMAGES.glob("demo_*.png")):
        scene = make_scene(Degradation(task, scale), read_image(path), path.name)
        degraded = torch.from_numpy(scene.degraded).permute(2, 0, 1)[None].float() / 255
        with torch.inference_mode():
            restored = to_uint8(net(degraded))[0].permute(1, 2, 0).numpy()
        height, width = scene.ground_truth.shape[:2]
        plain = torch.nn.functional.interpolate(degraded, (height, width), mode="bicubic", antialias=True)
        before = to_uint8(plain)[0].permute(1, 2, 0).numpy()
        gains.append(
            image_psnr(restored, scene.ground_truth, task, scale) - image_psnr(before, scene.ground_truth, task, scale)
        )
    assert sum(gains) / len(gains) > 0


@needs(SHARED / "images")
@pytest.mark.parametrize(("task", "name"), BUNDLED)
def test_bundled_weights_gain_on_set5(task: str, name: str) -> None:
    scale = 4 if task == "SR" else 1
    net = load_network(f"{name}@Demo", task, scale)
    score = evaluate(net, SHARED / "images" / "eval" / "set5", task, scale, CPU)
    assert score.restored - score.degraded >= GAIN[task]


@pytest.mark.parametrize(("task", "name"), BUNDLED)
def test_bundled_checkpoints_are_the_recorded_ones(task: str, name: str) -> None:
    path = MODEL_DIR / f"{name}-Demo.pth"
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["sha256"] == sha256_of(path)
    assert (record["model"], record["task"]) == (name, task)
    assert path.stat().st_size < 7 * 2**20
    assert all(value.dtype == torch.float32 for value in torch.load(path, weights_only=True).values())
