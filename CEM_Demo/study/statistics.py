"""What numbers of many images say together: means with bootstrap intervals, and paired tests; arrays alone.

Images are what a study draws from, so they are what is resampled. Several ROIs of one image are averaged first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from CEM_Demo.method.classes import adjust

RESAMPLES = 2000
PERMUTATIONS = 9999
SEED = 0


@dataclass(frozen=True)
class Estimate:
    """A mean over images with its interval; all NaN where no image has a value, the ends also where one alone has.

    Attributes:
        mean, low, high: in the unit of the values.
        images: how many there are.
    """

    mean: float
    low: float
    high: float
    images: int


@dataclass(frozen=True)
class Difference:
    """The paired difference of two models, over images.

    Attributes:
        estimate: of the first model's values minus the second's.
        p: 0..1, two-sided, of the test that the signs of the images' differences are random; NaN below two images.
        q: ``p`` adjusted for the number of pairs of models.
    """

    estimate: Estimate
    p: float
    q: float


def image_means(values: NDArray[np.float64], image_of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Average the cases of each image.

    Args:
        values: ... x cases; NaN is left out.
        image_of: cases, the number of the image of each, from 0.

    Returns:
        ... x images; NaN where an image has no value.
    """
    belongs = image_of[:, None] == np.arange(image_of.max() + 1)
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0.0) @ belongs, known @ belongs.astype(np.int64)
    return np.divide(sums, counts, where=counts > 0, out=np.full(sums.shape, np.nan))


def estimate_mean(values: NDArray[np.float64], confidence: float, seed: int = SEED) -> Estimate:
    """Estimate the mean over images (N values; NaN is left out), with an expanded percentile interval.

    Plain percentiles are too narrow for few images; these are moved out to where Student's intervals of normal values
    end (Hesterberg, What Teachers Should Know About the Bootstrap, 2015). Equal numbers of images are resampled
    alike, so intervals of several models can be compared.
    """
    known = values[~np.isnan(values)]
    if not known.size:
        return Estimate(np.nan, np.nan, np.nan, 0)
    if known.size == 1:
        return Estimate(float(known[0]), np.nan, np.nan, 1)
    means = known[_resampled(known.size, seed)].mean(axis=1)
    student = stats.t.ppf((1 + confidence) / 2, known.size - 1)
    tail = stats.norm.sf(np.sqrt(known.size / (known.size - 1)) * student)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(float(known.mean()), float(low), float(high), known.size)


@lru_cache(maxsize=16)
def _resampled(count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))


def compare_pairs(differences: NDArray[np.float64], confidence: float, seed: int = SEED) -> list[Difference]:
    """Compare pairs of models: their differences are tested by flipping signs, Benjamini-Hochberg over the pairs.

    Args:
        differences: pairs x images, of one measure; NaN where an image lacks one of the two.
        confidence: of the intervals, 0..1.
        seed: of resampling and of the flips, which are all tried where there are few images.
    """
    p = np.array([_sign_flip(row[~np.isnan(row)], seed) for row in differences])
    return [
        Difference(estimate_mean(row, confidence, seed), float(one), float(adjusted))
        for row, one, adjusted in zip(differences, p, adjust(p), strict=True)
    ]


def _sign_flip(differences: NDArray[np.float64], seed: int) -> float:
    if differences.size < 2:
        return float("nan")
    generator = np.random.default_rng(seed)
    options = {"permutation_type": "samples", "n_resamples": PERMUTATIONS, "random_state": generator}
    return float(stats.permutation_test((differences,), np.mean, vectorized=True, **options).pvalue)
