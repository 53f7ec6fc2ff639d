"""Wrap networks that take or give something other than a batch of color images in 0..1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


class ImageOutput(nn.Module):
    """A network that returns only the image, taken out of whatever ``net`` returns.

    Args:
        net: maps N x C x H x W to an image, or to a list, tuple or dictionary with one in it, at any depth.
        output: the image's key or number there; None for the last one.
    """

    def __init__(self, net: Callable[[Tensor], Any], output: str | int | None = None) -> None:
        super().__init__()
        self.net = net
        self.output = output

    def forward(self, image: Tensor) -> Tensor:
        returned = self.net(image)
        if self.output is not None and isinstance(returned, (Mapping, list, tuple)):
            returned = returned[self.output]  # type: ignore[call-overload, index]
        while isinstance(returned, (Mapping, list, tuple)) and returned:
            returned = returned[next(reversed(returned))] if isinstance(returned, Mapping) else returned[-1]
        return returned


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
