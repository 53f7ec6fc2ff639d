"""How far from natural an intervened image is: the size of the edit, and the seam around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.intervention import Pasted


@dataclass(frozen=True)
class Naturalness:
    """How far from natural the images are that some interventions make.

    Attributes:
        error: root mean square difference of what is pasted to what stood there, in levels of 255.
        seam: mean step between neighboring pixels across the border of what is pasted, relative to the mean step
            inside of it; about 1 in a photograph, infinite around a flat block.
    """

    error: float
    seam: float


def naturalness(image: NDArray[np.uint8], pasted: Pasted) -> Naturalness:
    """Measure what interventions do to a network's input.

    Args:
        image: H x W x 3 uint8, the untouched input.
        pasted: N interventions on it, each by itself; what overhangs the image is left out.
    """
    differences, across, inside = [], [], []
    for (top, left), pixels in zip(pasted.corners, pasted.pixels, strict=True):
        height, width = min(pixels.shape[0], image.shape[0] - top), min(pixels.shape[1], image.shape[1] - left)
        block = pixels[:height, :width].astype(np.float64)
        # With a border of one pixel, which is NaN beyond the image.
        around = np.full((height + 2, width + 2, 3), np.nan)
        rows, columns = slice(max(0, top - 1), top + height + 1), slice(max(0, left - 1), left + width + 1)
        standing = image[rows, columns]
        row, column = 1 - (top - rows.start), 1 - (left - columns.start)
        around[row : row + standing.shape[0], column : column + standing.shape[1]] = standing
        differences.append((block - around[1:-1, 1:-1]).ravel())
        around[1:-1, 1:-1] = block
        steps = np.abs(np.diff(around[:, 1:-1], axis=0)), np.abs(np.diff(around[1:-1], axis=1)).swapaxes(0, 1)
        across += [step[end].ravel() for step in steps for end in (0, -1)]
        inside += [step[1:-1].ravel() for step in steps]
    border, interior = np.nanmean(np.concatenate(across)), np.concatenate(inside).mean()
    error = np.sqrt(np.square(np.concatenate(differences)).mean())
    return Naturalness(float(error), float(border / interior) if interior else float("inf"))
