"""Differentiate the squared error of an ROI by the network's input, in one backward pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.checks import to_unit_range
from CEM_Demo.inference.lent_network import lent


@dataclass(frozen=True)
class ErrorGradient:
    """The squared error of an ROI and its gradient, for values in 0..1.

    Attributes:
        squared_error: summed over the ROI.
        gradient: 3 x H x W float32, the derivative of the squared error by the network's input.
    """

    squared_error: float
    gradient: NDArray[np.float32]


def error_gradient(
    network: nn.Module, degraded: UInt8Image, ground_truth: UInt8Image, roi: ROI, device: torch.device
) -> ErrorGradient:
    """Differentiate the squared error of an ROI.

    Args:
        network: maps N x 3 x H x W in 0..1 to N x 3 x sH x sW.
        degraded: H x W x 3 uint8, the network's input.
        ground_truth: sH x sW x 3 uint8.
        roi: in pixels of the ground truth.
        device: where to compute it.

    Raises:
        Exception: there is no gradient or too little memory for it; it is the network's or PyTorch's own exception.
    """
    with lent(network, device) as (lender, sample):
        image = to_unit_range(torch.from_numpy(degraded)).permute(2, 0, 1)[None].to(sample).requires_grad_()
        truth = to_unit_range(torch.from_numpy(np.ascontiguousarray(ground_truth[roi.window]))).permute(2, 0, 1)
        restored = lender(image)[(0, slice(None), *roi.window)].clamp(0, 1)
        error = (restored - truth.to(restored)).square().sum()
        (gradient,) = torch.autograd.grad(error, image)
    return ErrorGradient(error.item(), gradient[0].float().cpu().numpy())
