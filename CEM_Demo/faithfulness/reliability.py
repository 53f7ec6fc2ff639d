"""Would the map come out the same from other draws? One half of its draws against the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import spearmanr

from CEM_Demo.method.certainty import Certainty
from CEM_Demo.method.extremes import balanced_draws, odd_draws
from CEM_Demo.method.intervals import estimate


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


def split_half(certainty: Certainty) -> Reliability | None:
    """Compare the maps of two halves of the draws, before the tolerance.

    Args:
        certainty: of the map; its blocks outside the ROI that have draws in both halves count.

    Returns:
        None where fewer than three blocks can be compared.
    """
    count = certainty.draws.shape[-1]
    first = odd_draws(count) if certainty.positions is None else balanced_draws(count)
    halves = [certainty.tried & half for half in (first, ~first)]
    usable = certainty.tested & halves[0].any(axis=-1) & halves[1].any(axis=-1)
    maps = [estimate(certainty.draws[usable], half[usable]).mean for half in halves]
    similarity = rank_correlation(*maps)
    if similarity is None:
        return None
    whole = 2 * similarity / (1 + similarity) if similarity >= 0 else None
    return Reliability(halves=similarity, whole=whole, blocks=int(usable.sum()))
