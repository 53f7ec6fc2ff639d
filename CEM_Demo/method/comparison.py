"""Two models on one image: the difference of their effects, block by block, from the draws they share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.classes import FDR, Classes, adjust, p_values, used_by_first_alone
from CEM_Demo.method.intervals import CONFIDENCE, Estimates, estimate, estimate_stratified


@dataclass(frozen=True)
class Comparison:
    """How the effects of two models differ; every array is rows x columns.

    Attributes:
        difference: estimates of the first model's effect minus the second's, dB.
        p: float64, 0..1, two-sided, of the test that the effects are equal; NaN where none was made.
        q: float64, 0..1, ``p`` adjusted for the number of tests; NaN where none was made.
        differs: bool, where ``q`` is at most the false discovery rate.
        first_alone: bool, the blocks that certainly help or hurt the first model and leave the second as it is.
        second_alone: bool, the same with the models exchanged.
    """

    difference: Estimates
    p: NDArray[np.float64]
    q: NDArray[np.float64]
    differs: NDArray[np.bool_]
    first_alone: NDArray[np.bool_]
    second_alone: NDArray[np.bool_]


def compare(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    tried: NDArray[np.bool_],
    tested: NDArray[np.bool_],
    classes: tuple[Classes, Classes],
    confidence: float = CONFIDENCE,
    fdr: float = FDR,
    positions: NDArray[np.float64] | None = None,
) -> Comparison:
    """Compare two maps that were made with the same draws.

    The same patch stands in both differences of a pair, so what it does alike to both models cancels.

    Args:
        first, second: rows x columns x draws, the effect of each draw on each model, dB.
        tried: the same shape, True for the draws that were made of both.
        tested: rows x columns, True for the blocks to test; those without two shared draws are not tested. To choose
            them by the same draws would let more than ``fdr`` of the findings be wrong.
        classes: of the blocks for the first and the second model.
        confidence: of the intervals, 0..1.
        fdr: the expected share of wrong ones among the blocks that are said to differ, 0..1.
        positions: for stratified draws, rows x columns x draws, where in the order of the bank a draw lies, 0..1.
    """
    draws = np.where(tried, first - second, 0.0)
    if positions is None:
        difference = estimate(draws, tried, confidence)
    else:
        difference = estimate_stratified(draws, tried, positions, confidence)
    p = np.where(tested & (difference.count > 1), p_values(difference, 0.0), np.nan)
    q = adjust(p)
    return Comparison(
        difference=difference,
        p=p,
        q=q,
        differs=np.nan_to_num(q, nan=1.0) <= fdr,
        first_alone=used_by_first_alone(*classes),
        second_alone=used_by_first_alone(*reversed(classes)),
    )
