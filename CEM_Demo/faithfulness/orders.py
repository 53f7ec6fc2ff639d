"""Orders in which blocks are replaced: by a map, nearest first, at random, and greedily by trying."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.geometry import ROI, Grid


def highest_first(scores: NDArray[np.float64], blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort blocks, counted row by row, by their scores (rows x columns), the highest first."""
    return blocks[np.argsort(-scores.reshape(-1)[blocks], kind="stable")]


def nearest_first(grid: Grid, roi: ROI, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort blocks by the distance of their centers to the ROI, and to its center where that is the same."""
    side = grid.block * grid.scale
    rows, columns = ((index + 0.5) * side for index in np.divmod(blocks, grid.shape[1]))
    middle_row, middle_column = (roi.top + roi.bottom) / 2, (roi.left + roi.right) / 2
    down, across = np.abs(rows - middle_row), np.abs(columns - middle_column)
    gaps = np.maximum(down - roi.height / 2, 0), np.maximum(across - roi.width / 2, 0)
    return blocks[np.lexsort((np.hypot(down, across), np.hypot(*gaps)))]


def random_orders(joint: JointExperiment, count: int) -> list[NDArray[np.int64]]:
    """Shuffle the blocks that may be replaced, ``count`` times."""
    return [joint.random(0, number).permutation(joint.candidates) for number in range(count)]


def greedy(joint: JointExperiment, pool: NDArray[np.int64], steps: int, draws: int, sign: int = 1) -> NDArray[np.int64]:
    """Take from ``pool``, step by step, the block whose replacement besides those taken before costs the ROI most.

    It is chosen by the draws that score the order, so that the order is a ceiling for others rather than a rival. What
    a block adds was measured at an earlier step for most; only the best are measured again, until the best is one of
    those (lazy greedy, Minoux 1978: blocks seldom add more to larger sets).

    Args:
        joint: the experiment.
        pool: blocks to choose from.
        steps: how many to take.
        draws: how many; their numbers begin at 0.
        sign: 1 for what costs the ROI most, -1 for what gains it most.
    """
    numbers = np.arange(draws)
    singly = joint.single_effects(pool.repeat(draws), np.tile(numbers, len(pool))).reshape(-1, draws)
    gains = sign * singly.mean(axis=1)
    taken: list[int] = []
    reached = 0.0
    for _ in range(min(steps, len(pool))):
        measured = np.full(len(pool), not taken)
        while not measured[best := int(gains.argmax())]:
            sets = np.stack([joint.mask(pool[[*taken, best]])] * draws)
            gains[best] = sign * joint.effects(sets, numbers).mean() - reached
            measured[best] = True
        reached += gains[best]
        gains[best] = -np.inf
        taken.append(best)
    return pool[taken]
