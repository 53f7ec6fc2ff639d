"""LapSRN: Lai et al., "Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution", CVPR 2017."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution, named


def _doubling(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=False)


def _feature_level(width: int, depth: int) -> nn.Sequential:
    """``depth`` convolutions and a doubling transposed one, LeakyReLU after each."""
    convolutions = [convolution(width, width, bias=False) for _ in range(depth)]
    layers = [(layer, nn.LeakyReLU(0.2)) for layer in (*convolutions, _doubling(width, width))]
    return nn.Sequential(named(cov_block=nn.Sequential(*(layer for pair in layers for layer in pair))))


class LapSRN(nn.Module):
    """Two pyramid levels, each doubling the image and adding the residual that its features predict.

    Only the finest level's image is returned; the intermediate one serves only for training.
    """

    def __init__(self, channels: int = 3, width: int = 64, depth: int = 10) -> None:
        super().__init__()
        self.conv_input = convolution(channels, width, bias=False)
        for level in (1, 2):
            setattr(self, f"convt_I{level}", _doubling(channels, channels))
            setattr(self, f"convt_R{level}", convolution(width, channels, bias=False))
            setattr(self, f"convt_F{level}", _feature_level(width, depth))

    def forward(self, x: Tensor) -> Tensor:
        features = F.leaky_relu(self.conv_input(x), 0.2)
        for level in (1, 2):
            features = getattr(self, f"convt_F{level}")(features)
            x = getattr(self, f"convt_I{level}")(x) + getattr(self, f"convt_R{level}")(features)
        return x
