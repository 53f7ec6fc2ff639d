"""RFDN: Liu et al., "Residual Feature Distillation Network for Lightweight Image Super-Resolution", ECCVW 2020."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution


class SpatialAttention(nn.Module):
    """Enhanced spatial attention (section 3.4): gates every pixel by a heavily reduced view of its surroundings.

    The strided convolution and the pooling are unpadded, so both sides must be at least 15 pixels.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = convolution(width, hidden, 1)
        self.conv_f = convolution(hidden, hidden, 1)
        self.conv_max = convolution(hidden, hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, kernel_size=3, stride=2)
        self.conv3 = convolution(hidden, hidden)
        self.conv3_ = convolution(hidden, hidden)
        self.conv4 = convolution(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.conv1(x)
        coarse = F.max_pool2d(self.conv2(reduced), kernel_size=7, stride=3)
        coarse = self.conv3_(F.relu(self.conv3(F.relu(self.conv_max(coarse)))))
        coarse = F.interpolate(coarse, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(coarse + self.conv_f(reduced)))


class DistillationBlock(nn.Module):
    """A block that three times keeps half of the channels and refines the rest, then fuses what was kept.

    Unlike the paper's figure, the published network has no skip around the block.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        kept = width // 2
        for step in (1, 2, 3):
            setattr(self, f"c{step}_d", convolution(width, kept, 1))
            setattr(self, f"c{step}_r", convolution(width, width))
        self.c4 = convolution(width, kept)
        self.c5 = convolution(4 * kept, width, 1)
        self.esa = SpatialAttention(width, width // 4)

    def forward(self, x: Tensor) -> Tensor:
        distilled = []
        for step in (1, 2, 3):
            distilled.append(F.leaky_relu(getattr(self, f"c{step}_d")(x), 0.05))
            x = F.leaky_relu(getattr(self, f"c{step}_r")(x) + x, 0.05)
        distilled.append(F.leaky_relu(self.c4(x), 0.05))
        return self.esa(self.c5(torch.cat(distilled, dim=1)))


class RFDN(nn.Module):
    """The entry that won AIM 2020's efficient super-resolution challenge: 4 blocks of 50 channels, on 0..255."""

    def __init__(self, scale: int = 4, width: int = 50) -> None:
        super().__init__()
        self.fea_conv = convolution(3, width)
        self.B1, self.B2, self.B3, self.B4 = (DistillationBlock(width) for _ in range(4))
        self.c = nn.Sequential(convolution(4 * width, width, 1), nn.LeakyReLU(0.05))
        self.LR_conv = convolution(width, width)
        self.upsampler = nn.Sequential(convolution(width, 3 * scale**2), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        shallow = features = self.fea_conv(255 * x)
        outputs = []
        for block in (self.B1, self.B2, self.B3, self.B4):
            features = block(features)
            outputs.append(features)
        fused = self.LR_conv(self.c(torch.cat(outputs, dim=1)))
        return self.upsampler(fused + shallow) / 255
