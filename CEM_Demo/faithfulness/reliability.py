"""Would the map come out the same from other draws? Its odd draws against its even ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import spearmanr

from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.method.measurements import Draws


class Reliability(BaseModel):
    """How the two halves of a map's draws agree.

    Attributes:
        halves: Spearman's rank correlation of the two maps, -1..1.
        whole: the same for two maps of all draws, by the formula of Spearman and Brown; None where ``halves`` is
            negative, since it holds for agreement only.
        blocks: how many blocks were compared.
    """

    model_config = ConfigDict(frozen=True)

    halves: float
    whole: float | None
    blocks: int


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Spearman's correlation of two maps, -1..1; None below three blocks, or where a map is the same everywhere."""
    if len(first) < 3 or min(np.ptp(first), np.ptp(second)) == 0:
        return None
    return float(spearmanr(first, second).statistic)


def reliability_of(joint: JointExperiment, rounds: Mapping[str, Draws]) -> Reliability | None:
    """Compare the halves of the draws of a map's last round, over the blocks that may be replaced."""
    last = list(rounds.values())[-1]
    return split_half(last, joint.mask(joint.candidates).reshape(last.counts.shape))


def split_half(draws: Draws, among: NDArray[np.bool_]) -> Reliability | None:
    """Compare the map of the odd draws with that of the even ones, before the tolerance.

    Args:
        draws: of the map's last round, the fine one.
        among: rows x columns bool, the blocks that count; those without two draws never do.

    Returns:
        None where fewer than three blocks can be compared.
    """
    usable = among & (draws.counts > 1)
    values, tried = draws.values[usable], draws.tried[usable]
    first, second = (
        np.where(tried[:, half::2], values[:, half::2], 0).sum(axis=1) / tried[:, half::2].sum(axis=1)
        for half in (0, 1)
    )
    halves = rank_correlation(first, second)
    if halves is None:
        return None
    whole = 2 * halves / (1 + halves) if halves >= 0 else None
    return Reliability(halves=halves, whole=whole, blocks=len(first))
