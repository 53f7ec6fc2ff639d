"""Borrow a caller's network to compute gradients, and give it back as it was."""

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
        The network, and an empty tensor of the device and type that it takes. The network is a copy if ``device`` is
        not its own, or if its weights were made in inference mode, since autograd does not accept those.
    """
    sample = _sample_of(network)
    moved = sample if device is None else sample.to(device)
    with torch.inference_mode(False), torch.enable_grad():
        if moved.device != sample.device or any(weight.is_inference() for weight in network.parameters()):
            network = copy.deepcopy(network).to(moved.device)
        weights = [(weight, weight.requires_grad) for weight in network.parameters()]
        modes = [(module, module.training) for module in network.modules()]
        try:
            network.eval()
            for weight, _ in weights:
                weight.requires_grad_(False)
            yield network, moved
        finally:
            for weight, requires_grad in weights:
                weight.requires_grad_(requires_grad)
            for module, training in modes:
                module.training = training


@contextmanager
def left_as_found(network: object) -> Iterator[None]:
    """Put a caller's network back on its device, and its modules into their modes, when the work is done."""
    if not isinstance(network, nn.Module):
        yield
        return
    device = _sample_of(network).device
    modes = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        network.to(device)


def _sample_of(network: nn.Module) -> Tensor:
    """Give an empty tensor of the device and type of the weights; float32 on the CPU if there are no weights."""
    for weight in chain(network.parameters(), network.buffers()):
        if weight.is_floating_point():
            return torch.empty(0, dtype=weight.dtype, device=weight.device)
    return torch.empty(0)
