"""Restormer: Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution, named

# Hidden channels over input channels of the feed-forward networks; the product is rounded down.
EXPANSION = 2.66


class ChannelNorm(nn.Module):
    """Layer normalization of each pixel's channels; without ``centred`` it only divides by their deviation."""

    def __init__(self, width: int, centred: bool) -> None:
        super().__init__()
        self.centred = centred
        self.body = nn.LayerNorm(width, bias=centred)

    def forward(self, x: Tensor) -> Tensor:
        if self.centred:
            # They are contiguous, since convolutions of channels-last features round twice as coarsely on the CPU.
            return self.body(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()
        variance = x.var(dim=1, correction=0, keepdim=True)
        return x * torch.rsqrt(variance + self.body.eps) * self.body.weight[:, None, None]


class TransposedAttention(nn.Module):
    """Multi-head transposed attention (section 3.1): channels attend to channels, over all pixels."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = convolution(width, 3 * width, 1, bias=False)
        self.qkv_dwconv = convolution(3 * width, 3 * width, groups=3 * width, bias=False)
        self.project_out = convolution(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.temperature.shape[0]
        projections = self.qkv_dwconv(self.qkv(x)).chunk(3, dim=1)
        queries, keys, values = (part.flatten(2).unflatten(1, (heads, -1)) for part in projections)
        similarities = F.normalize(queries, dim=-1) @ F.normalize(keys, dim=-1).mT
        attended = (self.temperature * similarities).softmax(dim=-1) @ values
        return self.project_out(attended.flatten(1, 2).unflatten(2, x.shape[-2:]))


class GatedFeedForward(nn.Module):
    """Gated-dconv feed-forward network (section 3.2): one half of the hidden channels gates the other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = int(EXPANSION * width)
        self.project_in = convolution(width, 2 * hidden, 1, bias=False)
        self.dwconv = convolution(2 * hidden, 2 * hidden, groups=2 * hidden, bias=False)
        self.project_out = convolution(hidden, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gates, values = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        return self.project_out(F.gelu(gates) * values)


class TransformerBlock(nn.Module):
    """Transposed attention and a gated feed-forward network, each after a normalization, and each residual."""

    def __init__(self, width: int, heads: int, centred: bool) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(width, centred)
        self.attn = TransposedAttention(width, heads)
        self.norm2 = ChannelNorm(width, centred)
        self.ffn = GatedFeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class TransformerUNet(nn.Module):
    """The U-net of Restormer and X-Restormer: four levels, the decoder's first level twice as wide as the encoder's.

    Args:
        block: makes a block from its width and number of heads.
        depths: number of blocks of each level, from full size down.
    """

    def __init__(
        self, block: Callable[[int, int], nn.Module], depths: Sequence[int], width: int = 48, refinement: int = 4
    ) -> None:
        super().__init__()

        def blocks(level: int, depth: int, width: int = width) -> nn.Sequential:
            return nn.Sequential(*(block(width << level, 1 << level) for _ in range(depth)))

        self.patch_embed = named(proj=convolution(3, width, bias=False))
        self.encoder_level1 = blocks(0, depths[0])
        self.down1_2 = _down(width)
        self.encoder_level2 = blocks(1, depths[1])
        self.down2_3 = _down(2 * width)
        self.encoder_level3 = blocks(2, depths[2])
        self.down3_4 = _down(4 * width)
        self.latent = blocks(3, depths[3])
        self.up4_3 = _up(8 * width)
        self.reduce_chan_level3 = convolution(8 * width, 4 * width, 1, bias=False)
        self.decoder_level3 = blocks(2, depths[2])
        self.up3_2 = _up(4 * width)
        self.reduce_chan_level2 = convolution(4 * width, 2 * width, 1, bias=False)
        self.decoder_level2 = blocks(1, depths[1])
        self.up2_1 = _up(2 * width)
        self.decoder_level1 = blocks(0, depths[0], 2 * width)
        self.refinement = blocks(0, refinement, 2 * width)
        self.output = convolution(2 * width, 3, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        full = self.encoder_level1(self.patch_embed(image))
        half = self.encoder_level2(self.down1_2(full))
        quarter = self.encoder_level3(self.down2_3(half))
        features = self.up4_3(self.latent(self.down3_4(quarter)))
        features = self.decoder_level3(self.reduce_chan_level3(torch.cat((features, quarter), dim=1)))
        features = self.up3_2(features)
        features = self.decoder_level2(self.reduce_chan_level2(torch.cat((features, half), dim=1)))
        features = self.decoder_level1(torch.cat((self.up2_1(features), full), dim=1))
        return self.output(self.refinement(features)) + image


def _down(width: int) -> nn.Module:
    """Make layers that halve the size and double the channels."""
    return named(body=nn.Sequential(convolution(width, width // 2, bias=False), nn.PixelUnshuffle(2)))


def _up(width: int) -> nn.Module:
    """Make layers that double the size and halve the channels."""
    return named(body=nn.Sequential(convolution(width, 2 * width, bias=False), nn.PixelShuffle(2)))


class Restormer(TransformerUNet):
    """The published network; the denoising model is the one without ``centred`` normalization and biases."""

    def __init__(self, centred: bool = True) -> None:
        super().__init__(lambda width, heads: TransformerBlock(width, heads, centred), depths=(4, 6, 6, 8))
