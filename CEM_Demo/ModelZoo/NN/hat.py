"""HAT: Chen et al., "Activating More Pixels in Image Super-Resolution Transformer", CVPR 2023."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import convolution, squeeze_gate
from CEM_Demo.ModelZoo.NN.swinir import (
    BlockSequence,
    ResidualGroup,
    WindowTransformer,
    channels_first,
    channels_last,
)
from CEM_Demo.ModelZoo.NN.window_attention import (
    WindowAttention,
    attend,
    feed_forward,
    merge,
    overlapping_windows,
    partition,
    position_bias,
    position_table,
    relative_index,
)


class ChannelGate(nn.Module):
    """Scale each channel by a gate computed from its mean over the image."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.AdaptiveAvgPool2d(1), *squeeze_gate(width, hidden))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention(x)


class ChannelAttentionBlock(nn.Module):
    """Two convolutions through a third of the channels, and channel attention (section 3.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.cab = nn.Sequential(
            convolution(width, width // 3), nn.GELU(), convolution(width // 3, width), ChannelGate(width, width // 30)
        )

    def forward(self, features: Tensor) -> Tensor:
        return channels_last(self.cab(channels_first(features)))


class HybridBlock(nn.Module):
    """Hybrid attention block (section 3.2): a Swin block with a little channel attention beside its attention."""

    def __init__(self, width: int, heads: int, side: int, shifted: bool, index: Tensor) -> None:
        super().__init__()
        self.shifted = shifted
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, side, index, stores_index=False)
        self.conv_block = ChannelAttentionBlock(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = feed_forward(width, 2 * width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        normalized = self.norm1(features)
        attended = self.attn(normalized, mask if self.shifted else None)
        features = features + attended + 0.01 * self.conv_block(normalized)
        return features + self.mlp(self.norm2(features))


class OverlappingAttention(nn.Module):
    """Overlapping cross-attention block (section 3.2): windows attend to a margin of a quarter window around them."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, side: int, index: Tensor) -> None:
        super().__init__()
        self.side = side
        self.heads = heads
        self.margin = side // 4
        wide = side + 2 * self.margin
        self.relative_position_bias_table = position_table((side + wide - 1) ** 2, heads)
        self.register_buffer("relative_position_index", index, persistent=False)
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = feed_forward(width, 2 * width)

    def forward(self, features: Tensor) -> Tensor:
        features = features + self.proj(self._attention(self.qkv(self.norm1(features))))
        return features + self.mlp(self.norm2(features))

    def _attention(self, projections: Tensor) -> Tensor:
        height, width = projections.shape[1:3]
        queries, keys, values = projections.chunk(3, dim=-1)
        bias = position_bias(self.relative_position_bias_table, self.relative_position_index)
        attended = attend(
            partition(queries, self.side),
            overlapping_windows(keys, self.side, self.margin),
            overlapping_windows(values, self.side, self.margin),
            self.heads,
            bias,
        )
        return merge(attended, self.side, height, width)


def overlapping_index(side: int) -> Tensor:
    """Find the row of the position table for each query (first axis) and each key of an overlapping window.

    Key minus query is at least ``1 - side``, but the published code adds ``side - wide + 1`` instead of
    ``side - 1``. Negative rows count from the table's end; the published weights were trained in this way.
    """
    wide = side + 2 * (side // 4)
    query, key = torch.arange(side), torch.arange(wide)
    offset = key - query[:, None] + side - wide + 1
    rows = offset[:, None, :, None]
    columns = offset[None, :, None, :]
    return (rows * (side + wide - 1) + columns).reshape(side * side, wide * wide)


class HybridSequence(BlockSequence):
    """The hybrid blocks of a group, and overlapping attention after them."""

    def __init__(self, *blocks: nn.Module, overlap: OverlappingAttention) -> None:
        super().__init__(*blocks)
        self.overlap_attn = overlap

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        return self.overlap_attn(super().forward(features, mask))


class HAT(WindowTransformer):
    """``groups`` residual hybrid attention groups (12 in HAT-L), windows of 16 x 16 pixels.

    The published state dicts hold the index of the position tables only once, at the top; all blocks share it.
    """

    def __init__(
        self, scale: int = 4, groups: int = 6, depth: int = 6, width: int = 180, heads: int = 6, side: int = 16
    ) -> None:
        index, wide_index = relative_index(side), overlapping_index(side)

        def group() -> ResidualGroup:
            blocks = [HybridBlock(width, heads, side, bool(number % 2), index) for number in range(depth)]
            overlap = OverlappingAttention(width, heads, side, wide_index)
            return ResidualGroup(width, HybridSequence(*blocks, overlap=overlap))

        super().__init__([group() for _ in range(groups)], width, side, scale, "sub-pixel")
        self.register_buffer("relative_position_index_SA", index)
        self.register_buffer("relative_position_index_OCA", wide_index)
