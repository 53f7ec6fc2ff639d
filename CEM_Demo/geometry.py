"""Where blocks and the ROI lie: full-resolution pixels, input pixels, block rows and columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Full-resolution pixels per input pixel, along a side.
SCALES = (1, 2, 3, 4, 8)


@dataclass(frozen=True)
class ROI:
    """The region of interest: a rectangle in full-resolution pixels; ``right`` and ``bottom`` lie just outside it."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def square(cls, left: int, top: int, side: int) -> ROI:
        """Make the ROI of the config's keys ``w``, ``h`` and ``ROI_size``."""
        return cls(left, top, side, side)

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the ROI in a full-resolution image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def window_in(self, other: ROI) -> tuple[slice, slice]:
        """Give the rows and columns of this ROI in an image of ``other``, an ROI around it."""
        rows = slice(self.top - other.top, self.bottom - other.top)
        return rows, slice(self.left - other.left, self.right - other.left)

    def hull_with(self, other: ROI) -> ROI:
        """Give the smallest ROI that holds both."""
        left, top = min(self.left, other.left), min(self.top, other.top)
        return ROI(left, top, max(self.right, other.right) - left, max(self.bottom, other.bottom) - top)

    def grown(self, margin: int, height: int, width: int) -> ROI:
        """This ROI with ``margin`` more pixels on each side, as far as an image of height x width pixels has them."""
        left, top = max(0, self.left - margin), max(0, self.top - margin)
        right, bottom = min(width, self.right + margin), min(height, self.bottom + margin)
        return ROI(left, top, right - left, bottom - top)

    def __str__(self) -> str:
        """Size and place in the notation of window systems, ``32x24+96+64``."""
        return f"{self.width}x{self.height}+{self.left}+{self.top}"


def mirrored(start: int, stop: int, size: int) -> NDArray[np.int64]:
    """Places ``start`` to before ``stop`` of a row of ``size`` pixels that is mirrored at its ends.

    >>> mirrored(-2, 6, 4).tolist()
    [1, 0, 0, 1, 2, 3, 3, 2]
    """
    places = np.arange(start, stop) % (2 * size)
    return np.where(places < size, places, 2 * size - 1 - places)


def image_with_rois(image: str, rois: Iterable[ROI], of: int) -> str:
    """Name an image and, if it has several (``of``) ROIs, those that are meant."""
    return image if of == 1 else f"{image}, ROI {' and '.join(map(str, rois))}"


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
        """Give rows x columns, True for the blocks that share a pixel with the ROI."""
        side = self.block * self.scale
        rows, columns = (np.arange(count) * side for count in self.shape)
        in_rows = (rows < roi.bottom) & (rows + side > roi.top)
        in_columns = (columns < roi.right) & (columns + side > roi.left)
        return in_rows[:, None] & in_columns[None, :]

    def distances_to(self, roi: ROI) -> NDArray[np.float64]:
        """Give rows x columns, from each block's middle to the nearest point of the ROI, in blocks; zero inside it."""
        side = self.block * self.scale
        rows, columns = ((np.arange(count) + 0.5) * side for count in self.shape)
        down = np.maximum(np.maximum(roi.top - rows, rows - roi.bottom), 0)
        across = np.maximum(np.maximum(roi.left - columns, columns - roi.right), 0)
        return np.hypot(down[:, None], across[None, :]) / side

    def is_aligned(self, roi: ROI) -> bool:
        """Say whether the ROI consists of whole blocks."""
        side = self.block * self.scale
        return not any(edge % side for edge in (roi.left, roi.top, roi.width, roi.height))


def grid_of(image: NDArray[Any], block: int, scale: int) -> Grid:
    """Cut a network's input, H x W x 3, into blocks of ``block`` input pixels."""
    return Grid(image.shape[0], image.shape[1], block, scale)


def in_blocks(image: NDArray[np.floating], block: int) -> NDArray[np.float64]:
    """Cut H x W x 3 into rows x columns x (block * block * 3) float64; zeros complete the blocks at the border."""
    height, width = image.shape[:2]
    rows, columns = -(-height // block), -(-width // block)
    full = np.zeros((rows * block, columns * block, 3))
    full[:height, :width] = image
    return full.reshape(rows, block, columns, block, 3).swapaxes(1, 2).reshape(rows, columns, -1)
