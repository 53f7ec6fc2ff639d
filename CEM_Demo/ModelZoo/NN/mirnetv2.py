"""MIRNet-v2: Zamir et al., "Learning Enriched Features for Fast Image Restoration and Enhancement", TPAMI 2022."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import ResidualSequence, convolution, named


def _pointwise(in_channels: int, out_channels: int) -> nn.Conv2d:
    return convolution(in_channels, out_channels, 1, bias=False)


class ContextBlock(nn.Module):
    """Add to every pixel one vector, pooled from the whole image by learned weights (Cao et al., GCNet, 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_mask = _pointwise(width, 1)
        self.channel_add_conv = nn.Sequential(_pointwise(width, width), nn.LeakyReLU(0.2), _pointwise(width, width))

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.conv_mask(x).flatten(2), dim=2)
        context = (x.flatten(2) * weights).sum(2)[:, :, None, None]
        return x + self.channel_add_conv(context)


class ResidualContextBlock(nn.Module):
    """Grouped convolutions and a context block, with the input on top (section 3.2)."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            convolution(width, width, bias=False, groups=groups),
            nn.LeakyReLU(0.2),
            convolution(width, width, bias=False, groups=groups),
        )
        self.gcnet = ContextBlock(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.leaky_relu(self.gcnet(self.body(x)), 0.2)


class SelectiveFusion(nn.Module):
    """Selective kernel feature fusion (section 3.1): a softmax per channel weighs two streams."""

    def __init__(self, width: int, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(width // reduction, 4)
        self.conv_du = nn.Sequential(_pointwise(width, hidden), nn.LeakyReLU(0.2))
        self.fcs = nn.ModuleList(_pointwise(hidden, width) for _ in range(2))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        squeezed = self.conv_du((first + second).mean((-2, -1), keepdim=True))
        # A softmax over two is a sigmoid of their difference.
        share = torch.sigmoid(self.fcs[0](squeezed) - self.fcs[1](squeezed))
        return share * first + (1 - share) * second


def _halve(in_channels: int, out_channels: int) -> nn.Sequential:
    layers = nn.Sequential(nn.AvgPool2d(2), _pointwise(in_channels, out_channels))
    return named(body=nn.Sequential(named(bot=layers)))


def _double(in_channels: int, out_channels: int) -> nn.Sequential:
    enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return named(body=nn.Sequential(named(bot=nn.Sequential(_pointwise(in_channels, out_channels), enlarge))))


class MultiScaleBlock(nn.Module):
    """Streams at full, half and quarter size, fused from coarse to fine, twice.

    Both rounds apply the same residual context blocks; only their upsampling differs.
    """

    def __init__(self, widths: tuple[int, int, int], groups: int) -> None:
        super().__init__()
        top, middle, bottom = widths
        self.dau_top = ResidualContextBlock(top, groups)
        self.dau_mid = ResidualContextBlock(middle, groups)
        self.dau_bot = ResidualContextBlock(bottom, groups)
        self.down2 = _halve(top, middle)
        self.down4 = nn.Sequential(_halve(top, middle), _halve(middle, bottom))
        self.up21_1, self.up21_2 = (_double(middle, top) for _ in range(2))
        self.up32_1, self.up32_2 = (_double(bottom, middle) for _ in range(2))
        self.conv_out = _pointwise(top, top)
        self.skff_top = SelectiveFusion(top)
        self.skff_mid = SelectiveFusion(middle)

    def forward(self, x: Tensor) -> Tensor:
        top, middle, bottom = x, self.down2(x), self.down4(x)
        for up21, up32 in ((self.up21_1, self.up32_1), (self.up21_2, self.up32_2)):
            top, middle, bottom = self.dau_top(top), self.dau_mid(middle), self.dau_bot(bottom)
            middle = self.skff_mid(middle, up32(bottom))
            top = self.skff_top(top, up21(middle))
        return x + self.conv_out(top)


class MIRNetV2(nn.Module):
    """Four groups of two multi-scale blocks, whose convolutions have more and more groups; sides are multiples of 4."""

    def __init__(self, widths: tuple[int, int, int] = (80, 120, 180), depth: int = 2) -> None:
        super().__init__()
        width = widths[0]
        self.conv_in = convolution(3, width, bias=False)
        self.body = nn.Sequential(
            *(
                ResidualSequence(
                    *(MultiScaleBlock(widths, groups) for _ in range(depth)),
                    convolution(width, width, bias=False),
                )
                for groups in (1, 2, 4, 4)
            )
        )
        self.conv_out = convolution(width, 3, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv_out(self.body(self.conv_in(image))) + image
