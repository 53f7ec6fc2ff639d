"""D-DBPN: Haris et al., "Deep Back-Projection Networks for Super-Resolution", CVPR 2018 (x4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import convolution, named


def _enlarge(width: int) -> nn.Sequential:
    return named(deconv=nn.ConvTranspose2d(width, width, kernel_size=8, stride=4, padding=2), act=nn.PReLU())


def _reduce(width: int) -> nn.Sequential:
    return named(conv=nn.Conv2d(width, width, kernel_size=8, stride=4, padding=2), act=nn.PReLU())


def _merge(width: int, inputs: int) -> nn.Module:
    """A 1 x 1 convolution in front of a unit that sees several earlier ones."""
    return named(conv=convolution(inputs * width, width, 1), act=nn.PReLU()) if inputs > 1 else nn.Identity()


class UpProjection(nn.Module):
    """Enlarge, project back, and correct by the enlarged error (section 3.2)."""

    def __init__(self, width: int, inputs: int) -> None:
        super().__init__()
        self.conv = _merge(width, inputs)
        self.up_conv1 = _enlarge(width)
        self.up_conv2 = _reduce(width)
        self.up_conv3 = _enlarge(width)

    def forward(self, x: Tensor) -> Tensor:
        low = self.conv(x)
        high = self.up_conv1(low)
        return high + self.up_conv3(self.up_conv2(high) - low)


class DownProjection(nn.Module):
    """Reduce, project back, and correct by the reduced error."""

    def __init__(self, width: int, inputs: int) -> None:
        super().__init__()
        self.conv = _merge(width, inputs)
        self.down_conv1 = _reduce(width)
        self.down_conv2 = _enlarge(width)
        self.down_conv3 = _reduce(width)

    def forward(self, x: Tensor) -> Tensor:
        high = self.conv(x)
        low = self.down_conv1(high)
        return low + self.down_conv3(self.down_conv2(low) - high)


class DDBPN(nn.Module):
    """Up and down projections in turn, each seeing all earlier maps of its size, the newest first."""

    def __init__(self, width: int = 64, features: int = 256, stages: int = 7) -> None:
        super().__init__()
        self.stages = stages
        self.feat0 = named(conv=convolution(3, features), act=nn.PReLU())
        self.feat1 = named(conv=convolution(features, width, 1), act=nn.PReLU())
        self.up1 = UpProjection(width, inputs=1)
        for stage in range(1, stages):
            setattr(self, f"down{stage}", DownProjection(width, inputs=stage))
            setattr(self, f"up{stage + 1}", UpProjection(width, inputs=stage))
        self.output_conv = named(conv=convolution(stages * width, 3))

    def forward(self, x: Tensor) -> Tensor:
        low: list[Tensor] = []
        high = [self.up1(self.feat1(self.feat0(x)))]
        for stage in range(1, self.stages):
            low.insert(0, getattr(self, f"down{stage}")(torch.cat(high, dim=1)))
            high.insert(0, getattr(self, f"up{stage + 1}")(torch.cat(low, dim=1)))
        return self.output_conv(torch.cat(high, dim=1))
