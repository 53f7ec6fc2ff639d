"""How well an ROI is restored. PSNR is the published metric: exact to its definition on 8-bit images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CEM_Demo.images import PEAK

Measure = Callable[[Tensor, Tensor], NDArray[np.float64]]


@dataclass(frozen=True)
class Metric:
    """A measure of how well an ROI is restored.

    Attributes:
        name: as the user writes it.
        unit: of its values, as labels show it.
        higher_is_better: False where smaller values mean a better restoration.
        measure: from restored images (N x 3 x h x w float, as the network gives them) and the ground truth
            (3 x h x w uint8, on the same device) to one value for each image, N float64.
        margin: pixels around the ROI that ``measure`` gets too, on each side; the image is mirrored at its border.
    """

    name: str
    unit: str
    higher_is_better: bool
    measure: Measure
    margin: int = 0


def to_uint8(output: Tensor) -> Tensor:
    """Turn a network's output (float, any range) into uint8: clip to 0..1, times 255, round half to even."""
    return output.clamp(0, 1).mul_(PEAK).round_().to(torch.uint8)


def to_picture(output: Tensor) -> NDArray[np.uint8]:
    """Turn a network's output for one image, 3 x H x W, into a picture, H x W x 3 uint8 RGB; see :func:`to_uint8`."""
    return to_uint8(output).permute(1, 2, 0).cpu().numpy()


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


def error_growth(effects: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn effects on PSNR (dB) into what they add to the ROI's squared error, relative to what it is untouched.

    dB do not add; these do, as far as blocks change different values of the ROI.
    """
    return np.asarray(10 ** (effects / 10) - 1)


def unrounded_psnr(restored: Tensor, ground_truth: Tensor) -> NDArray[np.float64]:
    """PSNR (dB) of values that are clipped but not rounded; arguments as of :attr:`Metric.measure`."""
    error = restored.double().clamp(0, 1).mul(PEAK).sub(ground_truth.double()).square().flatten(1).mean(dim=1)
    # As for rounded values, one value that is off by one level is the least error.
    return 10 * np.log10(PEAK**2 / np.maximum(error.cpu().numpy(), 1 / ground_truth.numel()))


def _roi_psnr(restored: Tensor, ground_truth: Tensor) -> NDArray[np.float64]:
    return psnr(squared_errors(to_uint8(restored), ground_truth).cpu().numpy(), ground_truth.numel())


# Of RGB values that are rounded to 8 bits, as published.
PSNR = Metric("psnr", "dB", True, _roi_psnr)
