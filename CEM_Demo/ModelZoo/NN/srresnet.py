"""MSRResNet, the residual network without batch normalization of Wang et al., ESRGAN, ECCVW 2018.

It follows SRResNet of Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a GAN", CVPR 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution, and the input on top."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = convolution(width, width)
        self.conv2 = convolution(width, width)
        self._start_small()

    @torch.no_grad()
    def _start_small(self) -> None:
        # Residual branches that start at a tenth of their usual size train stably (ESRGAN, section 3.3).
        for layer in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(layer.weight).mul_(0.1)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


class SRResNet(nn.Module):
    """Residual learning on top of the (bilinearly enlarged) input; no skip around the body.

    ``scale`` 4 enlarges by two sub-pixel stages, 2 and 3 by one; ``scale`` 1 restores at the input's size.
    """

    stages: dict[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2)}

    def __init__(self, scale: int = 4, width: int = 64, depth: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.conv_first = convolution(3, width)
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))
        for number, factor in enumerate(self.stages[scale], 1):
            setattr(self, f"upconv{number}", convolution(width, factor**2 * width))
        self.conv_hr = convolution(width, width)
        self.conv_last = convolution(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(F.leaky_relu(self.conv_first(x), 0.1))
        for number, factor in enumerate(self.stages[self.scale], 1):
            features = F.leaky_relu(F.pixel_shuffle(getattr(self, f"upconv{number}")(features), factor), 0.1)
        if self.scale > 1:
            x = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return self.conv_last(F.leaky_relu(self.conv_hr(features), 0.1)) + x
