"""Would the map come out the same from other draws? Its own halves, or another run, against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from CEM_Demo.method.certainty import Certainty
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.method.extremes import balanced_draws, odd_draws
from CEM_Demo.method.intervals import estimate
from CEM_Demo.method.rank_correlation import rank_correlation


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


class SecondRun(BaseModel):
    """How a map agrees with that of another run of the same model on the same ROI.

    Attributes:
        differs: what decides the draws and is not the same, by its key: of this run, of the other.
        correlation: Spearman's rank correlation of the two maps before the tolerance, -1..1, over the blocks that have
            fine or adaptive draws in both; None below three of them.
        blocks: how many these are.
        same_class: share of the blocks outside the ROI, and in its reach, that both runs put into the same class, 0..1;
            None where there are no such blocks.
        opposite: how many blocks one run certifies to help and the other to hurt.
    """

    model_config = ConfigDict(frozen=True)

    differs: dict[str, list[Any]]
    correlation: float | None
    blocks: int
    same_class: float | None
    opposite: int


def compare_runs(first: Certainty, second: Certainty, differs: dict[str, list[Any]]) -> SecondRun:
    """Compare the maps of two runs on the same blocks; see :class:`SecondRun`."""
    shared = first.tested & second.tested
    maps = [one.estimates.mean[shared] for one in (first, second)]
    outside = first.reached & second.reached & ~first.roi
    codes = [one.classes.codes[outside].astype(int) for one in (first, second)]
    return SecondRun(
        differs=differs,
        correlation=rank_correlation(*maps),
        blocks=int(shared.sum()),
        same_class=float(np.mean(codes[0] == codes[1])) if outside.any() else None,
        opposite=int((codes[0] * codes[1] == BlockClass.HELPS * BlockClass.HURTS).sum()),
    )


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
