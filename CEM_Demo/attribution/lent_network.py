"""Borrow a caller's network for gradients of its input, and give it back as it was found."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn


@contextmanager
def lent(network: nn.Module, device: torch.device | None) -> Iterator[tuple[nn.Module, Tensor]]:
    """Lend a network in evaluation mode with its weights frozen.

    Yields:
        The network, and an empty tensor of the device and type that it takes. On another device than its own, a copy
        is lent.
    """
    sample = _sample_of(network)
    if device is not None and (moved := sample.to(device)).device != sample.device:
        network, sample = copy.deepcopy(network).to(device), moved
    trained = [(weight, weight.requires_grad) for weight in network.parameters()]
    modes = [(module, module.training) for module in network.modules()]
    try:
        network.eval().requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad():
            yield network, sample
    finally:
        for weight, requires_grad in trained:
            weight.requires_grad_(requires_grad)
        for module, training in modes:
            module.training = training


def _sample_of(network: nn.Module) -> Tensor:
    """An empty tensor on the device and of the type of the network's weights; a network without takes float32."""
    for weight in chain(network.parameters(), network.buffers()):
        if weight.is_floating_point():
            return torch.empty(0, dtype=weight.dtype, device=weight.device)
    return torch.empty(0)
