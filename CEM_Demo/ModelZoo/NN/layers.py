"""Parts that several families share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Channel means (RGB, 0..1) of the DIV2K training photographs.
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


def convolution(in_channels: int, out_channels: int, kernel: int = 3, **options: int | bool) -> nn.Conv2d:
    """A convolution of stride 1 that keeps the size of its input (odd ``kernel``)."""
    return nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, **options)  # type: ignore[arg-type]


class MeanShift(nn.Conv2d):
    """Add ``sign`` times a channel mean, as a fixed 1 x 1 convolution (the state dicts carry it)."""

    def __init__(self, mean: tuple[float, ...], sign: int) -> None:
        super().__init__(len(mean), len(mean), kernel_size=1)
        self.requires_grad_(False)
        self.weight.data = torch.eye(len(mean))[:, :, None, None]
        self.bias.data = sign * torch.tensor(mean)  # type: ignore[union-attr]


class ResidualSequence(nn.Module):
    """``x + body(x)``."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def upsampler(width: int, scale: int) -> nn.Sequential:
    """Sub-pixel upsampling (Shi et al., CVPR 2016): factors 2 one after another, or one factor 3.

    Raises:
        ValueError: ``scale`` is neither 3 nor a power of two.
    """
    if scale == 3:
        factors = [3]
    elif scale > 0 and scale & (scale - 1) == 0:
        factors = [2] * (scale.bit_length() - 1)
    else:
        raise ValueError(f"scale {scale} is neither 3 nor a power of two")
    stages = [(convolution(width, width * factor**2), nn.PixelShuffle(factor)) for factor in factors]
    return nn.Sequential(*(layer for stage in stages for layer in stage))
