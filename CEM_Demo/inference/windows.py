"""Windows: boxes of rows and columns in feature maps, for many blocks at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ends = NDArray[np.int64]


class Window(NamedTuple):
    """One half-open window; it may reach out of its map, into the padding."""

    top: int
    bottom: int
    left: int
    right: int

    def slices(self, of: Window) -> tuple[slice, slice]:
        """Give the rows and columns of this box in a tensor that covers the box ``of``."""
        return slice(self.top - of.top, self.bottom - of.top), slice(self.left - of.left, self.right - of.left)

    def meet(self, other: Window) -> Window:
        """Intersect two boxes; the result may be :attr:`empty`."""
        return Window(
            max(self.top, other.top),
            min(self.bottom, other.bottom),
            max(self.left, other.left),
            min(self.right, other.right),
        )

    @property
    def empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.bottom <= self.top or self.right <= self.left

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True)
class Windows:
    """N half-open windows of one map.

    Attributes:
        starts, stops: 2 x N int64, first row and column, and first row and column after the window.
    """

    starts: Ends
    stops: Ends

    @property
    def filled(self) -> NDArray[np.bool_]:
        """N booleans, False for windows without a pixel."""
        return np.logical_and.reduce(self.stops > self.starts, axis=0)

    @property
    def areas(self) -> NDArray[np.int64]:
        """N numbers, the pixels in each window."""
        return np.where(self.filled, (self.stops - self.starts).prod(axis=0), 0)

    def box(self, number: int) -> Window:
        """Give one of the windows as a box."""
        (top, left), (bottom, right) = self.starts[:, number].tolist(), self.stops[:, number].tolist()
        return Window(top, bottom, left, right)

    def at(self, number: int) -> Windows:
        """Give one of the windows, still as :class:`Windows`."""
        return Windows(self.starts[:, number : number + 1], self.stops[:, number : number + 1])

    def only(self, where: NDArray[np.bool_]) -> Windows:
        """Keep the windows for which ``where`` holds, and make the others empty."""
        return Windows(np.where(where, self.starts, 0), np.where(where, self.stops, 0))

    def within(self, size: tuple[int, int]) -> Windows:
        """Cut the windows at the borders of a map of ``size`` (height, width)."""
        limit = np.array(size)[:, None]
        return Windows(self.starts.clip(0, limit), self.stops.clip(0, limit))


def one_window(box: Window) -> Windows:
    """Make a single window."""
    return Windows(np.array([[box.top], [box.left]]), np.array([[box.bottom], [box.right]]))


def whole(size: tuple[int, int], count: int = 1) -> Windows:
    """Make ``count`` windows that cover the whole map of ``size`` (height, width)."""
    return Windows(np.zeros((2, count), np.int64), np.repeat(np.array(size, np.int64)[:, None], count, axis=1))


def no_windows(count: int) -> Windows:
    """Make ``count`` empty windows."""
    return Windows(np.zeros((2, count), np.int64), np.zeros((2, count), np.int64))


def common(first: Windows, second: Windows) -> Windows:
    """Intersect windows pairwise; a single window pairs with any number."""
    return Windows(np.maximum(first.starts, second.starts), np.minimum(first.stops, second.stops))


def hull(windows: Iterable[Windows]) -> Windows:
    """Give the smallest windows around all those given (at least one, of equal numbers), ignoring empty ones."""
    given = list(windows)
    if len(given) == 1:
        return given[0].only(given[0].filled)
    far = np.iinfo(np.int64).max
    starts = np.minimum.reduce([np.where(window.filled, window.starts, far) for window in given])
    stops = np.maximum.reduce([np.where(window.filled, window.stops, -far) for window in given])
    return Windows(starts, stops).only(np.logical_or.reduce([window.filled for window in given]))


def block_windows(corners: NDArray[np.int64], sides: tuple[int, int], size: tuple[int, int]) -> Windows:
    """Give the windows of height and width ``sides`` at ``corners`` (N x 2), as far as they lie in the image."""
    starts = corners.T.astype(np.int64)
    return Windows(starts, starts + np.array(sides)[:, None]).within(size)
