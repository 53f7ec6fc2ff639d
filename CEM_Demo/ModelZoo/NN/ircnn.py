"""IRCNN: Zhang et al., "Learning Deep CNN Denoiser Prior for Image Restoration", CVPR 2017."""

from __future__ import annotations

from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import convolution


class IRCNN(nn.Module):
    """Seven dilated convolutions predict the noise, which is subtracted; no batch normalization."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(3, width)]
        for dilation in (2, 3, 4, 3, 2):
            layers += [nn.ReLU(), convolution(width, width, dilation=dilation)]
        self.model = nn.Sequential(*layers, nn.ReLU(), convolution(width, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x - self.model(x)
