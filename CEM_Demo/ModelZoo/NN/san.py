"""SAN: Dai et al., "Second-Order Attention Network for Single Image Super-Resolution", CVPR 2019."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import (
    DIV2K_MEAN,
    ChannelAttention,
    MeanShift,
    attend,
    convolution,
    upsampler,
)

# Larger feature maps (pixels) are cropped to their center before their covariance is taken.
LARGEST_SIDE = 1000


def _centre(x: Tensor) -> Tensor:
    for axis in (-2, -1):
        side = min(x.shape[axis], LARGEST_SIDE)
        x = x.narrow(axis, (x.shape[axis] - side) // 2, side)
    return x


def covariance(x: Tensor) -> Tensor:
    """Compute the covariance of the channels over the positions, N x C x C."""
    positions = x.flatten(2)
    centred = positions - positions.mean(2, keepdim=True)
    return centred @ centred.transpose(1, 2) / positions.shape[2]


def square_root(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Compute square roots of positive matrices (N x C x C) by Newton-Schulz iterations (equations 6 to 9).

    The iterations converge only near the identity, so they start after a division by the trace, undone at the end.
    """
    trace = matrix.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    identity = torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    root, inverse = matrix / trace, identity
    for _ in range(iterations):
        step = 1.5 * identity - 0.5 * inverse @ root
        root, inverse = root @ step, step @ inverse
    return root * trace.sqrt()


class SecondOrderAttention(ChannelAttention):
    """Channel gates from the row means of the covariance's square root (section 3.3)."""

    def squeeze(self, x: Tensor) -> Tensor:
        return square_root(covariance(_centre(x))).mean(1)[:, :, None, None]


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution, and the input on top."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_first = nn.Sequential(convolution(width, width), nn.ReLU(), convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_first(x)


class ResidualGroup(nn.Module):
    """Residual blocks, second-order attention, a convolution, and the input on top; ``gamma`` is never used."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.rcab = nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
        self.soca = SecondOrderAttention(width)
        self.conv_last = convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_last(self.soca(self.rcab(x)))


class NonLocal(nn.Module):
    """Non-local attention with keys and values pooled to half size, and the input on top."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.g = nn.Sequential(convolution(width, hidden, 1), nn.MaxPool2d(2))
        self.W = convolution(hidden, width, 1)
        self.theta = convolution(width, hidden, 1)
        self.phi = nn.Sequential(convolution(width, hidden, 1), nn.MaxPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.W(attend(self.theta(x), self.phi(x), self.g(x)))


class RegionNonLocal(nn.Module):
    """Non-local attention within each quadrant of the image (section 3.2); ``soca`` is never used."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.soca = SecondOrderAttention(width, reduction=8)
        self.non_local = NonLocal(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = x.shape[-2] // 2, x.shape[-1] // 2
        halves = []
        for half in (x[..., :rows, :], x[..., rows:, :]):
            left, right = half[..., :columns], half[..., columns:]
            halves.append(torch.cat((self.non_local(left), self.non_local(right)), dim=-1))
        return torch.cat(halves, dim=-2)


class SAN(nn.Module):
    """20 groups of 10 blocks between two uses of one region non-local module, whose first output every group re-adds.

    As published, the second non-local output goes straight to the tail, so the top-level ``conv_last`` is never
    used. The image is on 0..255 but is shifted by a mean on 0..1.
    """

    def __init__(self, scale: int = 4, channels: int = 3, width: int = 64, groups: int = 20, depth: int = 10) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))
        self.sub_mean = MeanShift(DIV2K_MEAN, sign=-1, channels=channels)
        self.RG = nn.ModuleList(ResidualGroup(width, depth) for _ in range(groups))
        self.conv_last = convolution(width, width)
        self.add_mean = MeanShift(DIV2K_MEAN, sign=+1, channels=channels)
        self.non_local = RegionNonLocal(width, width // 8)
        self.head = nn.Sequential(convolution(channels, width))
        self.tail = nn.Sequential(upsampler(width, scale), convolution(width, channels))

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.head(self.sub_mean(255 * x))
        features = first = self.non_local(shallow)
        for group in self.RG:
            features = group(features) + self.gamma * first
        features = self.non_local(features) + shallow
        return self.add_mean(self.tail(features)) / 255
