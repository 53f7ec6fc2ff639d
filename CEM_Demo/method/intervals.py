"""How sure the effect of each block is: Student intervals from its draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimates:
    """What the draws of each block say about its effect; every array is rows x columns.

    Attributes:
        mean: float64, dB; NaN where no draw was made.
        standard_error: float64, dB; infinite below two draws.
        low, high: float64, dB, the ends of the interval; infinite below two draws.
        count: int64, how many draws were made.
        agreement: float64, the share of the draws that have the sign of the mean, 0..1; NaN where no draw was made.
    """

    mean: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    count: NDArray[np.int64]
    agreement: NDArray[np.float64]


def estimate(draws: NDArray[np.float64], tried: NDArray[np.bool_], confidence: float = CONFIDENCE) -> Estimates:
    """Estimate the effect of each block from independent draws, with a Student interval.

    Args:
        draws: rows x columns x draws, the effect of each draw: origin minus intervened PSNR, dB.
        tried: the same shape, True where a draw was made; blocks may differ in how many they have.
        confidence: probability that an interval holds the true mean, 0..1.
    """
    return _estimate(draws, tried, _independent_variance(draws, tried), confidence)


def estimate_stratified(
    draws: NDArray[np.float64],
    tried: NDArray[np.bool_],
    positions: NDArray[np.float64],
    confidence: float = CONFIDENCE,
) -> Estimates:
    """Estimate the effect of each block from stratified draws, with an interval from successive differences.

    Draws that spread evenly over the bank vary less in their mean than independent ones do. Neighbors in the order
    of the bank share most of what the order explains, so their differences hold the part that is left: the variance
    of a draw is half the mean squared difference (von Neumann 1941; Wolter, Introduction to Variance Estimation, 8.2).

    Args:
        draws: rows x columns x draws, the effect of each draw, dB.
        tried: the same shape, True where a draw was made.
        positions: the same shape, 0..1, where in the order of the bank the patch of a draw lies.
        confidence: probability that an interval holds the true mean, 0..1.
    """
    order = np.argsort(np.where(tried, positions, np.inf), axis=-1, kind="stable")
    ordered = np.take_along_axis(draws, order, axis=-1)
    # What was not tried is last, so a difference counts where its second draw does.
    counted = np.take_along_axis(tried, order, axis=-1)[..., 1:]
    squares = np.where(counted, np.diff(ordered, axis=-1), 0.0) ** 2
    variance = squares.sum(axis=-1) / np.maximum(counted.sum(axis=-1), 1) / 2
    return _estimate(draws, tried, variance, confidence)


def simultaneous(confidence: float, blocks: int) -> float:
    """Give the confidence of each interval with which all of ``blocks`` intervals hold at once (Bonferroni).

    >>> round(simultaneous(0.95, 100), 6)
    0.9995
    """
    return 1 - (1 - confidence) / max(blocks, 1)


def _independent_variance(draws: NDArray[np.float64], tried: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Estimate the variance of a draw (dB squared) of each block without bias."""
    deviations = np.where(tried, draws - _mean(draws, tried)[..., None], 0.0)
    return (deviations**2).sum(axis=-1) / np.maximum(tried.sum(axis=-1) - 1, 1)


def _mean(draws: NDArray[np.float64], tried: NDArray[np.bool_]) -> NDArray[np.float64]:
    count = tried.sum(axis=-1)
    total = np.where(tried, draws, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _estimate(
    draws: NDArray[np.float64], tried: NDArray[np.bool_], variance: NDArray[np.float64], confidence: float
) -> Estimates:
    count, mean = tried.sum(axis=-1), _mean(draws, tried)
    enough = count > 1
    error = np.where(enough, np.sqrt(variance / np.maximum(count, 1)), np.inf)
    half = error * stats.t.ppf((1 + confidence) / 2, np.maximum(count - 1, 1))
    agreeing = (np.sign(draws) == np.sign(mean)[..., None]) & tried
    share = np.where(count > 0, agreeing.sum(axis=-1) / np.maximum(count, 1), np.nan)
    low, high = np.where(enough, mean - half, -np.inf), np.where(enough, mean + half, np.inf)
    return Estimates(mean, error, low, high, count, share)
