"""IMDN: Hui et al., "Lightweight Image Super-Resolution with Information Multi-Distillation Network", ACM MM 2019."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import ChannelAttention, convolution


class ContrastAttention(ChannelAttention):
    """Channel attention on standard deviation plus mean (section 3.4)."""

    def squeeze(self, x: Tensor) -> Tensor:
        mean = x.mean((-2, -1), keepdim=True)
        deviation = (x - mean).square().mean((-2, -1), keepdim=True).sqrt()
        return deviation + mean


class DistillationBlock(nn.Module):
    """A block that three times sets a quarter of the channels aside and refines the rest, then fuses the former."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kept = kept = width // 4
        self.c1 = convolution(width, width)
        self.c2 = convolution(width - kept, width)
        self.c3 = convolution(width - kept, width)
        self.c4 = convolution(width - kept, kept)
        self.c5 = convolution(width, width, 1)
        self.cca = ContrastAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        distilled = []
        remaining = x
        for refine in (self.c1, self.c2, self.c3):
            refined = F.leaky_relu(refine(remaining), 0.05)
            distilled.append(refined[:, : self.kept])
            remaining = refined[:, self.kept :]
        distilled.append(self.c4(remaining))
        return x + self.c5(self.cca(torch.cat(distilled, dim=1)))


class IMDN(nn.Module):
    """Six distillation blocks; their outputs are fused, added to the first features and enlarged in one step."""

    def __init__(self, scale: int = 4, width: int = 64) -> None:
        super().__init__()
        self.fea_conv = convolution(3, width)
        for number in range(1, 7):
            setattr(self, f"IMDB{number}", DistillationBlock(width))
        self.c = nn.Sequential(convolution(6 * width, width, 1), nn.LeakyReLU(0.05))
        self.LR_conv = convolution(width, width)
        self.upsampler = nn.Sequential(convolution(width, 3 * scale**2), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        shallow = features = self.fea_conv(x)
        outputs = []
        for number in range(1, 7):
            features = getattr(self, f"IMDB{number}")(features)
            outputs.append(features)
        fused = self.LR_conv(self.c(torch.cat(outputs, dim=1)))
        return self.upsampler(fused + shallow)
