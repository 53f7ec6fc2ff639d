"""Where blocks and the ROI lie: full-resolution pixels, input pixels, block rows and columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.images import UInt8Image

# Full-resolution pixels per input pixel, along a side.
SCALES = (1, 2, 3, 4, 8)


@dataclass(frozen=True)
class ROI:
    """The region of interest: a square in full-resolution pixels."""

    left: int
    top: int
    side: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the ROI in a full-resolution image."""
        return slice(self.top, self.top + self.side), slice(self.left, self.left + self.side)


@dataclass(frozen=True)
class Grid:
    """An image cut into square blocks; those at the bottom and right border may be partial.

    Attributes:
        height, width: sides of the network's input (pixels).
        block: side of a block in input pixels.
        scale: full-resolution pixels per input pixel.
    """

    height: int
    width: int
    block: int
    scale: int

    @property
    def shape(self) -> tuple[int, int]:
        """Block rows and block columns."""
        return -(-self.height // self.block), -(-self.width // self.block)

    def overlaps(self, roi: ROI) -> NDArray[np.bool_]:
        """Rows x columns, True for the blocks that share a pixel with the ROI."""
        side = self.block * self.scale
        rows, columns = (np.arange(count) * side for count in self.shape)
        in_rows = (rows < roi.top + roi.side) & (rows + side > roi.top)
        in_columns = (columns < roi.left + roi.side) & (columns + side > roi.left)
        return in_rows[:, None] & in_columns[None, :]

    def is_aligned(self, roi: ROI) -> bool:
        """Whether the ROI consists of whole blocks."""
        side = self.block * self.scale
        return roi.left % side == 0 and roi.top % side == 0 and roi.side % side == 0


def grid_of(degraded: UInt8Image, block: int, scale: int) -> Grid:
    """The blocks, ``block`` input pixels wide, of a network's input H x W x 3."""
    return Grid(degraded.shape[0], degraded.shape[1], block, scale)
