"""RRDBNet: Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCVW 2018.

Real-ESRGAN and Real-ESRNet (Wang et al., ICCVW 2021) are trainings of the same network.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution

# Residuals are scaled down before they are added, which stabilizes the training (ESRGAN, section 3.1).
RESIDUAL_SCALE = 0.2


class DenseBlock(nn.Module):
    """Five convolutions; each sees the block's input and all earlier results."""

    conv5: nn.Conv2d

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for number in range(1, 6):
            outputs = growth if number < 5 else width
            setattr(self, f"conv{number}", convolution(width + (number - 1) * growth, outputs))

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for number in range(1, 5):
            new = F.leaky_relu(getattr(self, f"conv{number}")(seen), 0.2)
            seen = torch.cat((seen, new), dim=1)
        return x + RESIDUAL_SCALE * self.conv5(seen)


class ResidualInResidual(nn.Module):
    """Three dense blocks in series, and the input on top."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL_SCALE * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDBNet(nn.Module):
    """23 residual-in-residual dense blocks, then two nearest-neighbor doublings."""

    def __init__(self, channels: int = 3, width: int = 64, growth: int = 32, depth: int = 23) -> None:
        super().__init__()
        self.conv_first = convolution(channels, width)
        self.body = nn.Sequential(*(ResidualInResidual(width, growth) for _ in range(depth)))
        self.conv_body = convolution(width, width)
        self.conv_up1 = convolution(width, width)
        self.conv_up2 = convolution(width, width)
        self.conv_hr = convolution(width, width)
        self.conv_last = convolution(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        shallow = self.conv_first(x)
        features = shallow + self.conv_body(self.body(shallow))
        for enlarge in (self.conv_up1, self.conv_up2):
            features = F.leaky_relu(enlarge(F.interpolate(features, scale_factor=2, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(features), 0.2))
