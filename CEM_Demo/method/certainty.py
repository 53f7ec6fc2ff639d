"""All that the draws of one map say about how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.classes import FDR, BlockClass, Classes, classify
from CEM_Demo.method.comparison import Comparison, compare
from CEM_Demo.method.extremes import Rogues, Strongest, balanced_draws, find_rogues, odd_draws, strongest_blocks
from CEM_Demo.method.intervals import CONFIDENCE, Estimates, estimate, estimate_stratified
from CEM_Demo.method.measurements import Draws
from CEM_Demo.method.pie_intervals import PieIntervals, pie_intervals
from CEM_Demo.method.reliability import miss_chances, missed_blocks

RESAMPLING_SEED = 0


@dataclass(frozen=True)
class Certainty:
    """The draws that had no part in choosing their blocks, and what they say; arrays are rows x columns (x draws).

    Attributes:
        draws: rows x columns x draws float64, the effect of each draw, dB.
        tried: the same shape, True where a draw was made.
        positions: of adaptive draws, the same shape, where in the order of the bank they lie; None of published ones.
        reached: bool, the blocks that can change the ROI.
        roi: bool, the blocks that overlap the ROI.
        tol: dB, the least effect that counts.
        coarse_num: coarse draws of each block; None of adaptive draws, which have no such stage.
        confidence: of the intervals, 0..1.
        fdr: the expected share of wrong ones among the certified blocks, 0..1.
    """

    draws: NDArray[np.float64]
    tried: NDArray[np.bool_]
    positions: NDArray[np.float64] | None
    reached: NDArray[np.bool_]
    roi: NDArray[np.bool_]
    tol: float
    coarse_num: int | None
    confidence: float
    fdr: float

    @cached_property
    def estimates(self) -> Estimates:
        """The effect of each block with its interval."""
        if self.positions is None:
            return estimate(self.draws, self.tried, self.confidence)
        return estimate_stratified(self.draws, self.tried, self.positions, self.confidence)

    @property
    def tested(self) -> NDArray[np.bool_]:
        """The blocks with draws that can change the ROI and do not overlap it."""
        return self.tried.any(axis=-1) & self.reached & ~self.roi

    @cached_property
    def classes(self) -> Classes:
        """Which blocks certainly help or hurt, which are negligible, and which are undecided."""
        return classify(self.estimates, self.tol, self.tested, self.reached, self.roi, self.fdr)

    def count(self, kind: BlockClass) -> int:
        """Count the blocks of a class."""
        return self.classes.count(kind)

    @cached_property
    def rogues(self) -> Rogues:
        """The blocks whose mean hangs on a single draw."""
        return find_rogues(self.draws, self.tried & self.tested[..., None], self.tol)

    def strongest(self, number: int = 5) -> Strongest:
        """Choose the strongest blocks by one half of the draws, and report them by the other half."""
        count = self.draws.shape[-1]
        half = odd_draws(count) if self.positions is None else balanced_draws(count)
        tried = self.tried & self.tested[..., None]
        return strongest_blocks(self.draws, tried, half, number, confidence=self.confidence)

    @cached_property
    def pie(self) -> PieIntervals:
        """How many blocks hurt and help by their means, with intervals."""
        tried = self.tried & self.tested[..., None]
        masked = estimate(self.draws, tried, self.confidence) if self.positions is None else self.estimates
        return pie_intervals(self.draws, tried, masked, self.tol, RESAMPLING_SEED, self.confidence)

    @cached_property
    def missed(self) -> float | None:
        """About how many blocks that matter the coarse stage let go; None where there is no such stage."""
        if self.coarse_num is None:
            return None
        chances = miss_chances(self.draws, self.tried, self.tol, self.coarse_num)
        return missed_blocks(chances, self.shown)

    @property
    def shown(self) -> NDArray[np.bool_]:
        """The blocks outside the ROI whose mean effect is ``tol`` or more, which the map shows in color."""
        return self.tested & (np.abs(np.nan_to_num(self.estimates.mean)) >= self.tol)

    def compare(self, other: Certainty) -> Comparison:
        """Compare with another model on the same ROI, whose draws are the same: this one's effects minus the other's.

        Blocks that were drawn for either model are compared by the draws of both; out of reach, every draw has the
        effect zero.
        """
        tried = (self.tried | ~self.reached[..., None]) & (other.tried | ~other.reached[..., None])
        tested = self.tested | other.tested
        classes = self.classes, other.classes
        return compare(self.draws, other.draws, tried, tested, classes, self.confidence, self.fdr, self.positions)


def assess(
    origin: float,
    rounds: Mapping[str, Draws],
    tol: float,
    reached: NDArray[np.bool_],
    roi: NDArray[np.bool_],
    positions: NDArray[np.float64] | None = None,
    confidence: float = CONFIDENCE,
    fdr: float = FDR,
) -> Certainty:
    """Take the draws of a map that had no part in choosing their blocks: fine or adaptive ones.

    Args:
        origin: PSNR (dB) of the ROI without intervention.
        rounds: the draws by the names of their rounds.
        tol: dB, the least effect that counts.
        reached: rows x columns, the blocks that can change the ROI.
        roi: rows x columns, the blocks that overlap the ROI.
        positions: of adaptive draws, rows x columns x draws, where in the order of the bank they lie, 0..1.
        confidence: of the intervals, 0..1.
        fdr: the expected share of wrong ones among the certified blocks, 0..1.
    """
    chosen = rounds.get("adaptive") or rounds.get("fine") or Draws.none_yet((roi.shape[0], roi.shape[1]), 1)
    draws = np.where(chosen.tried, origin - chosen.values, 0.0)
    coarse_num = rounds["coarse"].values.shape[2] if "coarse" in rounds else None
    return Certainty(draws, chosen.tried, positions, reached, roi, tol, coarse_num, confidence, fdr)
