"""ESPCN: Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
Neural Network", CVPR 2016.
"""

from __future__ import annotations

from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import convolution


class ESPCN(nn.Module):
    """5 x 5 convolutions with Tanh at the input's size, and one sub-pixel convolution.

    ``depth`` counts the convolutions between the first one and the sub-pixel one. The published code gives
    the last of them 32 inputs whatever ``width`` is, so it runs at that width only; here the inputs follow it.
    """

    def __init__(self, scale: int = 4, channels: int = 3, width: int = 64, depth: int = 16) -> None:
        super().__init__()
        mapping = [(convolution(width, width, 5), nn.Tanh()) for _ in range(depth)]
        self.first_part = nn.Sequential(
            convolution(channels, width, 5), nn.Tanh(), *(layer for pair in mapping for layer in pair)
        )
        self.last_part = nn.Sequential(convolution(width, channels * scale**2), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        return self.last_part(self.first_part(x))
