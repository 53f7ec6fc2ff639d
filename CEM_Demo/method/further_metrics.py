"""Metrics that can be measured beside PSNR on the same restored ROIs; all but one on 8-bit images, as PSNR is."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CEM_Demo.images import PEAK
from CEM_Demo.method.metric import PSNR, Metric, to_uint8, unrounded_psnr

# BT.601, from red, green and blue in 0..255 to luma in 16..235, as the super-resolution literature measures it.
LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)
LUMA_OFFSET = 16.0

# Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.
SSIM_SIGMA = 1.5  # pixels
SSIM_MARGIN = 5  # pixels on each side, of a window of 11
AT_ONCE = 32
SSIM_CONSTANTS = ((0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2)


def luma_psnr(restored: Tensor, ground_truth: Tensor) -> NDArray[np.float64]:
    """PSNR (dB) of the BT.601 luma of 8-bit images; arguments as of :attr:`Metric.measure`."""
    error = (_luma(to_uint8(restored)) - _luma(ground_truth[None])).square().flatten(1).mean(dim=1)
    # As for rounded values, one value that is off by one level is the least error.
    pixels = ground_truth.shape[-2] * ground_truth.shape[-1]
    return 10 * np.log10(PEAK**2 / np.maximum(error.cpu().numpy(), 1 / pixels))


def mean_absolute_error(restored: Tensor, ground_truth: Tensor) -> NDArray[np.float64]:
    """Mean absolute difference (8-bit levels) of 8-bit images; arguments as of :attr:`Metric.measure`."""
    difference = to_uint8(restored).to(torch.int32).sub_(ground_truth.to(torch.int32)).abs_()
    total = difference.flatten(1).sum(dim=1, dtype=torch.int64)
    return total.cpu().numpy() / ground_truth.numel()


def structural_similarity(restored: Tensor, ground_truth: Tensor) -> NDArray[np.float64]:
    """SSIM, -1..1, mean over the ROI's pixels and the channels of 8-bit images (Wang et al., 2004, equation 13).

    Args:
        restored: N x 3 x (h + 10) x (w + 10) float, the ROI with a margin of 5 pixels.
        ground_truth: 3 x (h + 10) x (w + 10) uint8.
    """
    # A few at a time, so that what is made on the way stays in a CPU's caches.
    parts = [_similarity(to_uint8(part).double(), ground_truth.double()[None]) for part in restored.split(AT_ONCE)]
    return torch.cat(parts).cpu().numpy()


def _similarity(found: Tensor, truth: Tensor) -> Tensor:
    found_mean, truth_mean = _smooth(found), _smooth(truth)
    found_variance = _smooth(found.square()) - found_mean.square()
    truth_variance = _smooth(truth.square()) - truth_mean.square()
    covariance = _smooth(found * truth) - found_mean * truth_mean
    first, second = SSIM_CONSTANTS
    alike = (2 * found_mean * truth_mean + first) * (2 * covariance + second)
    both = (found_mean.square() + truth_mean.square() + first) * (found_variance + truth_variance + second)
    return (alike / both).flatten(1).mean(dim=1)


def _luma(images: Tensor) -> Tensor:
    """N x 3 x h x w uint8 -> N x h x w float64."""
    weights = torch.tensor(LUMA, dtype=torch.float64, device=images.device)
    return torch.einsum("nchw,c->nhw", images.double(), weights) + LUMA_OFFSET


def _smooth(images: Tensor) -> Tensor:
    """N x 3 x (h + 10) x (w + 10) -> N x 3 x h x w, the mean under the Gaussian window around each pixel."""
    down, across = (_window_matrix(side, images) for side in images.shape[-2:])
    return down @ images @ across.T


def _window_matrix(side: int, like: Tensor) -> Tensor:
    """(side - 10) x side, the weights of the window around each place of a row."""
    places = torch.arange(side, dtype=like.dtype, device=like.device)
    offsets = places - places[SSIM_MARGIN : side - SSIM_MARGIN, None]
    weights = torch.exp(-0.5 * (offsets / SSIM_SIGMA).square()) * (offsets.abs() <= SSIM_MARGIN)
    return weights / weights.sum(dim=1, keepdim=True)


UNROUNDED = Metric("psnr_unrounded", "dB", True, unrounded_psnr)

BUILT_IN = {
    metric.name: metric
    for metric in (
        PSNR,
        UNROUNDED,
        Metric("psnr_y", "dB", True, luma_psnr),
        Metric("ssim", "", True, structural_similarity, SSIM_MARGIN),
        Metric("mae", "levels", False, mean_absolute_error),
    )
}
