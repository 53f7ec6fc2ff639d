"""RCAN: Zhang et al., "Image Super-Resolution Using Very Deep Residual Channel Attention Networks", ECCV 2018."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import (
    DIV2K_MEAN,
    ChannelAttention,
    MeanShift,
    ResidualSequence,
    convolution,
    squeeze_gate,
    upsampler,
)

# Channel means (RGB, 0..1) that the published RCAN subtracts; every other network uses DIV2K's.
RCAN_MEAN = (0.4690, 0.4490, 0.4036)


class RCAN(nn.Module):
    """The published network: residual groups of residual channel attention blocks, on 0..255."""

    def __init__(self, scale: int = 4, channels: int = 3, width: int = 64, groups: int = 10, depth: int = 20) -> None:
        super().__init__()
        self.sub_mean = MeanShift(RCAN_MEAN, sign=-1, span=255, channels=channels)
        self.add_mean = MeanShift(RCAN_MEAN, sign=+1, span=255, channels=channels)
        self.head = nn.Sequential(convolution(channels, width))
        self.body = nn.Sequential(
            *(ResidualSequence(*_attention_blocks(width, depth), convolution(width, width)) for _ in range(groups)),
            convolution(width, width),
        )
        self.tail = nn.Sequential(upsampler(width, scale), convolution(width, channels))

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.head(self.sub_mean(255 * x))
        return self.add_mean(self.tail(shallow + self.body(shallow))) / 255


def _attention_blocks(width: int, depth: int) -> list[ResidualSequence]:
    return [
        ResidualSequence(convolution(width, width), nn.ReLU(), convolution(width, width), ChannelAttention(width))
        for _ in range(depth)
    ]


class PooledAttention(nn.Module):
    """Channel attention whose gates come from ``pool``; the gate of a region acts on the whole region."""

    def __init__(self, width: int, pool: nn.Module) -> None:
        super().__init__()
        self.attention = nn.Sequential(pool, *squeeze_gate(width, width // 16))

    def forward(self, x: Tensor) -> Tensor:
        return x * F.interpolate(self.attention(x), size=x.shape[-2:], mode="nearest")


class Block(nn.Module):
    """Convolution, ReLU, convolution, attention where there is a ``pool``, and the input on top."""

    def __init__(self, width: int, pool: nn.Module | None) -> None:
        super().__init__()
        self.rcab = nn.Sequential(convolution(width, width), nn.ReLU(), convolution(width, width))
        if pool is not None:
            self.rcab.append(PooledAttention(width, pool))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.rcab(x)


class Group(nn.Module):
    """``depth`` blocks, a convolution, and the input on top."""

    def __init__(self, width: int, depth: int, pool: nn.Module | None) -> None:
        super().__init__()
        self.residual_group = nn.Sequential(*(Block(width, pool) for _ in range(depth)))
        self.conv = convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(self.residual_group(x))


class RetrainedRCAN(nn.Module):
    """RCAN in the layout of BasicSR, in which the authors of CEM published their variants of it.

    Args:
        scale: output side over input side; 1 leaves the upsampler out.
        groups: number of residual groups.
        depth: blocks per group.
        gated: how many of the first groups have channel attention.
        grid: pool the image into ``grid`` x ``grid`` gates; 1 is the attention of the paper.
        window: pool windows of this side (pixels) instead; pixels left over at the edges are not pooled.
    """

    mean: Tensor

    def __init__(
        self,
        scale: int = 4,
        width: int = 64,
        groups: int = 10,
        depth: int = 20,
        gated: int | None = None,
        grid: int = 1,
        window: int | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1), persistent=False)
        gated = groups if gated is None else gated
        pool = nn.AvgPool2d(window) if window else nn.AdaptiveAvgPool2d(grid)
        with_gates = [Group(width, depth, pool) for _ in range(gated)]
        without_gates = [Group(width, depth, None) for _ in range(groups - gated)]
        self.conv_first = convolution(3, width)
        if with_gates and without_gates:
            self.body_ca = nn.Sequential(*with_gates)
            self.body_no_ca = nn.Sequential(*without_gates)
        else:
            self.body = nn.Sequential(*with_gates, *without_gates)
        self.conv_after_body = convolution(width, width)
        if scale > 1:
            self.upsample = upsampler(width, scale)
        self.conv_last = convolution(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.conv_first(255 * (x - self.mean))
        features = shallow + self.conv_after_body(self._groups(shallow))
        if hasattr(self, "upsample"):
            features = self.upsample(features)
        return self.conv_last(features) / 255 + self.mean

    def _groups(self, features: Tensor) -> Tensor:
        if hasattr(self, "body"):
            return self.body(features)
        return self.body_no_ca(self.body_ca(features))
