"""PSNR of the ROI, exact to its definition on 8-bit images."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PEAK = 255


def to_uint8(output: Tensor) -> Tensor:
    """A network's output (any range, float) as uint8: clipped to 0..1, times 255, rounded half to even."""
    return output.clamp(0, 1).mul_(PEAK).round_().to(torch.uint8)


def squared_errors(restored: Tensor, ground_truth: Tensor) -> Tensor:
    """Sum of squared differences of each image to the ground truth: int64 of shape N, exact.

    Args:
        restored: N x 3 x R x R uint8.
        ground_truth: 3 x R x R uint8.
    """
    difference = restored.to(torch.int32).sub_(ground_truth.to(torch.int32))
    # Rows first, whose sums fit: a sum in another type would convert everything before it adds.
    rows = difference.square_().sum(dim=-1, dtype=torch.int32)
    return rows.flatten(1).sum(dim=1, dtype=torch.int64)


def psnr(squared_error: NDArray[np.integer], values: int) -> NDArray[np.float64]:
    """PSNR (dB) from sums of squared errors over ``values`` 8-bit values.

    Identical images get the PSNR of one value that is off by one level, so that effects stay finite.

    >>> psnr(np.array([0, 1, 3 * 65025]), 3).round(2).tolist()
    [52.9, 52.9, 0.0]
    """
    mean = np.maximum(squared_error, 1) / values
    return 10 * np.log10(PEAK**2 / mean)
