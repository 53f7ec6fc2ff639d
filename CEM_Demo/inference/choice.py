"""Which of the two inferences is predicted to be faster."""

from __future__ import annotations

import torch
from torch import nn

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.host_memory import free_bytes
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.inference.interface import Inference
from CEM_Demo.inference.reach import Cost

# How many multiply-adds of a convolution take as long as writing one value elsewhere; measured on CPUs.
MULTIPLY_ADDS_PER_VALUE = 50
# Windows cost more than their share of the work: gathering, padding, small kernels.
CLEARLY_CHEAPER = 0.75
# What the baseline's activations may take; networks that see the whole image keep all of theirs.
MOST_KEPT_BYTES = 1 << 30


def is_cheaper(cost: Cost) -> bool:
    """Whether incremental inference clearly pays, and fits into the memory."""
    dense = cost.dense + MULTIPLY_ADDS_PER_VALUE * cost.dense_values
    # Every value is gathered about once more than dense inference reads it.
    incremental = cost.incremental + 2 * MULTIPLY_ADDS_PER_VALUE * cost.incremental_values
    return incremental < CLEARLY_CHEAPER * dense and cost.kept_bytes <= MOST_KEPT_BYTES


def choose_inference(
    net: nn.Module, degraded: UInt8Image, roi: ROI, block: int, device: torch.device, kind: str = "auto"
) -> Inference:
    """The inference that a config's ``inference`` key asks for.

    Args:
        net: maps N x 3 x H x W to N x 3 x sH x sW, float32 in 0..1.
        degraded: H x W x 3 uint8 RGB.
        roi: in pixels of the output.
        block: side of a block in pixels of the input.
        kind: ``dense``, ``incremental``, or ``auto`` for whichever is predicted to be faster.

    Raises:
        InputError: ``incremental`` is asked for and torch.export cannot flatten the network, or there is too little
            memory for what it keeps.
    """
    if kind == "dense":
        return DenseInference(net, degraded, roi, device)
    try:
        incremental = IncrementalInference(net, degraded, roi, block, device)
    except InputError:
        if kind == "incremental":
            raise
        return DenseInference(net, degraded, roi, device)
    if kind == "incremental":
        _check_memory(incremental, type(net).__name__)
        return incremental
    cost = incremental.predicted_cost
    return incremental if is_cheaper(cost) else DenseInference(net, degraded, roi, device, cost)


def _check_memory(inference: IncrementalInference, name: str) -> None:
    """Raises InputError where ``inference`` needs more memory than there is."""
    device = inference.device
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_bytes()
    needed = inference.memory_bytes(inference.automatic_batch_size())
    if free is not None and needed > free:
        raise InputError(
            f"inference: incremental needs about {needed / 2**30:.1f} GiB of memory for {name} on this image, "
            f"{free / 2**30:.1f} GiB are free; use auto or dense"
        )


def predict_cost(net: nn.Module, degraded: UInt8Image, roi: ROI, block: int, device: torch.device) -> Cost | None:
    """The work of a mean intervention by either inference; None where torch.export cannot flatten the network."""
    try:
        return IncrementalInference(net, degraded, roi, block, device).predicted_cost
    except InputError:
        return None
