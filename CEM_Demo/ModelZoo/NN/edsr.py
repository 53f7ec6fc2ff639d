"""EDSR: Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017."""

from __future__ import annotations

from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import DIV2K_MEAN, MeanShift, ResidualSequence, convolution, upsampler


class EDSR(nn.Module):
    """The baseline without batch normalization: ``depth`` residual blocks of ``width`` channels.

    Args:
        span: the largest value of the images that the weights were trained on, 1 or 255.
        residual_scale: factor of the residuals; 0.1 in the paper's large network (section 3.3).
    """

    def __init__(
        self,
        scale: int = 4,
        channels: int = 3,
        width: int = 64,
        depth: int = 16,
        span: int = 1,
        residual_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.span = span
        self.sub_mean = MeanShift(DIV2K_MEAN, sign=-1, span=span, channels=channels)
        self.add_mean = MeanShift(DIV2K_MEAN, sign=+1, span=span, channels=channels)
        blocks = [
            ResidualSequence(convolution(width, width), nn.ReLU(), convolution(width, width), factor=residual_scale)
            for _ in range(depth)
        ]
        self.head = nn.Sequential(convolution(channels, width))
        self.body = nn.Sequential(*blocks, convolution(width, width))
        self.tail = nn.Sequential(upsampler(width, scale), convolution(width, channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.span != 1:
            return self._restore(x * self.span) / self.span
        return self._restore(x)

    def _restore(self, x: Tensor) -> Tensor:
        shallow = self.head(self.sub_mean(x))
        return self.add_mean(self.tail(shallow + self.body(shallow)))
