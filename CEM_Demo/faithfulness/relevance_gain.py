"""The symmetric relevance gain: what the first blocks of an order cost the ROI beyond what its last ones do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from CEM_Demo.faithfulness.curves import Curve, Interval, area_between, trace
from CEM_Demo.faithfulness.experiment import JointExperiment

FIRST_STEP = 4


class SymmetricGain(BaseModel):
    """An order of all blocks that may be replaced against the same order reversed (Blücher et al. 2024).

    What any replacement costs, whatever the block, is in both curves, and cancels. An order that tells nothing scores
    zero, and a reversed one the negative.

    Attributes:
        direct: the first blocks of the order replaced.
        reverse: the last ones replaced.
        gain: the area between the two curves over the number of blocks, dB; positive where the first blocks help more.
    """

    model_config = ConfigDict(frozen=True)

    direct: Curve
    reverse: Curve
    gain: Interval


def points_from_both_ends(count: int) -> list[int]:
    """Give the powers of four from either end of ``count`` blocks, and ``count`` itself.

    Either curve bends where the other is flat, so that both ends need points.

    >>> points_from_both_ends(24)
    [1, 4, 8, 16, 20, 23, 24]
    """
    steps = [FIRST_STEP**power for power in range(count.bit_length()) if FIRST_STEP**power < count]
    return sorted({*steps, *(count - step for step in steps), count})


def symmetric_gain(joint: JointExperiment, order: NDArray[np.int64], draws: int) -> SymmetricGain:
    """Replace ever more of the first blocks of an order, and of the last ones, until both curves meet."""
    points = points_from_both_ends(len(order))
    direct, reverse = (trace(joint, [one], points, draws, joint.mask) for one in (order, order[::-1]))
    return SymmetricGain(direct=direct, reverse=reverse, gain=area_between(direct, reverse))


def symmetric_gains(
    joint: JointExperiment, orders: Mapping[str, Sequence[NDArray[np.int64]]], draws: int
) -> dict[str, SymmetricGain]:
    """Give the gain of every order that is one, not several random ones; none below two blocks."""
    return {name: symmetric_gain(joint, one[0], draws) for name, one in orders.items() if len(one) == 1 < len(one[0])}
