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


def greedy(joint: JointExperiment, pool: NDArray[np.int64], steps: int, draws: NDArray[np.int64]) -> NDArray[np.int64]:
    """Take from ``pool``, step by step, the block whose replacement besides those taken before costs the ROI most.

    Args:
        joint: the experiment.
        pool: blocks to choose from.
        steps: how many to take.
        draws: numbers of the draws to choose by; they must not be those that score the order.
    """
    taken: list[int] = []
    for _ in range(min(steps, len(pool))):
        left = [block for block in pool.tolist() if block not in taken]
        sets = np.stack([joint.mask(np.array([*taken, block])) for block in left])
        effects = joint.effects(sets.repeat(len(draws), axis=0), np.tile(draws, len(left)))
        taken.append(left[int(effects.reshape(len(left), -1).mean(axis=1).argmax())])
    return np.array(taken, dtype=np.int64)
