"""How well scores of blocks agree with what people marked; on arrays alone.

Definitions: areas under the curve with mid-ranks, Spearman's rank correlation, and the measures by which maps are
compared with masks elsewhere, kept signed and free of divisions by sums that can vanish.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import stats

from CEM_Demo.method.rank_correlation import rank_correlation

# A block is marked where people cover at least half of it.
MARKED = 0.5


class Scores(BaseModel):
    """How well scores of blocks agree with what people marked; None where a measure has no value.

    Attributes:
        auc: the probability that a marked block scores higher than another one; ties count half.
        spearman: rank correlation of the scores with the marked shares.
        mass: the share of the scores' sum on marked blocks.
        rank: the share of marked blocks among the highest scores, of which as many are taken as there are marked ones.
        overlap: intersection over union of these blocks and the marked ones.
        pointing: 1 where the highest score is on a marked block, else 0; the share of such maps in a mean.
    """

    model_config = ConfigDict(frozen=True)

    auc: float | None
    spearman: float | None
    mass: float | None
    rank: float | None
    overlap: float | None
    pointing: float | None


MEASURES = tuple(Scores.model_fields)


def score(scores: NDArray[np.float64], shares: NDArray[np.float64]) -> Scores:
    """Measure the agreement of ``scores`` (N, zero or more) with what people marked, ``shares`` (N, 0..1)."""
    marked = shares >= MARKED
    count = int(marked.sum())
    some = 0 < count < len(marked)
    total = scores.sum()
    # Equal scores share their places, so that the order of the blocks in memory decides nothing.
    highest = _top_share(scores, count)
    common = float((highest * marked).sum())
    return Scores(
        auc=area_under_curve(scores, marked) if some else None,
        spearman=rank_correlation(scores, shares),
        mass=float(scores[marked].sum() / total) if count and total > 0 else None,
        rank=common / count if some and total > 0 else None,
        overlap=common / (2 * count - common) if some and total > 0 else None,
        pointing=float(marked[scores == scores.max()].mean()) if count and total > 0 else None,
    )


def _top_share(scores: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Of each block, which share belongs to the ``count`` highest ones: 1, 0, or a fraction among equals."""
    if not count:
        return np.zeros(len(scores))
    last = np.sort(scores)[-count]
    above, equal = scores > last, scores == last
    return above + equal * (count - above.sum()) / equal.sum()


def area_under_curve(scores: NDArray[np.float64], marked: NDArray[np.bool_]) -> float:
    """Give the probability that a marked block scores higher than another one, ties counted half."""
    ranks = stats.rankdata(scores)
    count = int(marked.sum())
    return float((ranks[marked].sum() - count * (count + 1) / 2) / (count * (len(marked) - count)))


def partial_correlation(
    first: NDArray[np.float64], second: NDArray[np.float64], given: NDArray[np.float64]
) -> float | None:
    """Give the rank correlation of two scores that is left when a third is held fixed; None where it has no value."""
    both, one, other = rank_correlation(first, second), rank_correlation(first, given), rank_correlation(second, given)
    if both is None or one is None or other is None:
        return None
    left = (1 - one**2) * (1 - other**2)
    return (both - one * other) / left**0.5 if left > 1e-12 else None


def mean_scores(found: list[Scores]) -> Scores:
    """Average each measure over those that have a value."""
    values = np.array([[np.nan if value is None else value for value in one.model_dump().values()] for one in found])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a measure that none has
        means = np.nanmean(values.reshape(len(found), len(MEASURES)), axis=0)
    return Scores(**{name: None if np.isnan(mean) else float(mean) for name, mean in zip(MEASURES, means, strict=True)})


def ring_p_value(
    scores: NDArray[np.float64],
    shares: NDArray[np.float64],
    rings: NDArray[np.integer],
    random: np.random.Generator,
    permutations: int = 999,
) -> float | None:
    """Test whether the scores agree with the marks beyond what the distance to the ROI explains.

    Scores are permuted among the blocks of the same distance (``rings``, N); the statistic is the rank correlation.
    The p-value is one-sided. None where the correlation has no value.
    """
    observed = rank_correlation(scores, shares)
    if observed is None:
        return None
    ranks, target = stats.rankdata(scores), stats.rankdata(shares)
    members = [np.flatnonzero(rings == ring) for ring in np.unique(rings)]
    # The ranks stay the same set, so that their correlation is a linear function of this sum.
    own = ranks @ target
    reached = 0
    for _ in range(permutations):
        shuffled = ranks.copy()
        for ring in members:
            shuffled[ring] = ranks[random.permutation(ring)]
        reached += shuffled @ target >= own - 1e-9
    return (1 + reached) / (1 + permutations)


def shift_p_value(scores: NDArray[np.float64], shares: NDArray[np.float64], kept: NDArray[np.bool_]) -> float | None:
    """Test whether the scores agree with the marks beyond what shifts of the whole map would.

    Args:
        scores, shares: rows x columns.
        kept: rows x columns, the blocks that count; the others move along, but are not looked at.
    """
    observed = rank_correlation(scores[kept], shares[kept])
    if observed is None:
        return None
    rows, columns = scores.shape
    shifted = [
        rank_correlation(np.roll(scores, (down, right), (0, 1))[kept], shares[kept])
        for down in range(rows)
        for right in range(columns)
        if down or right
    ]
    found = [value for value in shifted if value is not None]
    return (1 + sum(value >= observed - 1e-9 for value in found)) / (1 + len(found))
