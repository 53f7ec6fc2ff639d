"""Deraining: additive streaks of synthetic rain.

Sparse bright drops are smeared along a line, which gives the streaks their length, direction and width (the rain
model of Gu et al., "Networks are Slacking Off: Understanding Generalization Problem in Image Deraining", 2023).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from CEM_Demo.images import UInt8Image
from CEM_Demo.tasks.scene import Scene

DROP = np.array([[0, 0.1, 0], [0.1, 8, 0.1], [0, 0.1, 0]])
WIDTH_PROBABILITY = (0.25, 0.5, 0.25)


@dataclass(frozen=True)
class RainRange:
    """From what a kind of rain is drawn; upper ends are exclusive.

    Attributes:
        opacity: factor of the rain layer.
        amount: share of the pixels in which a drop starts.
        widths: streak widths (pixels, odd), the middle one as likely as both others together.
        length: streak length (pixels).
        angle: degrees from the vertical.
    """

    opacity: tuple[float, float]
    amount: tuple[float, float]
    widths: tuple[int, int, int]
    length: tuple[int, int]
    angle: tuple[int, int]


# "medium" reproduces the published degradations; the other two bracket it.
RAIN = {
    "small": RainRange((0.6, 1.0), (0.003, 0.005), (1, 3, 5), (20, 35), (-15, 15)),
    "medium": RainRange((0.6, 1.0), (0.005, 0.007), (3, 5, 7), (35, 45), (-30, 30)),
    "large": RainRange((0.6, 1.0), (0.007, 0.009), (5, 7, 9), (45, 60), (-45, 45)),
}


@dataclass(frozen=True)
class Rain:
    """One rainfall: ``layer`` H x W x 3 uint8, and the opacity with which it is added."""

    layer: UInt8Image
    opacity: float


def rain_seed(image_name: str) -> int:
    """The first number in the image's file name; 0 where it has none."""
    digits = re.search(r"\d+", image_name)
    return int(digits.group()) % 2**32 if digits else 0


def make_rain(height: int, width: int, seed: int, kind: str = "medium") -> Rain:
    """Draw a rainfall of ``height`` x ``width`` pixels; ``kind`` is a key of ``RAIN`` or ``random``."""
    if kind == "random":
        kind = random.Random(seed).choice(sorted(RAIN))
    rain_range = RAIN[kind]
    draw = np.random.RandomState(seed)
    # The order of the draws is part of the definition.
    opacity = draw.uniform(*rain_range.opacity)
    amount = draw.uniform(*rain_range.amount)
    streak_width = int(draw.choice(rain_range.widths, p=WIDTH_PROBABILITY))
    length = int(draw.randint(*rain_range.length))
    angle = int(draw.randint(*rain_range.angle))
    drops = draw.uniform(0, 256, (height, width))
    drops[drops < 256 * (1 - amount)] = 0
    streaks = cv2.filter2D(cv2.filter2D(drops, -1, DROP), -1, _streak_kernel(length, angle, streak_width))
    layer = cv2.normalize(streaks, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)  # type: ignore[call-overload]
    return Rain(np.repeat(layer[..., None], 3, axis=2), opacity)


def _streak_kernel(length: int, angle: int, width: int) -> NDArray[np.float64]:
    centre = ((length - 1) / 2, (length - 1) / 2)
    rotation = cv2.getRotationMatrix2D(centre, angle - 45, 1)  # the diagonal leans 45 degrees
    line = cv2.warpAffine(np.eye(length), rotation, (length, length))
    return cv2.GaussianBlur(line, (width, width), 0) / length


def add_rain(image: NDArray[np.uint8], layer: NDArray[np.uint8], opacity: float) -> NDArray[np.uint8]:
    """``image + opacity * layer``, saturated, rounded half to even."""
    return cv2.addWeighted(image, 1, layer, opacity, 0).astype(np.uint8, copy=False)


def make_scene(image: UInt8Image, image_name: str, kind: str = "medium") -> Scene:
    """The deraining of ``image``; a patch is pasted under the one fixed rain layer, so it is rained on too."""
    rain = make_rain(image.shape[0], image.shape[1], rain_seed(image_name), kind)

    def rainy_patches(
        patches: NDArray[np.uint8], corners: NDArray[np.integer], noise_seeds: NDArray[np.uint64]
    ) -> NDArray[np.uint8]:
        block = patches.shape[1]
        rows, columns = (corners[:, axis, None] + np.arange(block) for axis in (0, 1))
        # Blocks that overhang the image are cut when they are pasted; any rain will do beyond the border.
        rows, columns = rows.clip(max=image.shape[0] - 1), columns.clip(max=image.shape[1] - 1)
        above = rain.layer[rows[:, :, None], columns[:, None, :]]
        return add_rain(patches.reshape(-1, block, 3), above.reshape(-1, block, 3), rain.opacity).reshape(patches.shape)

    return Scene(image, add_rain(image, rain.layer, rain.opacity), 1, rainy_patches)
