"""Deraining: additive streaks of synthetic rain.

Sparse bright drops are smeared along a line, which gives the streaks their length, direction and width (the rain
model of Gu et al., "Networks are Slacking Off: Understanding Generalization Problem in Image Deraining", 2023).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from CEM_Demo.images import UInt8Image
from CEM_Demo.tasks.scene import Scene

DROP = np.array([[0, 0.1, 0], [0.1, 8, 0.1], [0, 0.1, 0]])
OPACITY = (0.6, 1.0)
# The manifest names the generator of the rain: results under the rain of an earlier one are refused.
GENERATOR = "version 2, all kinds as published"


@dataclass(frozen=True)
class RainRange:
    """The ranges that a kind of rain is drawn from; ranges of whole numbers include both ends.

    Attributes:
        amount: share of the pixels in which a drop starts.
        widths: streak widths (pixels, odd), each with its probability.
        length: streak length (pixels).
        angle: degrees from the vertical.
    """

    amount: tuple[float, float]
    widths: dict[int, float]
    length: tuple[int, int]
    angle: tuple[int, int]


# The kinds of the published generator; "random" has ranges of its own.
RAIN = {
    "small": RainRange((0.002, 0.004), {1: 0.5, 3: 0.5}, (25, 35), (-10, 10)),
    "medium": RainRange((0.005, 0.007), {3: 0.25, 5: 0.5, 7: 0.25}, (35, 45), (-30, 30)),
    "large": RainRange((0.008, 0.010), {7: 0.5, 9: 0.5}, (45, 55), (-60, 60)),
    "random": RainRange((0.002, 0.010), dict.fromkeys((1, 3, 5, 7, 9), 0.2), (25, 55), (-60, 60)),
}


@dataclass(frozen=True)
class Rain:
    """One rainfall: ``layer`` H x W x 3 uint8, and the opacity with which it is added."""

    layer: UInt8Image
    opacity: float


def rain_seed(image_name: str) -> int:
    """Give the first number in the image's file name, or 0 if it has none."""
    digits = re.search(r"\d+", image_name)
    return int(digits.group()) % 2**32 if digits else 0


def make_rain(height: int, width: int, seed: int, kind: str = "medium") -> Rain:
    """Draw a rainfall of ``height`` x ``width`` pixels; ``kind`` is a key of ``RAIN``."""
    rain_range = RAIN[kind]
    draw = np.random.RandomState(seed)
    # The order of the draws is part of the definition.
    opacity = draw.uniform(*OPACITY)
    amount = draw.uniform(*rain_range.amount)
    streak_width = int(draw.choice(list(rain_range.widths), p=list(rain_range.widths.values())))
    length, angle = (int(draw.randint(low, high + 1)) for low, high in (rain_range.length, rain_range.angle))
    drops = draw.uniform(0, 256, (height, width))
    drops[drops < 256 - amount * 256] = 0
    streaks = cv2.filter2D(cv2.filter2D(drops, -1, DROP), -1, _streak_kernel(length, angle, streak_width))
    layer = cv2.normalize(streaks, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)  # type: ignore[call-overload]
    return Rain(np.repeat(layer[..., None], 3, axis=2), opacity)


def _streak_kernel(length: int, angle: int, width: int) -> NDArray[np.float64]:
    """Draw a line of ``length`` pixels; its sum does not matter, since the streaks are stretched to 0..255 later."""
    centre = ((length - 1) / 2, (length - 1) / 2)
    rotation = cv2.getRotationMatrix2D(centre, angle - 45, 1)  # the diagonal leans 45 degrees
    line = cv2.warpAffine(np.eye(length), rotation, (length, length))
    return np.asarray(cv2.GaussianBlur(line, (width, width), 0), np.float64)


def add_rain(image: NDArray[np.uint8], layer: NDArray[np.uint8], opacity: float) -> NDArray[np.uint8]:
    """Give ``image + opacity * layer``, saturated and rounded half to even."""
    return cv2.addWeighted(image, 1, layer, opacity, 0).astype(np.uint8, copy=False)


def make_scene(image: UInt8Image, image_name: str, kind: str = "medium") -> Scene:
    """Set up the deraining of ``image``; a patch is pasted under the one fixed rain layer, so it is rained on too."""
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

    def degrade_alike(edited: UInt8Image) -> UInt8Image:
        return add_rain(edited, rain.layer, rain.opacity)

    return Scene(
        ground_truth=image,
        degraded=degrade_alike(image),
        scale=1,
        degrade_patches=rainy_patches,
        provenance={"rain_generator": GENERATOR},
        pasted_clean=True,
        degrade_alike=degrade_alike,
    )
