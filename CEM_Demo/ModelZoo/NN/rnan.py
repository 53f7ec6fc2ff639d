"""RNAN: Zhang et al., "Residual Non-local Attention Networks for Image Restoration", ICLR 2019."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import DIV2K_MEAN, MeanShift, ResidualSequence, convolution, upsampler


def _residual_blocks(width: int, count: int) -> list[nn.Module]:
    return [ResidualSequence(convolution(width, width), nn.ReLU(), convolution(width, width)) for _ in range(count)]


class NonLocal(nn.Module):
    """Non-local attention, with the input on top.

    As published, the softmax runs over the queries instead of the keys: the weights that a position gives to all
    others sum to one, not those that it receives.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.g = convolution(width, hidden, 1)
        self.W = convolution(hidden, width, 1)
        self.theta = convolution(width, hidden, 1)
        self.phi = convolution(width, hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))
        weights = torch.softmax(keys.transpose(1, 2) @ queries, dim=2)  # N x keys x queries
        return x + self.W((values @ weights).unflatten(2, x.shape[-2:]))


class MaskBranch(nn.Module):
    """Gates in 0..1 from a detour through half the size (section 3.2), which needs even sides."""

    def __init__(self, width: int, non_local: bool) -> None:
        super().__init__()
        attention = [NonLocal(width, width // 2)] if non_local else []
        self.MB_RB1 = nn.Sequential(*attention, *_residual_blocks(width, 1))
        self.MB_Down = nn.Sequential(nn.Conv2d(width, width, kernel_size=3, stride=2, padding=1))
        self.MB_RB2 = nn.Sequential(*_residual_blocks(width, 2))
        self.MB_Up = nn.Sequential(nn.ConvTranspose2d(width, width, kernel_size=6, stride=2, padding=2))
        self.MB_RB3 = nn.Sequential(*_residual_blocks(width, 1))
        self.MB_1x1conv = nn.Sequential(convolution(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        fine = self.MB_RB1(x)
        coarse = self.MB_Up(self.MB_RB2(self.MB_Down(fine)))
        return torch.sigmoid(self.MB_1x1conv(self.MB_RB3(fine + coarse)))


class TrunkBranch(nn.Module):
    """Two residual blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_residual_blocks(width, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class ResidualAttention(nn.Module):
    """Trunk times mask, plus the features they start from, between residual blocks."""

    def __init__(self, width: int, non_local: bool) -> None:
        super().__init__()
        self.RA_RB1 = nn.Sequential(*_residual_blocks(width, 1))
        self.RA_TB = nn.Sequential(TrunkBranch(width))
        self.RA_MB = nn.Sequential(MaskBranch(width, non_local))
        self.RA_tail = nn.Sequential(*_residual_blocks(width, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.RA_RB1(x)
        return self.RA_tail(self.RA_TB(x) * self.RA_MB(x) + x)


class Group(nn.Module):
    """Residual attention and a convolution, without a skip around them."""

    def __init__(self, width: int, non_local: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(ResidualAttention(width, non_local), convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class RNAN(nn.Module):
    """Ten groups, the first and the last with non-local attention.

    The image is on 0..255 but is shifted by a mean on 0..1, as it was when the published weights were trained.
    """

    def __init__(self, scale: int = 4, channels: int = 3, width: int = 64, groups: int = 10) -> None:
        super().__init__()
        self.sub_mean = MeanShift(DIV2K_MEAN, sign=-1, channels=channels)
        self.add_mean = MeanShift(DIV2K_MEAN, sign=+1, channels=channels)
        self.head = nn.Sequential(convolution(channels, width))
        self.body_nl_low = nn.Sequential(Group(width, non_local=True))
        self.body = nn.Sequential(*(Group(width) for _ in range(groups - 2)), convolution(width, width))
        self.body_nl_high = nn.Sequential(Group(width, non_local=True))
        self.tail = nn.Sequential(upsampler(width, scale), convolution(width, channels))

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.head(self.sub_mean(255 * x))
        features = shallow + self.body_nl_high(self.body(self.body_nl_low(shallow)))
        return self.add_mean(self.tail(features)) / 255
