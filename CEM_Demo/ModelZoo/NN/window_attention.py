"""Attention within windows of an image: Liu et al., "Swin Transformer", ICCV 2021, section 3.2.

Features are always B x H x W x C, with H and W multiples of the window's side; pixels of a window go row by row.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import named


def partition(features: Tensor, side: int) -> Tensor:
    """Cut B x H x W x C into windows: B x windows x side² x C."""
    batch, height, width, channels = features.shape
    tiles = features.reshape(batch, height // side, side, width // side, side, channels)
    return tiles.transpose(2, 3).reshape(batch, -1, side * side, channels)


def merge(windows: Tensor, side: int, height: int, width: int) -> Tensor:
    """Undo :func:`partition`."""
    batch, _, _, channels = windows.shape
    tiles = windows.reshape(batch, height // side, width // side, side, side, channels)
    return tiles.transpose(2, 3).reshape(batch, height, width, channels)


def overlapping_windows(features: Tensor, side: int, margin: int) -> Tensor:
    """Cut out the windows of :func:`partition` with ``margin`` pixels around each; zeros lie beyond the border."""
    wide = side + 2 * margin
    padded = F.pad(features, (0, 0, margin, margin, margin, margin))
    tiles = padded.unfold(1, wide, side).unfold(2, wide, side)  # B x rows x columns x C x wide x wide
    return tiles.permute(0, 1, 2, 4, 5, 3).reshape(features.shape[0], -1, wide * wide, features.shape[-1])


def split_heads(windows: Tensor, heads: int) -> Tensor:
    """Turn B x windows x pixels x C into (B windows) x heads x pixels x C / heads."""
    return windows.unflatten(-1, (heads, -1)).transpose(2, 3).flatten(0, 1)


def attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int, bias: Tensor) -> Tensor:
    """Let each window's queries attend to the keys of the same window, with several heads.

    Args:
        queries: B x windows x pixels x C; ``keys`` and ``values`` have the same form, but may have more pixels.
        bias: added to the scaled logits; heads x pixels x key pixels for every window, or one such array for
            each: (B windows) x heads x pixels x key pixels.

    Returns:
        The attended values, shaped like ``queries``.
    """
    batch, windows = queries.shape[:2]
    queries, keys, values = (split_heads(part, heads) for part in (queries, keys, values))
    attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
    return attended.transpose(1, 2).flatten(2).unflatten(0, (batch, windows))


def shift_mask(height: int, width: int, side: int, hidden: float, like: Tensor | None = None) -> Tensor:
    """Make what is added to the logits of windows shifted by half their side: windows x side² x side².

    Shifting is rolling, which brings the top rows below the bottom ones, and the left columns to the right.
    Pairs of pixels that meet in a window only for this reason get ``hidden``, the others 0.

    Args:
        like: a tensor whose dtype and device the mask takes.
    """
    like = torch.empty(0) if like is None else like
    rolled_rows = torch.arange(height, device=like.device) >= height - side // 2
    rolled_columns = torch.arange(width, device=like.device) >= width - side // 2
    regions = 2 * rolled_rows[:, None] + rolled_columns
    region = partition(regions[None, :, :, None], side)[0, :, :, 0]
    apart = region[:, :, None] != region[:, None, :]
    return like.new_zeros(apart.shape).masked_fill(apart, hidden)


def relative_index(side: int) -> Tensor:
    """Find the row of the (2 side - 1)² position table for each query (first axis) and key of a window."""
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    rows = row.flatten()[:, None] - row.flatten() + side - 1
    columns = column.flatten()[:, None] - column.flatten() + side - 1
    return rows * (2 * side - 1) + columns


def window_attention(projections: Tensor, side: int, heads: int, bias: Tensor, mask: Tensor | None) -> Tensor:
    """Attend within windows, which are shifted by half their side if there is a ``mask``.

    Args:
        projections: queries, keys and values, B x H x W x 3C.
        bias: position bias, heads x side² x side².
        mask: from :func:`shift_mask`.
    """
    height, width = projections.shape[1:3]
    shift = side // 2
    if mask is not None:
        projections = projections.roll((-shift, -shift), dims=(1, 2))
        bias = (bias + mask[:, None]).repeat(projections.shape[0], 1, 1, 1)
    queries, keys, values = partition(projections, side).chunk(3, dim=-1)
    attended = merge(attend(queries, keys, values, heads, bias), side, height, width)
    return attended if mask is None else attended.roll((shift, shift), dims=(1, 2))


def position_table(rows: int, heads: int) -> nn.Parameter:
    """Make a learned bias for each relative position and head."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(rows, heads), std=0.02))


def position_bias(table: Tensor, index: Tensor) -> Tensor:
    """Look up the bias of each head, query and key in a table of relative positions."""
    return table[index].permute(2, 0, 1)


class WindowAttention(nn.Module):
    """Self-attention in (shifted) windows with a position table.

    Args:
        index: rows of the table, from :func:`relative_index`.
        stores_index: whether the published state dict holds the index here.
    """

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, side: int, index: Tensor, stores_index: bool) -> None:
        super().__init__()
        self.side = side
        self.heads = heads
        self.relative_position_bias_table = position_table((2 * side - 1) ** 2, heads)
        self.register_buffer("relative_position_index", index, persistent=stores_index)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, features: Tensor, mask: Tensor | None) -> Tensor:
        bias = position_bias(self.relative_position_bias_table, self.relative_position_index)
        return self.proj(window_attention(self.qkv(features), self.side, self.heads, bias, mask))


def feed_forward(width: int, hidden: int) -> nn.Sequential:
    """Two layers applied to each pixel."""
    return named(fc1=nn.Linear(width, hidden), act=nn.GELU(), fc2=nn.Linear(hidden, width))
