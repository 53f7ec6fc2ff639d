"""SCUNet: Zhang et al., "Practical Blind Image Denoising via Swin-Conv-UNet and Data Synthesis", MIR 2023."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution
from CEM_Demo.ModelZoo.NN.window_attention import relative_index, shift_mask, window_attention

HEAD_WIDTH = 32
SIDE = 8  # side of an attention window, in pixels


class Attention(nn.Module):
    """Self-attention in (shifted) windows; the published state dict has one position table per head."""

    index: Tensor

    def __init__(self, width: int, shifted: bool) -> None:
        super().__init__()
        self.shifted = shifted
        self.heads = width // HEAD_WIDTH
        table = torch.empty(self.heads, 2 * SIDE - 1, 2 * SIDE - 1)
        self.relative_position_params = nn.Parameter(nn.init.trunc_normal_(table, std=0.02))
        self.embedding_layer = nn.Linear(width, 3 * width)
        self.linear = nn.Linear(width, width)
        self.register_buffer("index", relative_index(SIDE), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[1:3]
        mask = shift_mask(height, width, SIDE, -math.inf, like=features) if self.shifted else None
        bias = self.relative_position_params.flatten(1)[:, self.index]
        return self.linear(window_attention(self.embedding_layer(features), SIDE, self.heads, bias, mask))


class TransformerBlock(nn.Module):
    """Swin transformer layer with an MLP of four times the width."""

    def __init__(self, width: int, shifted: bool) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(width)
        self.msa = Attention(width, shifted)
        self.ln2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, features: Tensor) -> Tensor:
        features = features + self.msa(self.ln1(features))
        return features + self.mlp(self.ln2(features))


class SwinConvBlock(nn.Module):
    """Swin-conv block: half of the channels are convolved, half are attended to, and the input is added."""

    def __init__(self, width: int, shifted: bool) -> None:
        super().__init__()
        half = width // 2
        self.trans_block = TransformerBlock(half, shifted)
        self.conv1_1 = convolution(width, width, 1)
        self.conv1_2 = convolution(width, width, 1)
        self.conv_block = nn.Sequential(
            convolution(half, half, bias=False), nn.ReLU(), convolution(half, half, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        convolved, attended = self.conv1_1(x).chunk(2, dim=1)
        convolved = convolved + self.conv_block(convolved)
        attended = self.trans_block(attended.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + self.conv1_2(torch.cat((convolved, attended), dim=1))


class SCUNet(nn.Module):
    """A U-net of Swin-conv blocks; every second block is shifted, and skip connections add.

    Images are extended by repeating the bottom row and right column to multiples of 64, so that the deepest
    level, at an eighth of the size, has whole windows; the result is cropped.
    """

    def __init__(self, width: int = 64, depth: int = 4) -> None:
        super().__init__()

        def blocks(width: int) -> list[nn.Module]:
            return [SwinConvBlock(width, bool(number % 2)) for number in range(depth)]

        def down(width: int) -> nn.Sequential:
            return nn.Sequential(*blocks(width), nn.Conv2d(width, 2 * width, 2, 2, bias=False))

        def up(width: int) -> nn.Sequential:
            return nn.Sequential(nn.ConvTranspose2d(2 * width, width, 2, 2, bias=False), *blocks(width))

        self.m_head = nn.Sequential(convolution(3, width, bias=False))
        self.m_down1, self.m_down2, self.m_down3 = down(width), down(2 * width), down(4 * width)
        self.m_body = nn.Sequential(*blocks(8 * width))
        self.m_up3, self.m_up2, self.m_up1 = up(4 * width), up(2 * width), up(width)
        self.m_tail = nn.Sequential(convolution(width, 3, bias=False))

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % (8 * SIDE), 0, -height % (8 * SIDE)), mode="replicate")
        full = self.m_head(padded)
        half = self.m_down1(full)
        quarter = self.m_down2(half)
        eighth = self.m_down3(quarter)
        features = self.m_up3(eighth + self.m_body(eighth))
        features = self.m_up1(half + self.m_up2(quarter + features))
        return self.m_tail(full + features)[..., :height, :width]
