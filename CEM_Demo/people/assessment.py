"""One map beside what people marked: agreement, chance, distance, and how well people agree with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from CEM_Demo.people.annotators import consensus_of_others, find_outliers, krippendorff_alpha, mean_dice
from CEM_Demo.people.relevance import (
    MEASURES,
    Scores,
    mean_scores,
    partial_correlation,
    ring_p_value,
    score,
    shift_p_value,
)

RESAMPLES = 500


@dataclass(frozen=True)
class Marked:
    """What people marked on one image for one ROI, and the map of one model; all is rows x columns but ``shares``.

    Attributes:
        shares: annotators x rows x columns, the share of each block that each annotator marked, 0..1.
        scores: what the map says in the same sense, zero or more: how much a block helps, or how much it hurts, dB.
        distances: of the blocks to the ROI, in blocks.
        reached: True for the blocks that can change the ROI.
        roi: True for the blocks of the ROI, which nobody is asked about.
    """

    shares: NDArray[np.float64]
    scores: NDArray[np.float64]
    distances: NDArray[np.float64]
    reached: NDArray[np.bool_]
    roi: NDArray[np.bool_]

    @property
    def nearness(self) -> NDArray[np.float64]:
        """The baseline: the nearer a block, the higher; zero for the farthest."""
        return self.distances.max() - self.distances

    def kept(self, outliers: NDArray[np.bool_]) -> Marked:
        """The same without some annotators."""
        return Marked(self.shares[~outliers], self.scores, self.distances, self.reached, self.roi)


class Relevance(BaseModel):
    """How one map agrees with what people marked.

    Attributes:
        annotators: how many marked the image.
        outliers: how many of them were left out, by what they marked alone.
        map: agreement of the map with the consensus of those who were kept.
        with_outliers: the same with all annotators.
        distance: agreement of the baseline, nearness to the ROI.
        people: the ceiling: each annotator against the consensus of the others, averaged; None for one annotator.
        relative: of each measure, (map - distance) / (people - distance); None where people do not beat the distance.
        partial: rank correlation of map and marks with the distance held fixed.
        p_given_distance: of permutations among blocks of the same distance.
        p_of_shifts: of all shifts of the map.
        alpha, dice: how far the annotators agree with each other.
        out_of_reach: the share of the marked area on blocks that cannot change the ROI.
    """

    model_config = ConfigDict(frozen=True)

    annotators: int
    outliers: int
    map: Scores
    with_outliers: Scores
    distance: Scores
    people: Scores | None
    relative: Scores
    partial: float | None
    p_given_distance: float | None
    p_of_shifts: float | None
    alpha: float | None
    dice: float | None
    out_of_reach: float | None


def assess(marked: Marked, seed: int) -> Relevance:
    """Compare a map with what people marked; ``seed`` is that of the permutations."""
    outside = ~marked.roi
    everybody = marked.shares[:, outside]
    outliers = find_outliers(everybody)
    shares = everybody[~outliers]
    consensus, scores = shares.mean(axis=0), marked.scores[outside]
    nearness, distances = marked.nearness[outside], marked.distances[outside]
    found, baseline, people = score(scores, consensus), score(nearness, consensus), ceiling(shares)
    on_the_grid = np.zeros(marked.roi.shape)
    on_the_grid[outside] = consensus
    area = consensus.sum()
    return Relevance(
        annotators=len(everybody),
        outliers=int(outliers.sum()),
        map=found,
        with_outliers=score(scores, everybody.mean(axis=0)),
        distance=baseline,
        people=people,
        relative=_relative(found, baseline, people),
        partial=partial_correlation(scores, consensus, distances),
        p_given_distance=ring_p_value(scores, consensus, np.rint(distances).astype(int), np.random.default_rng(seed)),
        p_of_shifts=shift_p_value(np.where(marked.roi, 0, marked.scores), on_the_grid, outside),
        alpha=krippendorff_alpha(shares),
        dice=mean_dice(shares),
        out_of_reach=float(consensus[~marked.reached[outside]].sum() / area) if area else None,
    )


def ceiling(shares: NDArray[np.float64]) -> Scores | None:
    """Score each annotator (annotators x blocks) against the consensus of the others; None for fewer than two."""
    if len(shares) < 2:
        return None
    return mean_scores([score(own, consensus_of_others(shares, one)) for one, own in enumerate(shares)])


def _relative(found: Scores, baseline: Scores, people: Scores | None) -> Scores:
    values: dict[str, float] = {}
    for name in MEASURES:
        own, low, high = (getattr(scores, name, None) for scores in (found, baseline, people))
        if own is not None and low is not None and high is not None and high > low:
            values[name] = (own - low) / (high - low)
    return Scores(**{name: values.get(name) for name in MEASURES})


def bootstrap(images: Sequence[Marked], measure: str, seed: int, confidence: float) -> tuple[float, float] | None:
    """Give the interval of a measure's mean over images, with images and annotators drawn with replacement.

    Returns:
        The lower and the upper end; None for fewer than two images, which are an illustration and no study.
    """
    if len(images) < 2:
        return None
    random = np.random.default_rng(seed)
    means = []
    for _ in range(RESAMPLES):
        drawn = [images[number] for number in random.integers(len(images), size=len(images))]
        value = getattr(mean_scores([_resampled(one, random) for one in drawn]), measure)
        means += [] if value is None else [value]
    if not means:
        return None
    low, high = np.quantile(means, ((1 - confidence) / 2, (1 + confidence) / 2))
    return float(low), float(high)


def _resampled(marked: Marked, random: np.random.Generator) -> Scores:
    outside = ~marked.roi
    annotators = random.integers(len(marked.shares), size=len(marked.shares))
    return score(marked.scores[outside], marked.shares[annotators][:, outside].mean(axis=0))
