"""How far annotators agree with each other, and who is left out; on arrays alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# The share of annotators who may be left out, and the share of the image that nobody marks in earnest.
MOST_OUTLIERS = 0.2
NEARLY_ALL = 0.9


def krippendorff_alpha(shares: NDArray[np.float64]) -> float | None:
    """Give Krippendorff's alpha for numbers: 1 where all annotators agree, 0 where they agree as by chance.

    Args:
        shares: annotators x blocks, 0..1.

    Returns:
        None where there are fewer than two annotators, or nothing differs anywhere.
    """
    if len(shares) < 2:
        return None
    # Mean squared differences of all pairs are twice these variances.
    within, overall = shares.var(axis=0, ddof=1).mean(), shares.var(ddof=1)
    return float(1 - within / overall) if overall > 0 else None


def dice(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Give the overlap of two maps of shares, 0..1; two empty ones overlap fully."""
    total = first.sum() + second.sum()
    return float(2 * np.minimum(first, second).sum() / total) if total else 1.0


def mean_dice(shares: NDArray[np.float64]) -> float | None:
    """Average the overlap over all pairs of annotators; ``shares`` is annotators x blocks."""
    pairs = [(one, other) for one in range(len(shares)) for other in range(one)]
    return float(np.mean([dice(shares[one], shares[other]) for one, other in pairs])) if pairs else None


def consensus_of_others(shares: NDArray[np.float64], annotator: int) -> NDArray[np.float64]:
    """Average what all but one annotator marked; ``shares`` is annotators x blocks."""
    return np.delete(shares, annotator, axis=0).mean(axis=0)


def find_outliers(shares: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Find the annotators to leave out, by what they marked and never by how they agree with a map.

    Those are who marked nothing or nearly everything, and whose overlap with the consensus of the others lies below
    the first quartile by more than 1.5 times the range between the quartiles; at most a fifth of all, the worst first.

    Args:
        shares: annotators x blocks, 0..1.
    """
    count = len(shares)
    if count < 3:
        return np.zeros(count, dtype=bool)
    idle = (shares.mean(axis=1) == 0) | (shares.mean(axis=1) > NEARLY_ALL)
    overlaps = np.array([dice(shares[one], consensus_of_others(shares, one)) for one in range(count)])
    low, high = np.quantile(overlaps, (0.25, 0.75))
    suspect = idle | (overlaps < low - 1.5 * (high - low))
    worst_first = np.lexsort((overlaps, ~idle))
    chosen = [one for one in worst_first if suspect[one]][: int(MOST_OUTLIERS * count)]
    outliers = np.zeros(count, dtype=bool)
    outliers[chosen] = True
    return outliers
