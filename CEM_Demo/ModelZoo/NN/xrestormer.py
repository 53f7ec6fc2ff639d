"""X-Restormer: Chen et al., "A Comparative Study of Image Restoration Networks for General Backbone Network Design",
ECCV 2024.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import convolution
from CEM_Demo.ModelZoo.NN.restormer import ChannelNorm, GatedFeedForward, TransformerUNet, TransposedAttention
from CEM_Demo.ModelZoo.NN.window_attention import attend, merge, overlapping_windows, partition, split_heads

HEAD_WIDTH = 16  # channels of a head of spatial attention
SIDE, MARGIN = 8, 2  # side of a window of queries, and how far its keys extend beyond it, in pixels
WIDE = SIDE + 2 * MARGIN


class RelativePosition(nn.Module):
    """Logits of the (scaled) query and a learned vector for each distance in rows and in columns to the key."""

    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        # As published, the tables suit queries all over the keys' window, so some vectors are never used.
        self.rel_height = nn.Parameter(torch.randn(2 * WIDE - 1, HEAD_WIDTH) * HEAD_WIDTH**-0.5)
        self.rel_width = nn.Parameter(torch.randn(2 * WIDE - 1, HEAD_WIDTH) * HEAD_WIDTH**-0.5)
        offset = torch.arange(WIDE) - torch.arange(SIDE)[:, None] + WIDE - 1
        self.register_buffer("offset", offset, persistent=False)

    def forward(self, queries: Tensor) -> Tensor:
        """Turn windows x heads x SIDE² x channels into windows x heads x SIDE² x WIDE²."""
        grid = queries.unflatten(2, (SIDE, SIDE))
        rows = torch.einsum("nhyxc,yjc->nhyxj", grid, self.rel_height[self.offset])
        columns = torch.einsum("nhyxc,xic->nhyxi", grid, self.rel_width[self.offset])
        return (rows[..., :, None] + columns[..., None, :]).flatten(4).flatten(2, 3)


class OverlappingAttention(nn.Module):
    """Overlapping cross-attention, after HAT: windows of queries, larger windows of keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = convolution(width, 3 * heads * HEAD_WIDTH, 1, bias=False)
        self.project_out = convolution(heads * HEAD_WIDTH, width, 1, bias=False)
        self.rel_pos_emb = RelativePosition()

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        queries, keys, values = self.qkv(x).permute(0, 2, 3, 1).chunk(3, dim=-1)
        queries = partition(queries, SIDE)
        bias = self.rel_pos_emb(split_heads(queries, self.heads) * HEAD_WIDTH**-0.5)
        keys, values = (overlapping_windows(part, SIDE, MARGIN) for part in (keys, values))
        attended = attend(queries, keys, values, self.heads, bias)
        return self.project_out(merge(attended, SIDE, height, width).permute(0, 3, 1, 2))


class Block(nn.Module):
    """Channel attention, then spatial attention, each followed by a feed-forward network."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.spatial_attn = OverlappingAttention(width, heads)
        self.channel_attn = TransposedAttention(width, heads)
        self.norm1, self.norm2, self.norm3, self.norm4 = (ChannelNorm(width, centred=True) for _ in range(4))
        self.channel_ffn = GatedFeedForward(width)
        self.spatial_ffn = GatedFeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.channel_attn(self.norm1(x))
        x = x + self.channel_ffn(self.norm2(x))
        x = x + self.spatial_attn(self.norm3(x))
        return x + self.spatial_ffn(self.norm4(x))


class XRestormer(TransformerUNet):
    """The published network; for super-resolution it restores the bilinearly enlarged image."""

    def __init__(self, scale: int = 1) -> None:
        super().__init__(Block, depths=(2, 4, 4, 4))
        self.scale = scale

    def forward(self, image: Tensor) -> Tensor:
        if self.scale > 1:
            image = F.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return super().forward(image)
