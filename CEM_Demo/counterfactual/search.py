"""Search for the fewest blocks whose joint edit changes the PSNR of the ROI by so many dB; on arrays alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.metric import error_growth

# The best blocks of which all pairs are tried, where more than two were taken or the goal is not reached.
PAIRED = 20
# How many blocks are measured again at a time, to make use of batches.
AT_ONCE = 4

# From some sets of blocks to what each changes: dB, intervened minus untouched, a mean over draws.
MeasureChanges = Callable[[Sequence[NDArray[np.int64]]], NDArray[np.float64]]


@dataclass(frozen=True)
class Goal:
    """What a counterfactual must reach.

    Attributes:
        change: dB; the ROI must lose as much where it is negative, and gain as much where it is positive.
        most_blocks: how many blocks may be edited.
    """

    change: float
    most_blocks: int

    def is_met(self, change: float) -> bool:
        """Whether a change, in dB, is as large as is asked for."""
        return change <= self.change if self.change < 0 else change >= self.change

    def progress(self, change: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far changes (dB) go, as a share of the untouched ROI's squared error, in which effects add."""
        return error_growth(-change) * (1 if self.change < 0 else -1)


@dataclass(frozen=True)
class Found:
    """The end of a search.

    Attributes:
        blocks: in the order in which they were taken.
        changes: dB, what the first 1, 2, ... of them change together.
        is_met: whether all of them reach the goal; else they are the farthest that the search came.
    """

    blocks: NDArray[np.int64]
    changes: NDArray[np.float64]
    is_met: bool


def search(measure: MeasureChanges, candidates: NDArray[np.int64], goal: Goal) -> Found:
    """Find few blocks that reach the goal together, none of which can be left out.

    Blocks are taken one after the other, each time the one that brings the goal nearest; those that turn out not to be
    needed are put back. Where more than two remain, or the goal is not reached, all pairs of the ``PAIRED`` candidates
    that do most alone are tried as well, at most 190 sets. So one block that is enough would be found, and a pair of
    these; of larger sets, there may be smaller ones.

    Args:
        measure: makes the edits.
        candidates: the blocks to choose from.
        goal: to reach.
    """
    alone = goal.progress(measure([candidates[[number]] for number in range(len(candidates))]))
    taken = _grow(measure, candidates, alone, goal)
    is_met = goal.is_met(_change(measure, taken))
    if is_met:
        taken = _leave_out(measure, taken, goal)
    if goal.most_blocks > 1 and (len(taken) > 2 or not is_met):
        best = candidates[np.argsort(-alone, kind="stable")[:PAIRED]]
        taken = _pair(measure, best, goal, otherwise=taken)
    return _found(measure, taken, goal)


def _grow(
    measure: MeasureChanges, candidates: NDArray[np.int64], alone: NDArray[np.float64], goal: Goal
) -> NDArray[np.int64]:
    """Take blocks until the goal is met, none brings it nearer, or there may be no more.

    What a block adds was measured at an earlier step for most. Only the best are measured again, until the best is one
    of those (lazy greedy, Minoux 1978); in squared error, what a block adds depends little on the other blocks.
    """
    gains, free = alone.copy(), np.ones(len(candidates), dtype=bool)
    taken: list[int] = []
    reached = 0.0
    while len(taken) < goal.most_blocks and free.any():
        measured = np.full(len(candidates), not taken)
        while not measured[best := int(np.where(free, gains, -np.inf).argmax())]:
            stale = np.flatnonzero(free & ~measured)
            again = stale[np.argsort(-gains[stale], kind="stable")[:AT_ONCE]]
            sets = [candidates[[*taken, number]] for number in again]
            gains[again] = goal.progress(measure(sets)) - reached
            measured[again] = True
        if gains[best] <= 0:
            break
        taken.append(best)
        free[best] = False
        reached += gains[best]
        if goal.is_met(_change(measure, candidates[taken])):
            break
    return candidates[taken]


def _leave_out(measure: MeasureChanges, blocks: NDArray[np.int64], goal: Goal) -> NDArray[np.int64]:
    """Put blocks back, the one that is missed least first, as long as the goal stays met."""
    while len(blocks) > 1:
        changes = measure([np.delete(blocks, number) for number in range(len(blocks))])
        least_missed = int(goal.progress(changes).argmax())
        if not goal.is_met(changes[least_missed]):
            break
        blocks = np.delete(blocks, least_missed)
    return blocks


def _pair(
    measure: MeasureChanges, best: NDArray[np.int64], goal: Goal, otherwise: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give the pair of ``best`` blocks that goes farthest, where it meets the goal or goes farther than ``otherwise``.

    Else, and where there is no pair, give ``otherwise``.
    """
    pairs = [np.array(pair) for pair in combinations(best, 2)]
    if not pairs:
        return otherwise
    changes = measure(pairs)
    farthest = int(goal.progress(changes).argmax())
    theirs, others = goal.progress(np.array([changes[farthest], _change(measure, otherwise)]))
    return pairs[farthest] if goal.is_met(changes[farthest]) or theirs > others else otherwise


def _found(measure: MeasureChanges, blocks: NDArray[np.int64], goal: Goal) -> Found:
    changes = measure([blocks[: number + 1] for number in range(len(blocks))])
    return Found(blocks, changes, bool(len(blocks)) and goal.is_met(changes[-1]))


def _change(measure: MeasureChanges, blocks: NDArray[np.int64]) -> float:
    return float(measure([blocks])[0]) if len(blocks) else 0.0
