"""SRCNN: Dong et al., "Image Super-Resolution Using Deep Convolutional Networks", TPAMI 2016 (the 9-5-5 network)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution


class SRCNN(nn.Module):
    """Patch extraction, non-linear mapping and reconstruction, on the bicubically enlarged image."""

    def __init__(self, scale: int = 4, channels: int = 3) -> None:
        super().__init__()
        self.scale = scale
        self.conv1 = convolution(channels, 64, 9)
        self.conv2 = convolution(64, 32, 5)
        self.conv3 = convolution(32, channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        # The published network aligns the corner pixels, unlike the bicubic kernel of the paper.
        x = F.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=True)
        return self.conv3(F.relu(self.conv2(F.relu(self.conv1(x)))))
