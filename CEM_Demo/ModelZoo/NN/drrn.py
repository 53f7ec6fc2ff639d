"""DRRN: Tai et al., "Image Super-Resolution via Deep Recursive Residual Network", CVPR 2017 (B1U25)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution


class DRRN(nn.Module):
    """One residual unit applied 25 times to the bicubically enlarged image, re-adding the block's input each time.

    The published code rectifies in place, so the two identity branches carry rectified values, unlike those of
    the paper; it has no batch normalization either.
    """

    def __init__(self, scale: int = 4, channels: int = 3, width: int = 128, recursions: int = 25) -> None:
        super().__init__()
        self.scale = scale
        self.recursions = recursions
        self.input = convolution(channels, width, bias=False)
        self.conv1 = convolution(width, width, bias=False)
        self.conv2 = convolution(width, width, bias=False)
        self.output = convolution(width, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        enlarged = F.relu(F.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=True))
        features = first = F.relu(self.input(enlarged))
        for _ in range(self.recursions):
            features = self.conv2(F.relu(self.conv1(F.relu(features)))) + first
        return self.output(F.relu(features)) + enlarged
