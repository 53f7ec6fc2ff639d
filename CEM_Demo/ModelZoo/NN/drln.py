"""DRLN: Anwar and Barnes, "Densely Residual Laplacian Super-Resolution", TPAMI 2020."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import DIV2K_MEAN, MeanShift, RectifiedResidual, convolution, named, upsampler

# Dense residual blocks per cascade.
CASCADES = (3, 3, 3, 3, 4, 4)


def _rectified(in_channels: int, out_channels: int, kernel: int = 3, dilation: int = 1) -> nn.Sequential:
    return named(body=nn.Sequential(convolution(in_channels, out_channels, kernel, dilation), nn.ReLU()))


class LaplacianAttention(nn.Module):
    """Channel gates from the means through three dilated convolutions side by side (section 3.3).

    The dilations reach only padding here, since the means form an image of one pixel.
    """

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = width // reduction
        self.c1, self.c2, self.c3 = (_rectified(width, hidden, dilation=dilation) for dilation in (3, 5, 7))
        self.c4 = named(body=nn.Sequential(convolution(3 * hidden, width), nn.Sigmoid()))

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean((-2, -1), keepdim=True)
        pyramid = torch.cat((self.c1(means), self.c2(means), self.c3(means)), dim=1)
        return x * self.c4(pyramid)


class DenseResidualBlock(nn.Module):
    """Residual units on 64, 128 and 256 channels, each joined to its input; then a 1 x 1 fusion and attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.r1, self.r2, self.r3 = (
            RectifiedResidual(convolution(count, count), nn.ReLU(), convolution(count, count))
            for count in (width, 2 * width, 4 * width)
        )
        self.g = _rectified(8 * width, width, 1)
        self.ca = LaplacianAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        for unit in (self.r1, self.r2, self.r3):
            x = torch.cat((x, unit(x)), dim=1)
        return self.ca(self.g(x))


class DRLN(nn.Module):
    """Cascades of dense residual blocks; a block's output is fused with all earlier ones of its cascade.

    As published, block 5 reads its cascade's input instead of the fused output of block 4, so ``c4`` is never
    used. The image is on 0..255 but is shifted by a mean on 0..1.
    """

    def __init__(self, width: int = 64, scale: int = 4) -> None:
        super().__init__()
        self.sub_mean = named(shifter=MeanShift(DIV2K_MEAN, sign=-1))
        self.add_mean = named(shifter=MeanShift(DIV2K_MEAN, sign=+1))
        self.head = convolution(3, width)
        places = [place for depth in CASCADES for place in range(depth)]
        for number in range(1, len(places) + 1):
            setattr(self, f"b{number}", DenseResidualBlock(width))
        for number, place in enumerate(places, start=1):
            setattr(self, f"c{number}", _rectified((place + 2) * width, width))
        self.upsample = named(up=named(body=upsampler(width, scale, rectified=True)))
        self.tail = convolution(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.head(self.sub_mean(255 * x))
        skip = fused = shallow
        number = 0
        for depth in CASCADES:
            collected, features = fused, skip
            for _ in range(depth):
                number += 1
                collected = torch.cat((collected, getattr(self, f"b{number}")(features)), dim=1)
                features = skip if number == 4 else getattr(self, f"c{number}")(collected)
            fused = features
            skip = fused + skip
        return self.add_mean(self.tail(self.upsample(skip + shallow))) / 255
