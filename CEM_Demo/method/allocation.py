"""How many draws each block gets: few where they agree or the effect is clear, more where it is not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

PRECISIONS = {"coarse": 8.0, "default": 16.0, "fine": 32.0}
UNIT = 0.001  # dB; another batch size may move the digits behind it
TYPICAL_DEVIATION = 0.03  # dB, of a draw; a block with this standard deviation gets about ``constant`` draws at first


@dataclass(frozen=True)
class Rule:
    """When a block has enough draws.

    Attributes:
        tol: dB, the least effect that counts.
        constant: scale of the draws that a block gets for its variance, see ``PRECISIONS``.
        first: draws of every live block in the first round, two or more.
        clearance: standard errors by which the mean shall clear the tolerance.
        cap: most draws that are spent on clearing it.
        most: most draws of a block.
    """

    tol: float
    constant: float = PRECISIONS["default"]
    first: int = 4
    clearance: float = 1.5
    cap: int = 40
    most: int = 256


@dataclass(frozen=True)
class Allocation:
    """What the recorded draws ask for.

    Attributes:
        rounds: for each round up to the one that is not all recorded, how many of its first draws each block needs,
            rows x columns int64.
        finished: whether all rounds are recorded and no block needs more.
    """

    rounds: tuple[NDArray[np.int64], ...]
    finished: bool

    @property
    def wanted(self) -> NDArray[np.int64]:
        """Rows x columns, how many of its first draws each block needs now."""
        return self.rounds[-1]


def allocate(
    draws: NDArray[np.float64],
    tried: NDArray[np.bool_],
    predicted: NDArray[np.float64] | None,
    live: NDArray[np.bool_],
    rule: Rule,
) -> Allocation:
    """Replay the rounds as far as the recorded draws go, and say how many draws the round to come wants.

    A round sees the draws of the rounds before it and no others, even where more are recorded. So an interrupted run
    that is resumed makes the draws of one that was not, whatever the batches.

    Args:
        draws: rows x columns x draws, the effect of each draw, dB.
        tried: the same shape, True where a draw is recorded.
        predicted: rows x columns, dB, the root mean square of the effects of a block's draws as the gradient predicts
            it; it counts as one draw and must be recorded with the draws. Where it is not finite, and everywhere for
            None, the standard deviations of the neighbors stand for it.
        live: rows x columns, True for the blocks that get draws at all.
        rule: when a block has enough.
    """
    recorded = np.logical_and.accumulate(tried, axis=-1).sum(axis=-1)
    units = np.rint(np.where(tried, draws, 0.0) / UNIT).astype(np.int64)
    rounds = [np.where(live, min(rule.first, rule.most), 0)]
    while (recorded >= rounds[-1]).all():
        grown = np.where(live, _next_round(units, rounds[-1], predicted, live, rule), 0)
        if (grown == rounds[-1]).all():
            return Allocation(tuple(rounds), True)
        rounds.append(grown)
    return Allocation(tuple(rounds), False)


def _next_round(
    units: NDArray[np.int64],
    count: NDArray[np.int64],
    predicted: NDArray[np.float64] | None,
    live: NDArray[np.bool_],
    rule: Rule,
) -> NDArray[np.int64]:
    """Say how many draws each block wants after its first ``count``; never fewer, at most twice as many."""
    mean, squares = _moments(units, count)
    prior = _neighboring_deviation(squares, count, live)
    if predicted is not None:
        prior = np.where(np.isfinite(predicted), predicted, prior)
    variance = (prior**2 + squares) / np.maximum(count, 1)
    # The square root of the standard deviation, not itself: blocks near the tolerance would get too little.
    for_error = rule.constant * np.sqrt(np.sqrt(variance) / TYPICAL_DEVIATION)
    margin = np.maximum((np.abs(mean) - rule.tol) ** 2, np.finfo(float).tiny)
    for_class = np.minimum(rule.cap, rule.clearance**2 * variance / margin)
    wanted = np.ceil(np.minimum(np.maximum(for_error, for_class), rule.most)).astype(np.int64)
    return np.maximum(count, np.minimum(wanted, 2 * count))


def _moments(units: NDArray[np.int64], count: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give each block's mean (dB) and sum of squared deviations (dB squared) of its first ``count`` draws.

    Sums of whole units are exact, so no order of summing can change a round.
    """
    taken = np.where(np.arange(units.shape[-1]) < count[..., None], units, 0)
    total, many = taken.sum(axis=-1), np.maximum(count, 1)
    squares = many * (taken**2).sum(axis=-1) - total**2
    return total / many * UNIT, squares / many * UNIT**2


def _neighboring_deviation(
    squares: NDArray[np.float64], count: NDArray[np.int64], live: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give the geometric mean (dB) of the standard deviations of the live blocks among each 3 x 3."""
    deviation = np.sqrt(squares / np.maximum(count - 1, 1))
    # Below the unit nothing is known, and a zero would make the mean zero.
    logarithm = np.where(live, np.log(np.maximum(deviation, UNIT)), 0.0)
    total, blocks = (_sum_of_neighbors(values) for values in (logarithm, live.astype(np.float64)))
    return np.exp(total / np.maximum(blocks, 1))


def _sum_of_neighbors(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return ndimage.convolve(values, np.ones((3, 3)), mode="constant")
