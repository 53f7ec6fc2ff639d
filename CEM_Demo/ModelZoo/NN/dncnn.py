"""DnCNN: Zhang et al., "Beyond a Gaussian Denoiser", TIP 2017 (the blind color model without batch norm)."""

from __future__ import annotations

from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import convolution


def plain_network(in_channels: int, out_channels: int, width: int, depth: int) -> nn.Sequential:
    """``depth`` 3 x 3 convolutions with ReLU between them."""
    layers: list[nn.Module] = [convolution(in_channels, width), nn.ReLU()]
    for _ in range(depth - 2):
        layers += [convolution(width, width), nn.ReLU()]
    last = convolution(width, out_channels)
    network = nn.Sequential(*layers, last)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            # With PyTorch's own initialization, signals fade over twenty layers without normalization.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    last.weight.data *= 0.1  # training begins near the input
    return network


class DnCNN(nn.Module):
    """Predicts the noise and subtracts it."""

    def __init__(self, width: int = 64, depth: int = 20) -> None:
        super().__init__()
        self.model = plain_network(3, 3, width, depth)

    def forward(self, x: Tensor) -> Tensor:
        return x - self.model(x)
