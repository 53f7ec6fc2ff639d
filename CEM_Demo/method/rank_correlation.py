"""Spearman's rank correlation of two lists, where it has a value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr


def rank_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Give Spearman's correlation of two lists of N values, -1..1; None below three, or where one is constant."""
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)
