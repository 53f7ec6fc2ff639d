"""Parts that several families share."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.errors import InputError

# Channel means (RGB, 0..1) of the DIV2K training photographs.
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


def convolution(
    in_channels: int, out_channels: int, kernel: int = 3, dilation: int = 1, **options: int | bool
) -> nn.Conv2d:
    """Make a convolution of stride 1 that keeps the size of its input (odd ``kernel``)."""
    options = {"padding": dilation * (kernel // 2), "dilation": dilation, **options}
    return nn.Conv2d(in_channels, out_channels, kernel, **options)  # type: ignore[arg-type]


def named(**layers: nn.Module) -> nn.Sequential:
    """Chain layers under the names that the published state dict gives them."""
    return nn.Sequential(OrderedDict(layers))


class MeanShift(nn.Conv2d):
    """Add ``sign`` times a channel mean, as a fixed 1 x 1 convolution (the state dicts carry it).

    ``span`` is the largest value of an image, such as 255. For images of another number of ``channels``, each channel
    is shifted by the mean of all three.
    """

    def __init__(self, mean: tuple[float, ...], sign: int, span: int = 1, channels: int = 3) -> None:
        mean = mean if channels == len(mean) else (sum(mean) / len(mean),) * channels
        super().__init__(len(mean), len(mean), kernel_size=1)
        self.requires_grad_(False)
        self.weight.data = torch.eye(len(mean))[:, :, None, None]
        self.bias.data = sign * span * torch.tensor(mean)  # type: ignore[union-attr]


class ResidualSequence(nn.Module):
    """``x + factor * body(x)``."""

    def __init__(self, *body: nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        residual = self.body(x)
        return x + (residual if self.factor == 1 else self.factor * residual)


class RectifiedResidual(ResidualSequence):
    """ReLU of ``x + body(x)``."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


def squeeze_gate(width: int, hidden: int, bias: bool = True) -> nn.Sequential:
    """Make layers from one statistic per channel to gates in 0..1, with ``hidden`` units (Hu et al., CVPR 2018)."""
    return nn.Sequential(
        convolution(width, hidden, 1, bias=bias), nn.ReLU(), convolution(hidden, width, 1, bias=bias), nn.Sigmoid()
    )


class ChannelAttention(nn.Module):
    """Scale each channel by a gate computed from its mean (Zhang et al., RCAN, ECCV 2018, section 3.3)."""

    def __init__(self, width: int, reduction: int = 16, bias: bool = True) -> None:
        super().__init__()
        self.conv_du = squeeze_gate(width, width // reduction, bias)

    def squeeze(self, x: Tensor) -> Tensor:
        """Give the statistic that the gates see, N x C x 1 x 1."""
        return x.mean((-2, -1), keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv_du(self.squeeze(x))


class SupervisedAttention(nn.Module):
    """A module between two stages that restores an image and gates the features by it (MPRNet, section 3.3)."""

    def __init__(self, width: int, kernel: int, bias: bool) -> None:
        super().__init__()
        self.conv1 = convolution(width, width, kernel, bias=bias)
        self.conv2 = convolution(width, 3, kernel, bias=bias)
        self.conv3 = convolution(3, width, kernel, bias=bias)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        restored = self.conv2(features) + image
        return features + self.conv1(features) * torch.sigmoid(self.conv3(restored))


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attend between the positions of feature maps by unscaled dot products (Wang et al., CVPR 2018).

    Args:
        queries: N x C x H x W.
        keys: N x C x h x w.
        values: N x D x h x w.

    Returns:
        N x D x H x W: at each query, the values averaged with the softmax of its products with the keys.
    """
    query, key, value = (maps.flatten(2).transpose(1, 2).unsqueeze(1) for maps in (queries, keys, values))
    averages = F.scaled_dot_product_attention(query, key, value, scale=1.0)
    return averages.squeeze(1).transpose(1, 2).unflatten(2, queries.shape[-2:])


def upsampler(width: int, scale: int, rectified: bool = False) -> nn.Sequential:
    """Make layers of sub-pixel upsampling (Shi et al., CVPR 2016), by 2 several times or by 3 once.

    ``rectified`` puts a ReLU between each convolution and its shuffle.

    Raises:
        InputError: ``scale`` is neither 3 nor a power of two.
    """
    if scale == 3:
        factors = [3]
    elif scale > 0 and scale & (scale - 1) == 0:
        factors = [2] * (scale.bit_length() - 1)
    else:
        raise InputError(f"scale {scale} is neither 3 nor a power of two; set sr to 2, 3 or 4")
    stages: list[nn.Module] = []
    for factor in factors:
        stages += [convolution(width, width * factor**2), *([nn.ReLU()] if rectified else []), nn.PixelShuffle(factor)]
    return nn.Sequential(*stages)
