"""FSRCNN: Dong et al., "Accelerating the Super-Resolution Convolutional Neural Network", ECCV 2016."""

from __future__ import annotations

from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import convolution


class FSRCNN(nn.Module):
    """Features, shrinking to ``width``, ``depth`` mapping layers, expanding, one transposed convolution."""

    def __init__(self, scale: int = 4, channels: int = 3, features: int = 56, width: int = 12, depth: int = 4) -> None:
        super().__init__()
        self.first_part = nn.Sequential(convolution(channels, features, 5), nn.PReLU(features))
        mapping = [(convolution(width, width), nn.PReLU(width)) for _ in range(depth)]
        self.mid_part = nn.Sequential(
            convolution(features, width, 1),
            nn.PReLU(width),
            *(layer for pair in mapping for layer in pair),
            convolution(width, features, 1),
            nn.PReLU(features),
        )
        self.last_part = nn.ConvTranspose2d(
            features, channels, kernel_size=9, stride=scale, padding=4, output_padding=scale - 1
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.last_part(self.mid_part(self.first_part(x)))
