"""Draw pairs of degraded and clean crops from photographs; the step number alone decides them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CEM_Demo.errors import InputError
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.tasks.denoising import add_noise
from CEM_Demo.tasks.deraining import Rain, add_rain, make_rain
from CEM_Demo.tasks.super_resolution import crop_to_multiple, downscale

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
RAINFALLS = 256
RAIN_SIDE = 256


class TrainingPairs:
    """Random crops of a folder of photographs, flipped and turned, degraded as the task degrades.

    A batch depends only on the seed and the step, so an interrupted training continues as if nothing had happened.
    """

    def __init__(self, folder: Path, task: str, crop: int, scale: int, seed: int) -> None:
        """Read the photographs; ``crop`` is the largest input side (pixels), ``scale`` the target's side over it.

        Raises:
            InputError: the folder holds no photograph as large as a crop.
        """
        paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        self.clean = [crop_to_multiple(read_image(path), scale) for path in paths]
        self.clean = [image for image in self.clean if min(image.shape[:2]) >= crop * scale]
        if not self.clean:
            raise InputError(f"--photographs {folder}: no photograph of {crop * scale} x {crop * scale} pixels or more")
        self.low_resolution = [downscale(image, scale) for image in self.clean] if task == "SR" else self.clean
        self.rainfalls = [make_rain(RAIN_SIDE, RAIN_SIDE, seed + i) for i in range(RAINFALLS)] if task == "DR" else []
        self.task, self.scale, self.seed = task, scale, seed

    def batch(self, step: int, size: int, crop: int) -> tuple[Tensor, Tensor]:
        """Draw inputs N x 3 x c x c and targets N x 3 x sc x sc, float32 in 0..1."""
        draw = np.random.default_rng([self.seed, step])
        pairs = [self._pair(draw, crop) for _ in range(size)]
        degraded, clean = (np.stack(images) for images in zip(*pairs, strict=True))
        return _to_tensor(degraded), _to_tensor(clean)

    def _pair(self, draw: np.random.Generator, crop: int) -> tuple[UInt8Image, UInt8Image]:
        number = draw.integers(len(self.clean))
        degraded = self.low_resolution[number]
        top, left = (draw.integers(side - crop + 1) for side in degraded.shape[:2])
        degraded = _window(degraded, top, left, crop)
        clean = _window(self.clean[number], top * self.scale, left * self.scale, crop * self.scale)
        turns, mirrored = int(draw.integers(4)), bool(draw.integers(2))
        degraded, clean = _turn(degraded, turns, mirrored), _turn(clean, turns, mirrored)
        return self._degrade(degraded, draw), clean

    def _degrade(self, crop: UInt8Image, draw: np.random.Generator) -> UInt8Image:
        if self.task == "DN":
            return add_noise(crop, np.random.RandomState(draw.integers(2**32)))
        if self.task == "DR":
            rain: Rain = self.rainfalls[draw.integers(RAINFALLS)]
            top, left = draw.integers(RAIN_SIDE - len(crop) + 1, size=2)
            return add_rain(crop, _window(rain.layer, top, left, len(crop)), rain.opacity)
        return crop


def _window(image: UInt8Image, top: int, left: int, side: int) -> UInt8Image:
    return image[top : top + side, left : left + side]


def _turn(image: UInt8Image, turns: int, mirrored: bool) -> UInt8Image:
    image = np.rot90(image, turns)
    return np.ascontiguousarray(image[:, ::-1] if mirrored else image)


def _to_tensor(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
