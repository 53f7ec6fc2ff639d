"""From an attribution to its map, the map's Gini coefficient, and the diffusion index."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# What the published code adds to each value before it takes the Gini coefficient.
OFFSET = 1e-7


def signed_map(attribution: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum 3 x H x W over the channels and divide by the largest magnitude: H x W, -1..1.

    The channels cancel where their signs differ. Positive are the pixels whose details add to the gradients in the
    window.
    """
    total = attribution.sum(axis=0)
    return np.asarray(total / np.abs(total).max())


def absolute_map(attribution: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the magnitude of :func:`signed_map`, the published map: H x W, 0..1."""
    return np.abs(signed_map(attribution))


def gini_coefficient(values: NDArray[np.floating]) -> float:
    """Return how unevenly values are spread: 0 where all are equal, almost 1 where one pixel holds everything.

    Args:
        values: of any shape, float32 or float64; where some are negative, the least is subtracted from all.
    """
    ordered = np.sort(values, axis=None)
    if ordered[0] < 0:
        ordered = ordered - ordered[0]
    ordered = ordered + ordered.dtype.type(OFFSET)
    count = ordered.size
    weights = 2.0 * np.arange(1, count + 1) - count - 1
    return float((weights * ordered).sum() / (count * ordered.sum()))


def diffusion_index(values: NDArray[np.floating]) -> float:
    """Return the diffusion index (DI) of a map: 100 for a flat map, 100 / N for a single one of N pixels.

    It depends on the size of the image: one and the same map in an image twice as large has half the index. Compare
    it between networks on one image, never between images of different sizes.
    """
    return (1 - gini_coefficient(values)) * 100


def describe(index: float, pixels: float, size: tuple[int, int]) -> str:
    """Write a diffusion index with the size (height, width) that it depends on, and the number of pixels."""
    height, width = size
    return f"DI {index:.2f} on {width} x {height} pixels ({pixels:.0f} pixels involved)"


def pixels_involved(values: NDArray[np.floating]) -> float:
    """Return N DI / 100, a number of pixels that hardly depends on the size of the image."""
    return values.size * diffusion_index(values) / 100
