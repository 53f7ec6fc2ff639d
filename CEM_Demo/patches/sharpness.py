"""The sharpness of a patch, as the published bank writes it into its file names."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def patch_sharpness(patches: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Measure the length of all gray-level steps between neighboring pixels of each patch.

    ``patches``: N x height x width x 3, uint8, RGB. It returns N values in gray levels (0..255 per step):
    round(sqrt(sum of dx^2 + sum of dy^2)), where dx and dy are the forward differences of OpenCV's 8-bit gray.
    They equal the field ``sharpness-S`` of all 10,000 file names of the published bank.

    >>> patch_sharpness(np.array([[[[0, 0, 0], [3, 3, 3]], [[0, 0, 0], [4, 4, 4]]]], dtype=np.uint8))
    array([5])
    """
    count, height, width, _ = patches.shape
    if count == 0:
        return np.zeros(0, np.int64)
    rows = np.ascontiguousarray(patches).reshape(count * height, width, 3)
    grey = np.asarray(cv2.cvtColor(rows, cv2.COLOR_RGB2GRAY), np.int64).reshape(count, height, width)
    across = np.square(np.diff(grey, axis=2)).sum((1, 2))
    down = np.square(np.diff(grey, axis=1)).sum((1, 2))
    sharpness: NDArray[np.int64] = np.rint(np.sqrt(across + down)).astype(np.int64)
    return sharpness
