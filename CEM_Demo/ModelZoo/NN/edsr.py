"""EDSR: Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017."""

from __future__ import annotations

from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import DIV2K_MEAN, MeanShift, ResidualSequence, convolution, upsampler


class EDSR(nn.Module):
    """The baseline without batch normalisation: ``depth`` residual blocks of ``width`` channels."""

    def __init__(self, scale: int = 4, channels: int = 3, width: int = 64, depth: int = 16) -> None:
        super().__init__()
        self.sub_mean = MeanShift(DIV2K_MEAN, sign=-1)
        self.add_mean = MeanShift(DIV2K_MEAN, sign=+1)
        blocks = [
            ResidualSequence(convolution(width, width), nn.ReLU(), convolution(width, width)) for _ in range(depth)
        ]
        self.head = nn.Sequential(convolution(channels, width))
        self.body = nn.Sequential(*blocks, convolution(width, width))
        self.tail = nn.Sequential(upsampler(width, scale), convolution(width, channels))

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.head(self.sub_mean(x))
        return self.add_mean(self.tail(shallow + self.body(shallow)))
