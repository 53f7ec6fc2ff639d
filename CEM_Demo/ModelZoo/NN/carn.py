"""CARN: Ahn et al., "Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network", ECCV 2018."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import DIV2K_MEAN, MeanShift, RectifiedResidual, convolution, named, upsampler


class Cascade(nn.Module):
    """Three parts in series; 1 x 1 convolutions merge the input with all parts' outputs so far (section 3.2).

    ``before`` holds a subclass's own layers, which the published state dict lists first.
    """

    def __init__(self, width: int, part: Callable[[int], nn.Module], **before: nn.Module) -> None:
        super().__init__()
        for name, layer in before.items():
            self.add_module(name, layer)
        self.b1, self.b2, self.b3 = (part(width) for _ in range(3))
        self.c1, self.c2, self.c3 = (
            named(body=nn.Sequential(convolution(width * count, width, 1), nn.ReLU())) for count in (2, 3, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        collected = x
        for part, merge in ((self.b1, self.c1), (self.b2, self.c2), (self.b3, self.c3)):
            collected = torch.cat((collected, part(x)), dim=1)
            x = merge(collected)
        return x


def _residual(width: int) -> RectifiedResidual:
    return RectifiedResidual(convolution(width, width), nn.ReLU(), convolution(width, width))


def _block(width: int) -> Cascade:
    return Cascade(width, _residual)


class CARN(Cascade):
    """Cascading blocks in a cascade, trained for one scale.

    The published file holds 1.11 million parameters, those of the network with one upsampler instead of three.
    """

    sub_mean: nn.Sequential
    add_mean: nn.Sequential
    entry: nn.Conv2d

    def __init__(self, scale: int = 4, width: int = 64) -> None:
        super().__init__(
            width,
            _block,
            sub_mean=named(shifter=MeanShift(DIV2K_MEAN, sign=-1)),
            add_mean=named(shifter=MeanShift(DIV2K_MEAN, sign=+1)),
            entry=convolution(3, width),
        )
        self.upsample = named(up=named(body=upsampler(width, scale, rectified=True)))
        self.exit = convolution(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = super().forward(self.entry(self.sub_mean(x)))
        return self.add_mean(self.exit(self.upsample(features)))
