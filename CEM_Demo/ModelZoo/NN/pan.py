"""PAN: Zhao et al., "Efficient Image Super-Resolution Using Pixel Attention", ECCVW 2020."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution


class PixelAttention(nn.Module):
    """Gate every value of every pixel by a 1 x 1 convolution (section 3.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = convolution(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(x))


class PixelAttentionConvolution(nn.Module):
    """A convolution gated by pixel attention on its input, and a second convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.k2 = convolution(width, width, 1)
        self.k3 = convolution(width, width, bias=False)
        self.k4 = convolution(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.k4(self.k3(x) * torch.sigmoid(self.k2(x)))


class SCPABlock(nn.Module):
    """Self-calibrated block (section 3.3): half of the channels convolved plainly, half with pixel attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1_a = convolution(width, half, 1, bias=False)
        self.conv1_b = convolution(width, half, 1, bias=False)
        self.k1 = nn.Sequential(convolution(half, half, bias=False))
        self.PAConv = PixelAttentionConvolution(half)
        self.conv3 = convolution(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        plain = self.k1(F.leaky_relu(self.conv1_a(x), 0.2))
        attended = self.PAConv(F.leaky_relu(self.conv1_b(x), 0.2))
        halves = torch.cat((F.leaky_relu(plain, 0.2), F.leaky_relu(attended, 0.2)), dim=1)
        return x + self.conv3(halves)


class PAN(nn.Module):
    """16 blocks of 40 channels, then two nearest-neighbor doublings of 24, added to the bilinear image."""

    def __init__(self, width: int = 40, upsampling_width: int = 24, depth: int = 16) -> None:
        super().__init__()
        self.conv_first = convolution(3, width)
        self.SCPA_trunk = nn.Sequential(*(SCPABlock(width) for _ in range(depth)))
        self.trunk_conv = convolution(width, width)
        self.upconv1 = convolution(width, upsampling_width)
        self.att1 = PixelAttention(upsampling_width)
        self.HRconv1 = convolution(upsampling_width, upsampling_width)
        self.upconv2 = convolution(upsampling_width, upsampling_width)
        self.att2 = PixelAttention(upsampling_width)
        self.HRconv2 = convolution(upsampling_width, upsampling_width)
        self.conv_last = convolution(upsampling_width, 3)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.conv_first(x)
        features = shallow + self.trunk_conv(self.SCPA_trunk(shallow))
        for enter, attend, leave in (
            (self.upconv1, self.att1, self.HRconv1),
            (self.upconv2, self.att2, self.HRconv2),
        ):
            features = enter(F.interpolate(features, scale_factor=2, mode="nearest"))
            features = F.leaky_relu(leave(F.leaky_relu(attend(features), 0.2)), 0.2)
        return self.conv_last(features) + F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
