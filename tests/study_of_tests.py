"""A study of tiny networks on tiny images, for the tests of studies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from CEM_Demo.config.schema import Config
from conftest import make_config, photograph

NETWORKS = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        for weight in self.parameters():
            weight.data = 0.3 * torch.randn(weight.shape, generator=generator)

    def forward(self, x):
        return x + 0.1 * self.last(torch.relu(self.first(x)))
"""

BOTH = [{"code": "nets.py:Small", "name": "One"}, {"code": "nets.py:Small", "name": "Two", "kwargs": {"seed": 1}}]


def make_study(folder: Path, **changes: Any) -> Config:
    """Make the config of a study of two networks on two images of 48 x 48 pixels, with two ROIs each."""
    images = folder / "images"
    images.mkdir(exist_ok=True, parents=True)
    for name, image in (("a.png", photograph(48, 48)), ("b.png", photograph(48, 48)[:, ::-1])):
        Image.fromarray(image).save(images / name)
    np.savez(folder / "bank.npz", patches=np.random.RandomState(2).randint(0, 256, (20, 8, 8, 3)).astype(np.uint8))
    (folder / "nets.py").write_text(NETWORKS)
    models = [{**model, "code": str(folder / model["code"])} for model in changes.pop("Modellist", BOTH)]
    settings = {
        "task": "DN",
        "sr": 1,
        "Modellist": models,
        "TextImg_path": str(images),
        "Imagelist": "all",
        "patch_path": str(folder / "bank.npz"),
        "prefix": "TEST",
        "rois": {"auto": 2},
        "ROI_size": 8,
        "mask_block_size": 8,
        "coarse_num": 1,
        "fine_num": 2,
        "load_previous": 1,
        "tol": 0.01,
        "device": "cpu",
        "output_dir": str(folder / "out"),
    }
    return make_config(folder, settings, **changes)


def words_of(folder: Path, *words: str) -> list[str]:
    """Give the words of the command line for the study that :func:`make_study` made last."""
    return [*words, "--config", str(folder / "config.yml")]


def forget(config: Config) -> None:
    shutil.rmtree(config.output_dir, ignore_errors=True)
