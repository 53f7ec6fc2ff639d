"""Turn measured PSNRs into the causal effect map: effects, counts, range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.measurements import EFFECT_ROUNDS, Draws


@dataclass(frozen=True)
class Counts:
    """How many blocks hurt, help or do neither; ROI blocks count as helping, as published."""

    negative: int
    positive: int
    zero: int
    roi: int


@dataclass(frozen=True)
class Extreme:
    """An effect (dB) and the block it belongs to."""

    effect: float
    row: int
    column: int


@dataclass(frozen=True)
class EffectMap:
    """The causal effect map of one model on one image.

    Attributes:
        effects: rows x columns float64, dB; positive if the block helps; zero below the tolerance.
        interventions: rows x columns int64, how many draws each effect is the mean of.
        roi: rows x columns bool, the blocks that overlap the ROI.
    """

    effects: NDArray[np.float64]
    interventions: NDArray[np.int64]
    roi: NDArray[np.bool_]

    @property
    def outside_roi(self) -> NDArray[np.float64]:
        """The effects with those of the ROI's own blocks set to zero, as maps and ranges show them."""
        return np.where(self.roi, 0.0, self.effects)

    @property
    def counts(self) -> Counts:
        negative = int(((self.effects < 0) & ~self.roi).sum())
        positive = int(((self.effects > 0) | self.roi).sum())
        return Counts(negative, positive, self.effects.size - negative - positive, int(self.roi.sum()))

    @property
    def lowest(self) -> Extreme:
        return self._extreme(int(self.outside_roi.argmin()))

    @property
    def highest(self) -> Extreme:
        return self._extreme(int(self.outside_roi.argmax()))

    @property
    def effect_range(self) -> float:
        """Highest minus lowest effect outside the ROI, dB."""
        return self.highest.effect - self.lowest.effect

    def _extreme(self, index: int) -> Extreme:
        row, column = divmod(index, self.effects.shape[1])
        return Extreme(float(self.outside_roi[row, column]), row, column)


def make_effect_map(origin: float, rounds: Mapping[str, Draws], tol: float, roi: NDArray[np.bool_]) -> EffectMap:
    """Turn measurements into effects: ``origin`` minus the mean intervened PSNR (paper, equation 4).

    Args:
        origin: PSNR (dB) of the ROI without intervention.
        rounds: the draws by the names of their rounds; for each block, those of the last round that tried it count.
        tol: dB; smaller effects become zero.
        roi: rows x columns, the blocks that overlap the ROI.
    """
    effects, interventions = np.zeros(roi.shape), np.zeros(roi.shape, np.int64)
    for draws in (rounds[name] for name in EFFECT_ROUNDS if name in rounds):
        tried = draws.counts > 0
        effects = np.where(tried, origin - draws.means, effects)
        interventions = np.where(tried, draws.counts, interventions)
    return EffectMap(np.where(np.abs(effects) < tol, 0.0, effects), interventions, roi)
