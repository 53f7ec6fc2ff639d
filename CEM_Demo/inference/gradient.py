"""Differentiate the squared error of an ROI by the network's input, in one backward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.baseline import run_cone
from CEM_Demo.inference.checks import to_unit_range
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.inference.interface import Inference
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
    network: nn.Module, degraded: NDArray[Any], ground_truth: UInt8Image, roi: ROI, device: torch.device
) -> ErrorGradient:
    """Differentiate the squared error of an ROI.

    Args:
        network: maps N x 3 x H x W in 0..1 to N x 3 x sH x sW.
        degraded: H x W x 3 in 0..255, uint8 or float, the network's input.
        ground_truth: sH x sW x 3 uint8.
        roi: in pixels of the ground truth.
        device: where to compute it.

    Raises:
        Exception: there is no gradient or too little memory for it; it is the network's or PyTorch's own exception.
    """
    with lent(network, device) as (lender, sample):
        return _differentiate(
            lambda image: lender(image)[(..., *roi.window)], degraded, ground_truth[roi.window], sample
        )


def cone_error_gradient(
    inference: Inference, degraded: NDArray[Any], ground_truth: UInt8Image, roi: ROI, device: torch.device
) -> ErrorGradient | None:
    """Do what :func:`error_gradient` does, from the part of the image alone that the ROI depends on.

    Args:
        inference: restores the ROI.
        degraded, ground_truth, roi, device: see :func:`error_gradient`.

    Returns:
        None where the inference has no such part: it is dense, or sees the whole image.
    """
    if not isinstance(inference, IncrementalInference) or not inference.roi_graph.is_local:
        return None
    roi_graph = inference.roi_graph
    weights = [node.constant for node in roi_graph.graph.nodes if isinstance(node.constant, Tensor)]
    # Autograd does not accept what was made in inference mode.
    if any(weight.is_inference() for weight in weights):
        return None
    with torch.inference_mode(False), torch.enable_grad():
        sample = torch.empty(0, device=device)
        return _differentiate(lambda image: run_cone(roi_graph, image)[0], degraded, ground_truth[roi.window], sample)


def _differentiate(
    restore: Callable[[Tensor], Tensor], degraded: NDArray[Any], truth: UInt8Image, sample: Tensor
) -> ErrorGradient:
    """Differentiate the squared error of what ``restore`` makes of an image, 1 x 3 x H x W, on the sample's device."""
    image = to_unit_range(torch.from_numpy(degraded)).permute(2, 0, 1)[None].to(sample).requires_grad_()
    (restored,) = restore(image).clamp(0, 1)
    target = to_unit_range(torch.from_numpy(np.ascontiguousarray(truth))).permute(2, 0, 1)
    error = (restored - target.to(restored)).square().sum()
    (gradient,) = torch.autograd.grad(error, image)
    return ErrorGradient(error.item(), gradient[0].float().cpu().numpy())
