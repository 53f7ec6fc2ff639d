"""What rounding to 8 bits and the coarse rule do to a map, in numbers to print beside it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.images import PEAK

ROUNDING_VARIANCE = 1 / 12  # of an error that is uniform over one level


def rounding_floor(origin: float, values: int) -> float:
    """Give the standard deviation (dB) of the offset that rounding to 8 bits lends to all effects of a map.

    The rounding errors of the untouched ROI are one draw of luck, which every effect shares: no interval shows it.
    To first order the offset is ``(10 / ln 10) * 2 <e, r> / (N M)``, e the errors, r their rounding, M the MSE.

    Args:
        origin: PSNR of the untouched ROI, dB.
        values: N, the 8-bit values of the ROI, three for each pixel.

    >>> round(rounding_floor(30.0, 3072), 4)
    0.0056
    """
    return 20 / math.log(10) * math.sqrt(ROUNDING_VARIANCE / (values * _mean_squared_error(origin)))


def rounding_offset(origin: float, unrounded_origin: float) -> float:
    """Give the offset (dB) that the rounding of the untouched ROI lends to all effects of a map.

    It is the PSNR of the rounded ROI less what rounding costs on average, 1/12 of a squared level. Interventions that
    change the ROI by about a level or more have that average; subtract the offset from their effects to undo it.

    Args:
        origin: PSNR of the untouched ROI as it was measured, rounded to 8 bits, dB.
        unrounded_origin: the same of the output that was clipped but not rounded, dB.
    """
    expected_error = _mean_squared_error(unrounded_origin) + ROUNDING_VARIANCE
    return origin - 10 * math.log10(PEAK**2 / expected_error)


def miss_chances(
    draws: NDArray[np.float64], tried: NDArray[np.bool_], tol: float, coarse_num: int
) -> NDArray[np.float64]:
    """Estimate for each block, rows x columns, the probability that its coarse draws would let it go.

    With k of n fine draws of ``tol`` or more, coarse draws taken from them all fall below with probability
    ``C(n - k, coarse_num) / C(n, coarse_num)``. Blocks with fewer draws than ``coarse_num`` get NaN.

    Args:
        draws: rows x columns x draws, the effect of each fine draw, dB.
        tried: the same shape, True where a draw was made.
        tol: dB, what one coarse draw must reach.
        coarse_num: how many coarse draws each block has.
    """
    count = tried.sum(axis=-1)
    below = count - (tried & (np.abs(draws) >= tol)).sum(axis=-1)
    chance = np.ones(count.shape)
    for drawn in range(coarse_num):
        chance *= np.maximum(below - drawn, 0) / np.maximum(count - drawn, 1)
    return np.where(count >= coarse_num, chance, np.nan)


def missed_blocks(chances: NDArray[np.float64], shown: NDArray[np.bool_]) -> float:
    """Estimate how many blocks like those shown the coarse draws let go (Horvitz and Thompson 1952).

    A block that is found with probability 1 - m stands for 1 / (1 - m) blocks. The estimate is a few percent too high
    where blocks are missed often, since m is itself estimated.

    Args:
        chances: rows x columns, from :func:`miss_chances`.
        shown: rows x columns, True for the blocks whose effect reaches the tolerance.
    """
    missed = chances[shown & (chances < 1)]
    return float((missed / (1 - missed)).sum())


def _mean_squared_error(origin: float) -> float:
    """Give the MSE in squared 8-bit levels of a PSNR in dB."""
    return PEAK**2 / 10 ** (origin / 10)
