"""How a Local Attribution Map and a causal effect map of the same window agree, block by block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import Grid


@dataclass(frozen=True)
class ClassShare:
    """What a class of blocks has of an image.

    Attributes:
        attribution: share of the sum of LAM's map, 0..1.
        blocks: share of the blocks, 0..1; what ``attribution`` would be if LAM told the class from no other.
    """

    attribution: float
    blocks: float


@dataclass(frozen=True)
class Comparison:
    """A Local Attribution Map beside a causal effect map.

    Attributes:
        rank_correlation: Spearman's, of LAM's block sums with the magnitudes of the effects, -1..1; NaN where one of
            them is the same for all blocks.
        blocks: how many blocks it is taken over. They are no independent samples, so no p-value is given.
        shares: by the name of the class.
    """

    rank_correlation: float
    blocks: int
    shares: Mapping[str, ClassShare]


def block_sums(values: NDArray[np.floating], grid: Grid) -> NDArray[np.float64]:
    """Sum a map of input pixels over the blocks of a causal effect map: rows x columns.

    Args:
        values: H x W, LAM's map or its signed map.
        grid: the blocks of an input of H x W pixels; partial blocks at the border sum the pixels that they have.

    Raises:
        InputError: the map and the grid are of different sizes.
    """
    if values.shape != (grid.height, grid.width):
        raise InputError(f"the map is {' x '.join(map(str, values.shape))}, not {grid.height} x {grid.width} pixels")
    rows, columns = (np.arange(count) * grid.block for count in grid.shape)
    return np.add.reduceat(np.add.reduceat(values.astype(np.float64), rows, axis=0), columns, axis=1)


def compare(
    sums: NDArray[np.float64],
    effects: NDArray[np.float64],
    classes: Mapping[str, NDArray[np.bool_]],
    among: NDArray[np.bool_] | None = None,
) -> Comparison:
    """Compare LAM's block sums with the effects of the same blocks.

    Args:
        sums: rows x columns, not negative, from :func:`block_sums` of LAM's map.
        effects: rows x columns, in any unit; only the ranks of the magnitudes count.
        classes: name -> rows x columns, the blocks that help, hurt, and so on. A block may be in none or in several.
        among: rows x columns, the blocks that count, such as those outside the ROI; None counts all.

    Raises:
        InputError: the arrays are of different shapes, or there is no attribution among the blocks that count.
    """
    among = np.ones(sums.shape, dtype=bool) if among is None else among
    for name, array in {"effects": effects, "among": among, **classes}.items():
        if array.shape != sums.shape:
            raise InputError(f"{name}: {array.shape} blocks, not the {sums.shape} of the attribution")
    total = sums[among].sum()
    if not total > 0:
        raise InputError("there is no attribution among the blocks that count")
    shares = {
        name: ClassShare(float(sums[among & mask].sum() / total), float((among & mask).sum() / among.sum()))
        for name, mask in classes.items()
    }
    return Comparison(rank_correlation(sums[among], np.abs(effects[among])), int(among.sum()), shares)


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation of two lists of N values, -1..1; NaN where one of them is all the same."""
    if first.size == 0 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)
