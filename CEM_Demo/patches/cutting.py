"""Natural patches of wanted sharpness, cut from photographs apart from each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from CEM_Demo.errors import InputError

# The published bank's sharpness (but for its end: two patches, 949 and 1061, lie beyond 900).
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.50, 0.75, 0.95, 0.99, 1.0)
SHARPNESS = (0, 0, 7, 20, 56, 148, 368, 543, 900)
PUBLISHED_SIDE = 8

# Smallest distance (shares of a patch's side, along rows or columns) of two patches of a photograph: apart where the
# photographs allow it, overlapping where patches are scarce (the very sharp ones, and different ones of no sharpness).
SPACINGS = (1, 3 / 4, 1 / 2, 1 / 4)
# Of more places, evenly many of each photograph are looked at: enough to choose from, and few enough to sort.
MOST_PLACES = 5_000_000


@dataclass(frozen=True)
class Candidates:
    """Every patch that could be cut. Parallel int64 arrays, one value per patch."""

    photograph: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    sharpness: NDArray[np.int64]


def with_half_sizes(photographs: Sequence[NDArray[np.uint8]], side: int) -> list[NDArray[np.uint8]]:
    """The photographs (height x width x 3, uint8, RGB), then each at half its size (Lanczos), if a patch fits."""
    images = [Image.fromarray(photograph) for photograph in photographs if min(photograph.shape[:2]) >= 2 * side]
    halves = [image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS) for image in images]
    return [*photographs, *(np.array(half) for half in halves)]


def sharpness_map(photograph: NDArray[np.uint8], side: int) -> NDArray[np.int64]:
    """:func:`~CEM_Demo.patches.sharpness.patch_sharpness` of the patch that starts at each pixel."""
    grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(photograph), cv2.COLOR_RGB2GRAY), np.int64)
    across = _sums(np.square(np.diff(grey, axis=1)), side, side - 1)
    down = _sums(np.square(np.diff(grey, axis=0)), side - 1, side)
    sharpness: NDArray[np.int64] = np.rint(np.sqrt(across + down)).astype(np.int64)
    return sharpness


def _sums(values: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
    """The sum of the rectangle that starts at each place."""
    total = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    return total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]


def find_candidates(photographs: Sequence[NDArray[np.uint8]], side: int) -> Candidates:
    """Every position of every photograph; of very many, evenly spread ones."""
    maps = [sharpness_map(photograph, side) for photograph in photographs]
    step = math.ceil(sum(sharpness.size for sharpness in maps) / MOST_PLACES)
    columns: list[list[NDArray[np.int64]]] = []
    for index, sharpness in enumerate(maps):
        places = np.arange(0, sharpness.size, step)
        row, column = np.divmod(places, sharpness.shape[1])
        columns.append([np.full(places.size, index), row, column, sharpness.reshape(-1)[places]])
    return Candidates(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))


def wanted_sharpness(side: int) -> NDArray[np.float64]:
    """The published quantiles of sharpness, for patches of another side: as many more steps as those have."""
    return np.array(SHARPNESS) * math.sqrt(side * (side - 1) / (PUBLISHED_SIDE * (PUBLISHED_SIDE - 1)))


def wanted_per_level(side: int, count: int) -> NDArray[np.int64]:
    """How many patches of each sharpness a bank holds, from 0 up: the published quantiles, interpolated."""
    ranks = (np.arange(count) + 0.5) / count
    return np.bincount(np.rint(np.interp(ranks, QUANTILES, wanted_sharpness(side))).astype(np.int64))


def draw_order(candidates: Candidates, seed: int) -> NDArray[np.int64]:
    """Indices by sharpness; within one sharpness at random, the photographs taking turns."""
    chance = np.random.default_rng(seed).random(candidates.sharpness.size)
    order = np.lexsort((chance, candidates.photograph, candidates.sharpness))
    group = candidates.sharpness[order] * (candidates.photograph.max() + 1) + candidates.photograph[order]
    turn = np.arange(order.size) - np.searchsorted(group, group)
    return order[np.lexsort((turn, candidates.sharpness[order]))]


class Picker:
    """Takes patches that differ from, and keep their distance to, those already taken."""

    def __init__(self, photographs: Sequence[NDArray[np.uint8]], candidates: Candidates, side: int) -> None:
        self.photographs = photographs
        self.side = side
        self.candidates = candidates
        self.corners = [np.zeros(photograph.shape[:2], bool) for photograph in photographs]
        self.pixels: set[bytes] = set()
        self.taken: list[int] = []

    def cut(self, index: int) -> NDArray[np.uint8]:
        """The pixels of one candidate, side x side x 3, uint8, RGB."""
        row, column = self.candidates.row[index], self.candidates.column[index]
        photograph = self.photographs[self.candidates.photograph[index]]
        patch: NDArray[np.uint8] = photograph[row : row + self.side, column : column + self.side]
        return patch

    def try_to_take(self, index: int, spacing: int) -> bool:
        """Take one candidate unless another lies within ``spacing`` pixels or has the same pixels."""
        corners = self.corners[self.candidates.photograph[index]]
        row, column = self.candidates.row[index], self.candidates.column[index]
        top, left = max(row - spacing + 1, 0), max(column - spacing + 1, 0)
        pixels = self.cut(index).tobytes()
        if corners[top : row + spacing, left : column + spacing].any() or pixels in self.pixels:
            return False
        corners[row, column] = True
        self.pixels.add(pixels)
        self.taken.append(index)
        return True

    def take(self, indices: NDArray[np.int64], wanted: int) -> int:
        """Take up to ``wanted`` of the candidates ``indices``, as far apart as possible; return how many lack."""
        for share in SPACINGS:
            spacing = max(1, int(self.side * share))
            for index in indices:
                if wanted == 0:
                    return 0
                wanted -= self.try_to_take(int(index), spacing)
        return wanted


def cut_patches(
    photographs: Sequence[NDArray[np.uint8]], seed: int, side: int = PUBLISHED_SIDE, count: int = 10_000
) -> NDArray[np.uint8]:
    """Different patches of the published sharpness, count x side x side x 3, uint8, RGB, by it, then by position.

    Position is photograph (all at full size, then all at half), row, column. Raises InputError where the
    photographs hold too few patches.
    """
    photographs = with_half_sizes(photographs, side)
    candidates = find_candidates(photographs, side)
    order = draw_order(candidates, seed)
    ordered = candidates.sharpness[order]
    wanted = wanted_per_level(side, count)
    levels = max(wanted.size, int(candidates.sharpness.max()) + 1)
    wanted = np.pad(wanted, (0, levels - wanted.size))
    picker = Picker(photographs, candidates, side)
    lacking = 0
    # What a level cannot give is asked of the next softer one, and of the sharper ones in the end.
    for level in (*reversed(range(levels)), *range(levels)):
        start, stop = np.searchsorted(ordered, (level, level + 1))
        lacking = picker.take(order[start:stop], int(wanted[level]) + lacking)
        wanted[level] = 0
    if lacking:
        raise InputError(f"{lacking} of {count} patches cannot be cut; add photographs, or cut fewer")
    # Candidates stand in order of position, so their index breaks ties of sharpness.
    by_sharpness = sorted(picker.taken, key=lambda index: (candidates.sharpness[index], index))
    return np.stack([picker.cut(index) for index in by_sharpness])
