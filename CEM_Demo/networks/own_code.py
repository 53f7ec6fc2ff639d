"""Networks that the user's own code makes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from CEM_Demo.errors import InputError
from CEM_Demo.user_code import blaming


class ImageOutput(nn.Module):
    """A network that returns the image alone, out of whatever ``net`` returns.

    Args:
        net: maps N x C x H x W to an image, or to a list, tuple or dictionary with one in it.
        output: the image's key or number there; None for the last one.
    """

    def __init__(self, net: nn.Module, output: str | int | None) -> None:
        super().__init__()
        self.net = net
        self.output = output

    def forward(self, image: Tensor) -> Tensor:
        returned = self.net(image)
        if isinstance(returned, Tensor):
            return returned
        if isinstance(returned, Mapping):
            return returned[next(reversed(returned)) if self.output is None else self.output]
        return returned[-1 if self.output is None else self.output]


def build_own(make: Any, kwargs: Mapping[str, Any], code: Path) -> nn.Module:
    """Make the network, always from the same random state, so that untrained weights are the same each time.

    Raises:
        InputError: it fails, or gives no network.
    """
    with blaming(code, make), torch.random.fork_rng():
        torch.manual_seed(0)
        net = make if isinstance(make, nn.Module) else make(**kwargs)
    if not isinstance(net, nn.Module):
        raise InputError(f"{code} gives a {type(net).__name__}, not a network (torch.nn.Module)")
    return net


def weights_digest(net: nn.Module) -> str:
    """SHA-256 of a network's weights as they are in memory, wherever they came from."""
    digest = hashlib.sha256()
    for key, value in net.state_dict().items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
