"""Wrap networks that take or give something other than a batch of color images in 0..1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from CEM_Demo.errors import InputError


class ImageOutput(nn.Module):
    """A network that returns only the image, taken out of whatever ``net`` returns.

    Args:
        net: maps N x C x H x W to an image, or to a list, tuple or dictionary with one in it, at any depth.
        output: the image's key or number there; None for the last one. The network raises InputError if there is none.
    """

    def __init__(self, net: Callable[[Tensor], Any], output: str | int | None = None) -> None:
        super().__init__()
        self.net = net
        self.output = output

    def forward(self, image: Tensor) -> Tensor:
        returned = self.net(image)
        if self.output is not None and isinstance(returned, (Mapping, list, tuple)):
            returned = _element(returned, self.output)
        while isinstance(returned, (Mapping, list, tuple)) and returned:
            returned = returned[next(reversed(returned))] if isinstance(returned, Mapping) else returned[-1]
        return returned


def _element(returned: Mapping[Any, Any] | Sequence[Any], output: str | int) -> Any:
    if isinstance(returned, Mapping):
        if output not in returned:
            raise InputError(f"output: it returns no {output!r}; there is {', '.join(map(repr, returned))}")
        return returned[output]
    count = len(returned)
    if not isinstance(output, int) or not -count <= output < count:
        kind = type(returned).__name__
        raise InputError(f"output: it returns a {kind} of {count}, without {output!r}; write {-count} to {count - 1}")
    return returned[output]


class PerChannel(nn.Module):
    """A gray network that is applied to red, green and blue alike."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        # One after another rather than as a batch of three, which is no feature map, so that windows can be followed.
        return torch.cat([self.net(channel) for channel in image.split(1, dim=1)], dim=1)


class OneByOne(nn.Module):
    """A network that gets the images of a batch one at a time."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        if len(images) == 1:
            return self.net(images)
        return torch.cat([self.net(image) for image in images.split(1)])


class OnRange(nn.Module):
    """A network whose images have values in ``low..high``."""

    def __init__(self, net: nn.Module, low: float, high: float) -> None:
        super().__init__()
        self.net = net
        self.low = low
        self.high = high

    def forward(self, image: Tensor) -> Tensor:
        span = self.high - self.low
        return (self.net(image * span + self.low) - self.low) / span
