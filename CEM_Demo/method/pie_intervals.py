"""How sure the shares of the pie are: intervals of the counts, by drawing the draws again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.intervals import CONFIDENCE, Estimates

RESAMPLES = 1000


@dataclass(frozen=True)
class CountInterval:
    """How many blocks there are of a kind, and between which counts that lies."""

    count: int
    low: int
    high: int


@dataclass(frozen=True)
class PieIntervals:
    """The blocks outside the ROI whose mean effect hurts or helps by the tolerance or more."""

    hurting: CountInterval
    helping: CountInterval


def pie_intervals(
    draws: NDArray[np.float64],
    tried: NDArray[np.bool_],
    estimates: Estimates,
    tol: float,
    seed: int,
    confidence: float = CONFIDENCE,
) -> PieIntervals:
    """Give the counts of the pie and their percentile intervals from resampled draws (Efron 1979).

    Deviations of the resampled means are scaled to the standard errors, which stratified draws make smaller than
    resampling knows of.

    Args:
        draws: rows x columns x draws, the effect of each draw, dB.
        tried: the same shape, True for the draws that count; blocks without any have no effect.
        estimates: of the same draws.
        tol: dB, the least effect that counts.
        seed: of the resampling.
        confidence: of the intervals, 0..1.
    """
    chosen = estimates.count > 1
    means = estimates.mean[chosen]
    deviations = _resampled_deviations(draws[chosen], tried[chosen], estimates.standard_error[chosen], seed)
    return PieIntervals(
        _interval(int((means <= -tol).sum()), (means + deviations <= -tol).sum(axis=1), confidence),
        _interval(int((means >= tol).sum()), (means + deviations >= tol).sum(axis=1), confidence),
    )


def _resampled_deviations(
    draws: NDArray[np.float64], tried: NDArray[np.bool_], errors: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Draw the deviations of the blocks' means again: resamples x blocks, from blocks x draws."""
    random = np.random.default_rng(seed)
    count = tried.sum(axis=1, keepdims=True)
    packed = np.take_along_axis(draws, np.argsort(~tried, axis=1, kind="stable"), axis=1)
    made = np.arange(draws.shape[1]) < count
    packed = np.where(made, packed - np.where(made, packed, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt((packed**2).sum(axis=1)) / count[:, 0]
    scale = np.divide(errors, spread, out=np.zeros_like(errors), where=spread > 0)
    deviations = np.empty((RESAMPLES, len(draws)))
    for row in deviations:
        taken = (random.random(draws.shape) * count).astype(np.int64)
        again = np.where(made, np.take_along_axis(packed, taken, axis=1), 0.0)
        row[:] = scale * again.sum(axis=1) / count[:, 0]
    return deviations


def _interval(count: int, resampled: NDArray[np.int64], confidence: float) -> CountInterval:
    ends = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2], method="nearest")
    return CountInterval(count, min(count, int(ends[0])), max(count, int(ends[1])))
