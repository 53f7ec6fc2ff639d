"""A tiny network, image and patch bank for the tests, and a config that runs them in a second."""

from __future__ import annotations

import hashlib
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

from browsing import launched
from CEM_Demo.command_line import read_config
from CEM_Demo.config.schema import Config
from CEM_Demo.geometry import ROI
from CEM_Demo.ModelZoo import checkpoints, registry

# The ROI of the config that the fixture ``settings`` makes.
ROI_OF_TESTS = ROI.square(8, 8, 16)

# Networks whose Demo weights are bundled.
BUNDLED = [
    ("SR", "EDSR"),
    ("SR", "SRResNet"),
    ("SR", "PAN"),
    ("DN", "DnCNN"),
    ("DN", "SRResNet_DN"),
    ("DR", "SRResNet_DR"),
    ("DR", "PReNet"),
]


class Tiny(nn.Module):
    """Two convolutions on top of the input; every weight is used."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5 * self.last(torch.relu(self.first(x)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the rows that tests recorded for a table, in whichever process they ran."""
    reports = [report for kind in terminalreporter.stats.values() for report in kind if hasattr(report, "when")]
    found = [row for report in reports if report.when == "call" for key, row in report.user_properties if key == "row"]
    if not found:
        return
    rows = [("network", "mode", "parameters", "inference taken", "seconds", "result"), *sorted(map(tuple, found))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    terminalreporter.section("sweep over strangers")
    for row in rows:
        terminalreporter.line("  ".join(map(str.ljust, row, widths)).rstrip())


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start headless Chromium for the tests of a module."""
    with launched() as started:
        yield started


@pytest.fixture
def tiny_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Register ``Tiny`` for a test, and give its name."""
    return register_tiny(tmp_path, monkeypatch)


def register_tiny(parent: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Register ``Tiny`` for every task, with a checkpoint in a folder below ``parent``, and give its name."""
    folder = parent / "models"
    folder.mkdir()
    torch.manual_seed(0)
    torch.save(Tiny().state_dict(), folder / "Tiny.pth")
    monkeypatch.setattr(checkpoints, "MODEL_DIR", folder)
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    weights = {"Base": registry.Checkpoint("Tiny.pth")}
    registry.register([registry.Entry("Tiny", ("SR", "DN", "DR"), Tiny, "of the tests", weights, scale=1, reach=2)])
    return "Tiny"


def photograph(height: int, width: int) -> np.ndarray:
    """Make an image with edges, slopes and grain."""
    rows, columns = np.mgrid[:height, :width]
    waves = 90 * np.sin(rows / 3) + 60 * np.cos(columns / 5) + 128
    grain = np.random.RandomState(1).randint(-20, 20, (height, width, 3))
    return (waves[..., None] + grain).clip(0, 255).astype(np.uint8)


@pytest.fixture
def settings(tmp_path: Path, tiny_model: str) -> dict[str, Any]:
    """Make a valid config for a test, as a dictionary to change."""
    return make_settings(tmp_path, tiny_model)


def make_settings(folder: Path, model: str) -> dict[str, Any]:
    """Make a valid config for a model on one 40 x 32 image in a folder, as a dictionary to change."""
    images = folder / "images"
    images.mkdir()
    Image.fromarray(photograph(32, 40)).save(images / "photo_1.png")
    bank = np.random.RandomState(2).randint(0, 256, (50, 8, 8, 3)).astype(np.uint8)
    np.savez(folder / "bank.npz", patches=bank)
    return {
        "task": "DN",
        "sr": 1,
        "Modellist": [model],
        "batch_size_dict": {},
        "TextImg_path": str(images),
        "Imagelist": ["photo_1.png"],
        "patch_path": str(folder / "bank.npz"),
        "prefix": "TEST",
        "w": 8,
        "h": 8,
        "ROI_size": 16,
        "mask_block_size": 8,
        "coarse_num": 2,
        "fine_num": 3,
        "load_previous": 0,
        "tol": 0.01,
        "output_dir": str(folder / "out"),
        "device": "cpu",
    }


def run_main(script: str, *words: str) -> int:
    """Run a script of the checkout as ``python script words...`` would, in this process, and give its exit code."""
    with mock.patch.object(sys, "argv", [script, *words]), pytest.raises(SystemExit) as end:
        runpy.run_path(str(Path(__file__).parents[1] / script), run_name="__main__")
    return int(end.value.code or 0)


def contents(folder: Path) -> dict[str, str]:
    """List all that lies below a folder, hidden files and empty folders too, with the digests of the files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in folder.rglob("*")
    }


def write_config(folder: Path, settings: dict[str, Any]) -> Path:
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(settings))
    return path


def make_config(folder: Path, settings: dict[str, Any], **changes: Any) -> Config:
    return read_config(write_config(folder, {**settings, **changes}))
