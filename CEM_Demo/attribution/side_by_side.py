"""What LAM lights up, and what the causal effects of the same blocks say about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.attribution.comparison import ClassShare, compare, rank_correlation
from CEM_Demo.errors import InputError
from CEM_Demo.method.certainty import Certainty
from CEM_Demo.method.classes import BlockClass

# The classes of the blocks outside the ROI, in the order in which a reader wants to know of them.
OUTSIDE = (
    BlockClass.HURTS,
    BlockClass.HELPS,
    BlockClass.NEGLIGIBLE,
    BlockClass.UNDECIDED,
    BlockClass.NOT_TESTED,
    BlockClass.OUT_OF_REACH,
)


@dataclass(frozen=True)
class SideBySide:
    """A Local Attribution Map beside the certified causal effects of the same network, image and ROI.

    Attributes:
        rank_correlation: Spearman's, of LAM's block sums with the magnitudes of the effects, over the blocks outside
            the ROI that can change it, -1..1; NaN where one of them is the same for all blocks.
        blocks: how many blocks it is taken over.
        on_roi: share of the sum of LAM's map that lies on the blocks of the ROI, 0..1.
        shares: what each class has of the rest of LAM's map, and of the blocks outside the ROI.
    """

    rank_correlation: float
    blocks: int
    on_roi: float
    shares: Mapping[BlockClass, ClassShare]

    @property
    def hurting(self) -> float:
        """How much of what LAM lights up outside the ROI hurts: the share on blocks certified to hurt, 0..1."""
        return self.shares[BlockClass.HURTS].attribution

    def __str__(self) -> str:
        """The comparison in one line."""
        others = [kind for kind in OUTSIDE if kind is not BlockClass.HURTS and self.shares[kind].blocks]
        parts = [f"{self.shares[kind].attribution:.1%} {name_of(kind)}" for kind in others]
        rank = "undefined" if math.isnan(self.rank_correlation) else f"{self.rank_correlation:+.2f}"
        return (
            f"of what LAM lights up outside the ROI, {self.hurting:.1%} hurts "
            f"({self.shares[BlockClass.HURTS].blocks:.1%} of the blocks do), {', '.join(parts)}; "
            f"rank correlation with |effects| {rank} over {self.blocks} blocks"
        )

    def as_json(self) -> dict[str, Any]:
        """The comparison as plain values; what is undefined is None."""
        return {
            "rank_correlation": None if math.isnan(self.rank_correlation) else self.rank_correlation,
            "blocks": self.blocks,
            "share_on_roi": self.on_roi,
            "shares_outside_roi": {
                name_of(kind): {"attribution": share.attribution, "blocks": share.blocks}
                for kind, share in self.shares.items()
            },
        }


def compare_with_effects(sums: NDArray[np.float64], effects: NDArray[np.float64], certainty: Certainty) -> SideBySide:
    """Compare LAM's block sums with the effects of the same blocks, and with what is certain of them.

    Args:
        sums: rows x columns, not negative, from :func:`~CEM_Demo.attribution.comparison.block_sums` of LAM's map.
        effects: rows x columns, dB, as the causal effect map shows them.
        certainty: of the same map, as :func:`~CEM_Demo.method.certainty.assess` gives it.

    Raises:
        InputError: the arrays are of different shapes, or all attribution lies on the blocks of the ROI.
    """
    if sums.shape != certainty.roi.shape:
        raise InputError(f"{sums.shape} block sums, not the {certainty.roi.shape} blocks of the causal effect map")
    outside = ~certainty.roi
    if not sums[outside].any():
        raise InputError("LAM lights up nothing outside the blocks of the ROI")
    codes = certainty.classes.codes
    shares = compare(sums, effects, {kind.name: codes == kind for kind in OUTSIDE}, outside).shares
    among = outside & certainty.reached
    return SideBySide(
        rank_correlation=rank_correlation(sums[among], np.abs(effects[among])),
        blocks=int(among.sum()),
        on_roi=float(sums[certainty.roi].sum() / sums.sum()),
        shares={kind: shares[kind.name] for kind in OUTSIDE},
    )


def name_of(kind: BlockClass) -> str:
    """Write a class in small letters: ``out of reach``."""
    return kind.name.lower().replace("_", " ")
