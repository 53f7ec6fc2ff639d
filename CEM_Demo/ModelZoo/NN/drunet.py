"""DRUNet: Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", TPAMI 2022."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import convolution


class ResidualBlock(nn.Module):
    """Convolution, ReLU, convolution, and the input on top."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.res = nn.Sequential(
            convolution(width, width, bias=False), nn.ReLU(), convolution(width, width, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.res(x)


class DRUNet(nn.Module):
    """A U-net of residual blocks without biases, told the noise level ``sigma`` (0..1) by an extra channel.

    It halves the image three times, so sides are multiples of 8.
    """

    def __init__(self, sigma: float = 50 / 255, widths: tuple[int, ...] = (64, 128, 256, 512), depth: int = 4) -> None:
        super().__init__()
        self.sigma = sigma
        self.m_head = convolution(3 + 1, widths[0], bias=False)
        for level in (1, 2, 3):
            fine, coarse = widths[level - 1], widths[level]
            halve = nn.Conv2d(fine, coarse, kernel_size=2, stride=2, bias=False)
            setattr(self, f"m_down{level}", nn.Sequential(*_blocks(fine, depth), halve))
        self.m_body = nn.Sequential(*_blocks(widths[3], depth))
        for level in (3, 2, 1):
            fine, coarse = widths[level - 1], widths[level]
            double = nn.ConvTranspose2d(coarse, fine, kernel_size=2, stride=2, bias=False)
            setattr(self, f"m_up{level}", nn.Sequential(double, *_blocks(fine, depth)))
        self.m_tail = convolution(widths[0], 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        noise_level = torch.full_like(x[:, :1], self.sigma)
        encoded = [self.m_head(torch.cat((x, noise_level), dim=1))]
        for level in (1, 2, 3):
            encoded.append(getattr(self, f"m_down{level}")(encoded[-1]))
        features = self.m_body(encoded[3])
        for level in (3, 2, 1):
            features = getattr(self, f"m_up{level}")(features + encoded[level])
        return self.m_tail(features + encoded[0])


def _blocks(width: int, depth: int) -> list[ResidualBlock]:
    return [ResidualBlock(width) for _ in range(depth)]
