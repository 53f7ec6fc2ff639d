"""The strongest blocks, reported without the luck that made them the strongest, and the draws that carry a block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.intervals import CONFIDENCE, estimate

ROGUE_DEVIATIONS = 6.0  # in robust standard deviations
LEAST_DRAWS = 8  # of fewer, the median absolute deviation says too little
NORMAL_RATIO = 1.4826  # standard deviation of a normal distribution to its median absolute deviation


@dataclass(frozen=True)
class Strongest:
    """The strongest blocks, strongest first; every array is as long as there are such blocks.

    Attributes:
        rows, columns: int64, where they are.
        chosen: float64, dB, mean of the draws that chose them; the luck of being chosen is in it.
        reported: float64, dB, mean of the other draws, which is free of that luck.
        low, high: float64, dB, the interval of ``reported``.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    chosen: NDArray[np.float64]
    reported: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def odd_draws(count: int) -> NDArray[np.bool_]:
    """Mark the first, third, ... of ``count`` independent draws."""
    return np.arange(count) % 2 == 0


def balanced_draws(count: int) -> NDArray[np.bool_]:
    """Mark one half of ``count`` stratified draws, so that each half is stratified by itself (Thue and Morse).

    Odd and even positions of a van der Corput sequence lie in different halves of the bank, so they cannot be used.
    """
    number = np.arange(count)
    parity = np.zeros(count, np.int64)
    while number.any():
        parity ^= number & 1
        number >>= 1
    return parity == 0


def strongest_blocks(
    draws: NDArray[np.float64],
    tried: NDArray[np.bool_],
    choosing: NDArray[np.bool_],
    number: int = 5,
    strength: Callable[[NDArray[np.float64]], NDArray[np.float64]] = np.abs,
    confidence: float = CONFIDENCE,
) -> Strongest:
    """Choose the strongest blocks by one half of the draws and report them by the other half.

    Args:
        draws: rows x columns x draws, the effect of each draw, dB.
        tried: the same shape, True for the draws that were made, of the blocks that may be chosen.
        choosing: one for each draw, True for the half that chooses.
        number: how many blocks to give; fewer where fewer have two draws in each half.
        strength: what is largest; ``np.positive`` gives the most helpful blocks, ``np.negative`` the most harmful.
        confidence: of the intervals, 0..1.
    """
    first, second = estimate(draws, tried & choosing, confidence), estimate(draws, tried & ~choosing, confidence)
    eligible = (first.count > 1) & (second.count > 1)
    order = np.argsort(np.where(eligible, -strength(first.mean), np.inf), axis=None, kind="stable")
    rows, columns = np.unravel_index(order[: min(number, int(eligible.sum()))], eligible.shape)
    place = rows, columns
    return Strongest(rows, columns, first.mean[place], second.mean[place], second.low[place], second.high[place])


@dataclass(frozen=True)
class Rogues:
    """Blocks whose mean hangs on a single draw; every array is rows x columns.

    Attributes:
        flagged: bool.
        median: float64, dB, of the draws; NaN where there are none.
        deviation: float64, dB, signed, of the draw that is farthest from the median; NaN where there are none.
    """

    flagged: NDArray[np.bool_]
    median: NDArray[np.float64]
    deviation: NDArray[np.float64]


def find_rogues(draws: NDArray[np.float64], tried: NDArray[np.bool_], tol: float) -> Rogues:
    """Flag the blocks with a draw more than six robust standard deviations, and more than ``tol``, from the median.

    The robust standard deviation is 1.4826 times the median absolute deviation. It is zero for a block that most
    patches leave alone, hence the second condition. Blocks with fewer than eight draws are not flagged.

    Args:
        draws: rows x columns x draws, the effect of each draw, dB.
        tried: the same shape, True where a draw was made.
        tol: dB, the least effect that counts.
    """
    some = tried.any(axis=-1)
    filled = np.where(tried, draws, np.nan)
    filled[~some] = 0.0  # a median of nothing would warn
    median = np.asarray(np.nanmedian(filled, axis=-1))
    deviations = filled - median[..., None]
    sizes = np.abs(deviations)
    spread = NORMAL_RATIO * np.asarray(np.nanmedian(sizes, axis=-1))
    place = np.expand_dims(np.nanargmax(sizes, axis=-1), -1)
    farthest = np.take_along_axis(deviations, place, axis=-1)[..., 0]
    flagged = (np.abs(farthest) > np.maximum(ROGUE_DEVIATIONS * spread, tol)) & (tried.sum(axis=-1) >= LEAST_DRAWS)
    return Rogues(flagged, np.where(some, median, np.nan), np.where(some, farthest, np.nan))
