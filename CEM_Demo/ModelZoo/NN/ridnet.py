"""RIDNet: Anwar and Barnes, "Real Image Denoising with Feature Attention", ICCV 2019."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import DIV2K_MEAN, MeanShift, RectifiedResidual, convolution, named


def _convolutions(width: int, dilations: tuple[int, ...]) -> nn.Sequential:
    """Convolutions with ReLU after each."""
    layers = [(convolution(width, width, dilation=dilation), nn.ReLU()) for dilation in dilations]
    return nn.Sequential(*(layer for pair in layers for layer in pair))


class MergeAndRun(nn.Module):
    """Two dilated branches side by side, merged, and the input on top."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body1 = _convolutions(width, (1, 2))
        self.body2 = _convolutions(width, (3, 4))
        self.body3 = nn.Sequential(convolution(2 * width, width), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body3(torch.cat((self.body1(x), self.body2(x)), dim=1))


class FeatureAttention(nn.Module):
    """Channel attention."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = width // reduction
        self.c1 = named(body=nn.Sequential(convolution(width, hidden, 1), nn.ReLU()))
        self.c2 = named(body=nn.Sequential(convolution(hidden, width, 1), nn.Sigmoid()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.c2(self.c1(x.mean((-2, -1), keepdim=True)))


def enhancement_attention(width: int) -> nn.Sequential:
    """Enhancement attention module (section 3.2); as published, without the skip around it."""
    return named(
        r1=MergeAndRun(width),
        r2=RectifiedResidual(convolution(width, width), nn.ReLU(), convolution(width, width)),
        r3=RectifiedResidual(*_convolutions(width, (1, 1)), convolution(width, width, 1)),
        ca=FeatureAttention(width),
    )


class RIDNet(nn.Module):
    """Four attention modules predict a residual on 0..255; the channel mean is added to it once more."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.sub_mean = MeanShift(DIV2K_MEAN, sign=-1, span=255)
        self.add_mean = MeanShift(DIV2K_MEAN, sign=+1, span=255)
        self.head = named(body=nn.Sequential(convolution(3, width), nn.ReLU()))
        self.b1, self.b2, self.b3, self.b4 = (enhancement_attention(width) for _ in range(4))
        self.tail = convolution(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(self.sub_mean(255 * x))
        features = self.b4(self.b3(self.b2(self.b1(features))))
        return (self.add_mean(self.tail(features)) + 255 * x) / 255
