"""Do effects add? The same patches pasted singly and jointly, so that the noise of the draws cancels."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.method.metric import error_growth

SETS_PER_SIZE = 24


class Agreement(BaseModel):
    """How sums of single effects agree with joint effects.

    Attributes:
        slope: of the joint effects on the sums, by least squares through the origin; 1 where effects add.
        pearson: their correlation (sensitivity-n, Ancona et al. 2018); None where one of them is constant.
        infidelity: root of the mean squared difference (Yeh et al. 2019), in the unit of the effects.
    """

    model_config = ConfigDict(frozen=True)

    slope: float | None
    pearson: float | None
    infidelity: float


class Additivity(BaseModel):
    """Whether effects add over random sets of one size, in dB and in the ratio of squared errors.

    Attributes:
        size: blocks of a set.
        sets: how many sets were tried.
        decibels: of effects in dB.
        ratio: of effects as the relative growth of the squared error, see :func:`~CEM_Demo.method.metric.error_growth`.
    """

    model_config = ConfigDict(frozen=True)

    size: int
    sets: int
    decibels: Agreement
    ratio: Agreement


def paired_additivity(
    joint: JointExperiment, among: NDArray[np.int64], sizes: Iterable[int], draws: int
) -> list[Additivity]:
    """Replace random sets of blocks jointly, and each of their blocks alone by the same patch.

    Args:
        joint: the experiment.
        among: the blocks that sets are made of; those without effect would add trivially.
        sizes: blocks of a set; those larger than the number of such blocks are left out.
        draws: how many; the sets are dealt out to them in turn.
    """
    possible = [size for size in sizes if size <= len(among)]
    if not possible:
        return []
    sets = np.stack(
        [
            joint.mask(joint.random(1, size, number).permutation(among)[:size])
            for size in possible
            for number in range(SETS_PER_SIZE)
        ]
    )
    numbers = np.arange(len(sets)) % draws
    together = joint.effects(sets, numbers)
    apart = _single_effects(joint, sets, numbers, draws)[numbers]
    groups = np.repeat(possible, SETS_PER_SIZE)
    return [
        Additivity(
            size=size,
            sets=SETS_PER_SIZE,
            decibels=agreement((sets * apart).sum(axis=1)[groups == size], together[groups == size]),
            ratio=agreement(
                (sets * error_growth(apart)).sum(axis=1)[groups == size], error_growth(together)[groups == size]
            ),
        )
        for size in possible
    ]


def agreement(sums: NDArray[np.float64], jointly: NDArray[np.float64]) -> Agreement:
    """Compare N sums of single effects with as many joint effects."""
    varies = min(np.ptp(sums), np.ptp(jointly)) > 0
    return Agreement(
        slope=float(sums @ jointly / (sums @ sums)) if sums.any() else None,
        pearson=float(np.corrcoef(sums, jointly)[0, 1]) if varies else None,
        infidelity=float(np.sqrt(np.mean((sums - jointly) ** 2))),
    )


def _single_effects(
    joint: JointExperiment, sets: NDArray[np.bool_], numbers: NDArray[np.int64], draws: int
) -> NDArray[np.float64]:
    """Draws x blocks, the effect of each block alone by each draw in which a set has it; zero elsewhere."""
    needed = np.stack([sets[numbers == draw].any(axis=0) for draw in range(draws)])
    found = np.zeros(needed.shape)
    of_draws, blocks = np.nonzero(needed)
    found[of_draws, blocks] = joint.single_effects(blocks, of_draws)
    return found
