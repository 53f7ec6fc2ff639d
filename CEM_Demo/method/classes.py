"""What may be said of each block: it helps, it hurts, it is negligible, or its draws leave it undecided."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from CEM_Demo.method.intervals import Estimates

FDR = 0.05
LEAST_ERROR = 1e-12  # dB; draws that are all alike would divide by zero


class BlockClass(IntEnum):
    """What is known of a block; the first four follow from tests, the last three say why there was none."""

    HURTS = -1
    NEGLIGIBLE = 0
    HELPS = 1
    UNDECIDED = 2
    NOT_TESTED = 3  # it is in reach, but the coarse draws or the screen let it go; the map shows zero
    OUT_OF_REACH = 4  # the network cannot carry it to the ROI; its effect is exactly zero
    ROI = 5


@dataclass(frozen=True)
class Classes:
    """The class of each block and the tests behind it; every array is rows x columns.

    Attributes:
        codes: int8, values of :class:`BlockClass`.
        p: float64, 0..1, of the test that the effect is no larger than the tolerance; NaN where none was made.
        q: float64, 0..1, ``p`` adjusted for the number of tests by Benjamini and Hochberg; NaN where none was made.
    """

    codes: NDArray[np.int8]
    p: NDArray[np.float64]
    q: NDArray[np.float64]

    def count(self, kind: BlockClass) -> int:
        """Count the blocks of a class."""
        return int((self.codes == kind).sum())


def classify(
    estimates: Estimates,
    tol: float,
    tested: NDArray[np.bool_],
    reached: NDArray[np.bool_],
    roi: NDArray[np.bool_],
    fdr: float = FDR,
) -> Classes:
    """Sort the blocks into classes, so that of those certified to help or hurt a share of at most ``fdr`` is wrong.

    A block is certified by a test against ``tol`` on the side of its mean, Benjamini-Hochberg over all blocks that
    are tested; this controls wrong signs as well (Benjamini and Yekutieli 2005). It is negligible where its interval
    lies within the tolerance.

    Args:
        estimates: of draws that had no part in choosing which blocks are tested.
        tol: dB, the least effect that counts.
        tested: rows x columns, True for the blocks whose estimates come from such draws.
        reached: rows x columns, True for the blocks that can change the ROI.
        roi: rows x columns, True for the blocks that overlap the ROI.
        fdr: the expected share of wrong ones among the certified blocks, 0..1.
    """
    tested = tested & reached & ~roi
    p = np.where(tested, p_values(estimates, tol), np.nan)
    q = adjust(p)
    certified = np.less_equal(q, fdr, where=tested, out=np.zeros_like(tested))
    negligible = (estimates.low >= -tol) & (estimates.high <= tol)
    codes = np.where(negligible, BlockClass.NEGLIGIBLE, BlockClass.UNDECIDED).astype(np.int8)
    codes[certified & (estimates.mean > 0)] = BlockClass.HELPS
    codes[certified & (estimates.mean < 0)] = BlockClass.HURTS
    codes[~tested] = BlockClass.NOT_TESTED
    codes[~reached] = BlockClass.OUT_OF_REACH
    codes[roi] = BlockClass.ROI
    return Classes(codes, p, q)


def p_values(estimates: Estimates, tol: float) -> NDArray[np.float64]:
    """Test for each block whether its effect lies beyond -``tol`` or ``tol`` (dB); rows x columns, 0..1.

    The p-value is the probability of a mean as far out or farther, on either side, of a block whose effect is exactly
    ``tol``: one-sided where the error is small beside the tolerance, the usual two-sided one where ``tol`` is zero.
    Blocks with fewer than two draws get 1.
    """
    known = estimates.count > 1
    error = np.where(known, np.maximum(estimates.standard_error, LEAST_ERROR), 1.0)
    size = np.where(known, np.abs(estimates.mean), 0.0)
    freedom = np.maximum(estimates.count - 1, 1)
    tails = stats.t.sf((size - tol) / error, freedom) + stats.t.sf((size + tol) / error, freedom)
    return np.where(known, tails, 1.0)


def adjust(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values for the number of tests (Benjamini and Hochberg 1995); NaN is no test and stays NaN."""
    q = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        q[tested] = stats.false_discovery_control(p[tested])
    return q


def used_by_first_alone(first: Classes, second: Classes) -> NDArray[np.bool_]:
    """Find the blocks, rows x columns, that certainly help or hurt the first model and leave the second as it is.

    Of the second, a block counts that is negligible, out of reach, or was let go without a test.
    """
    idle = (BlockClass.NEGLIGIBLE, BlockClass.OUT_OF_REACH, BlockClass.NOT_TESTED)
    return np.isin(first.codes, (BlockClass.HELPS, BlockClass.HURTS)) & np.isin(second.codes, idle)
