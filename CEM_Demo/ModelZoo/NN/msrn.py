"""MSRN: Li et al., "Multi-scale Residual Network for Image Super-Resolution", ECCV 2018."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import DIV2K_MEAN, MeanShift, convolution, upsampler


class MultiScaleBlock(nn.Module):
    """Two rounds of 3 x 3 and 5 x 5 convolutions; each round sees both results of the one before (section 3.1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_3_1 = convolution(width, width)
        self.conv_3_2 = convolution(2 * width, 2 * width)
        self.conv_5_1 = convolution(width, width, 5)
        self.conv_5_2 = convolution(2 * width, 2 * width, 5)
        self.confusion = convolution(4 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = F.relu(torch.cat((self.conv_3_1(x), self.conv_5_1(x)), dim=1))
        second = F.relu(torch.cat((self.conv_3_2(first), self.conv_5_2(first)), dim=1))
        return x + self.confusion(second)


class MSRN(nn.Module):
    """Eight multi-scale blocks whose outputs all reach the tail.

    The image is on 0..255 but is shifted by a mean on 0..1, as it was when the published weights were trained.
    """

    def __init__(self, scale: int = 4, channels: int = 3, width: int = 64, depth: int = 8) -> None:
        super().__init__()
        self.sub_mean = MeanShift(DIV2K_MEAN, sign=-1, channels=channels)
        self.add_mean = MeanShift(DIV2K_MEAN, sign=+1, channels=channels)
        self.head = nn.Sequential(convolution(channels, width))
        self.body = nn.ModuleList(MultiScaleBlock(width) for _ in range(depth))
        self.tail = nn.Sequential(
            convolution((depth + 1) * width, width, 1),
            convolution(width, width),
            upsampler(width, scale),
            convolution(width, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        shallow = features = self.head(self.sub_mean(255 * x))
        outputs = []
        for block in self.body:
            features = block(features)
            outputs.append(features)
        return self.add_mean(self.tail(torch.cat((*outputs, shallow), dim=1))) / 255
