"""PReNet: Ren et al., "Progressive Image Deraining Networks: A Better and Simpler Baseline", CVPR 2019."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution


def _convolution_then(in_channels: int, out_channels: int, activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(convolution(in_channels, out_channels), activation)


class PReNet(nn.Module):
    """Six passes of one small residual network, tied together by a convolutional LSTM."""

    def __init__(self, width: int = 32, iterations: int = 6) -> None:
        super().__init__()
        self.iterations = iterations
        self.conv0 = _convolution_then(2 * 3, width, nn.ReLU())
        for number in range(1, 6):
            block = nn.Sequential(convolution(width, width), nn.ReLU(), convolution(width, width), nn.ReLU())
            setattr(self, f"res_conv{number}", block)
        self.conv_i = _convolution_then(2 * width, width, nn.Sigmoid())
        self.conv_f = _convolution_then(2 * width, width, nn.Sigmoid())
        self.conv_g = _convolution_then(2 * width, width, nn.Tanh())
        self.conv_o = _convolution_then(2 * width, width, nn.Sigmoid())
        self.conv = nn.Sequential(convolution(width, 3))

    def forward(self, rainy: Tensor) -> Tensor:
        shape = (rainy.shape[0], self.conv0[0].out_channels, *rainy.shape[-2:])
        hidden = rainy.new_zeros(shape)
        cell = rainy.new_zeros(shape)
        restored = rainy
        for _ in range(self.iterations):
            features = self.conv0(torch.cat((rainy, restored), dim=1))
            features = torch.cat((features, hidden), dim=1)
            cell = self.conv_f(features) * cell + self.conv_i(features) * self.conv_g(features)
            hidden = features = self.conv_o(features) * torch.tanh(cell)
            for number in range(1, 6):
                features = F.relu(features + getattr(self, f"res_conv{number}")(features))
            restored = rainy + self.conv(features)
        return restored
