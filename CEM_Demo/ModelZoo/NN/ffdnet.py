"""FFDNet: Zhang et al., "FFDNet: Toward a Fast and Flexible Solution for CNN-Based Image Denoising", TIP 2018."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.dncnn import plain_network


class FFDNet(nn.Module):
    """A plain network on the half-size image, told the noise level ``sigma`` (0..1) by an extra channel."""

    def __init__(self, sigma: float = 50 / 255, width: int = 96, depth: int = 12) -> None:
        super().__init__()
        self.sigma = sigma
        self.model = plain_network(3 * 4 + 1, 3 * 4, width, depth)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        halves = F.pixel_unshuffle(x, 2)
        level = torch.full_like(halves[:, :1], self.sigma)
        restored = F.pixel_shuffle(self.model(torch.cat((halves, level), dim=1)), 2)
        return restored[..., :height, :width]
