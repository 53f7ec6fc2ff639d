"""SRDenseNet: Tong et al., "Image Super-Resolution Using Dense Skip Connections", ICCV 2017."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution, named


class DenseLayer(nn.Module):
    """Appends ``growth`` new channels to its input."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.conv = convolution(in_channels, growth)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, F.relu(self.conv(x))), dim=1)


class SRDenseNet(nn.Module):
    """8 blocks of 8 dense layers: every layer sees all earlier channels, 1040 of them at the end.

    No activation follows the bottleneck and the transposed convolutions.
    """

    def __init__(self, channels: int = 3, growth: int = 16, blocks: int = 8, depth: int = 8, width: int = 128) -> None:
        super().__init__()
        self.conv1 = convolution(channels, growth)
        inputs = [growth * (layer + 1) for layer in range(blocks * depth)]
        layers = [DenseLayer(count, growth) for count in inputs]
        self.denseblock = nn.Sequential(
            *(named(block=nn.Sequential(*layers[i * depth : (i + 1) * depth])) for i in range(blocks))
        )
        self.Bottleneck = convolution(inputs[-1] + growth, width, 1)
        self.convt1 = nn.ConvTranspose2d(width, width, kernel_size=4, stride=2, padding=1)
        self.convt2 = nn.ConvTranspose2d(width, width, kernel_size=4, stride=2, padding=1)
        self.conv2 = convolution(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        features = self.denseblock(F.relu(self.conv1(x)))
        return self.conv2(self.convt2(self.convt1(self.Bottleneck(features))))


class NarrowingBlock(nn.Module):
    """Dense layers after a layer that narrows to ``growth`` channels and drops its input; the block keeps the input."""

    def __init__(self, in_channels: int, growth: int, depth: int) -> None:
        super().__init__()
        first = named(conv=convolution(in_channels, growth), relu=nn.ReLU())
        self.block = nn.Sequential(first, *(DenseLayer(growth * layer, growth) for layer in range(1, depth)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.block(x)), dim=1)


def _doubling(width: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(width, width, kernel_size=3, stride=2, padding=1, output_padding=1)


class SRDenseNet17(nn.Module):
    """The variant whose blocks start from 16 channels each, with ReLU after every layer but the last."""

    def __init__(self, growth: int = 16, blocks: int = 8, depth: int = 8, width: int = 256) -> None:
        super().__init__()
        block_width = growth * depth
        self.conv = named(conv=convolution(3, block_width), relu=nn.ReLU())
        self.dense_blocks = nn.Sequential(
            *(NarrowingBlock(block_width * (i + 1), growth, depth) for i in range(blocks))
        )
        self.bottleneck = nn.Sequential(convolution(block_width * (blocks + 1), width, 1), nn.ReLU())
        self.deconv = nn.Sequential(_doubling(width), nn.ReLU(), _doubling(width), nn.ReLU())
        self.reconstruction = convolution(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = self.dense_blocks(self.conv(x))
        return self.reconstruction(self.deconv(self.bottleneck(features)))
