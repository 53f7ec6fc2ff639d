"""Two studies of the same models and ROIs, such as two block sizes or two banks: do their maps say the same?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.attribution.comparison import block_sums, rank_correlation
from CEM_Demo.geometry import grid_of
from CEM_Demo.study.findings import Finding, Findings, common_cases
from CEM_Demo.study.measures import HELPING, HURTING, MEASURES, measure_map
from CEM_Demo.study.statistics import Estimate, estimate_mean, image_means


@dataclass(frozen=True)
class Agreement:
    """How the maps of one model agree in two studies, over the images that both have.

    Attributes:
        model: its label.
        location: rank correlation of the magnitudes of the effects, block by block, -1..1.
        sign: share of the blocks with an effect in both at which it has the same sign, 0..1.
        helping, hurting: what the second study's shares of blocks have more than the first's, in points.
    """

    model: str
    location: Estimate
    sign: Estimate
    helping: Estimate
    hurting: Estimate

    def __str__(self) -> str:
        """Say it in one line."""
        parts = (
            f"location {_written(self.location, 2)}",
            f"sign {_written(self.sign, 2)}",
            f"helping {_written(self.helping, 1)} points",
            f"hurting {_written(self.hurting, 1)} points",
        )
        return f"{self.model}, {self.helping.images} images: {', '.join(parts)}"


def compare_studies(first: Findings, second: Findings, confidence: float) -> list[Agreement]:
    """Compare two studies, model by model; maps of small blocks are summed over the larger blocks of the other study.

    Blocks of one study must consist of whole blocks of the other; other studies have nothing to compare by.

    Args:
        first, second: the results of both.
        confidence: of the intervals, 0..1.
    """
    found: dict[str, list[tuple[str, NDArray[np.float64]]]] = {}
    for model, case, one, other in common_cases(first, second):
        if max(one.block, other.block) % min(one.block, other.block) == 0:
            found.setdefault(model, []).append((case.image, _agreement(one, other)))
    return [_over_images(model, rows, confidence) for model, rows in found.items()]


def _over_images(model: str, rows: list[tuple[str, NDArray[np.float64]]], confidence: float) -> Agreement:
    images = list(dict.fromkeys(image for image, _ in rows))
    image_of = np.array([images.index(image) for image, _ in rows], np.int64)
    means = image_means(np.stack([values for _, values in rows], axis=1), image_of)
    return Agreement(model, *(estimate_mean(row, confidence) for row in means))


def _agreement(first: Finding, second: Finding) -> NDArray[np.float64]:
    """Compare two maps of one ROI: location, sign, and the two differences of shares in points."""
    coarse, fine = (first, second) if first.block >= second.block else (second, first)
    grid = grid_of(fine.effects, coarse.block // fine.block, 1)
    outside = ~coarse.roi
    magnitude, net = (block_sums(values, grid)[outside] for values in (np.abs(fine.effects), fine.effects))
    effects = coarse.effects[outside]
    shares = [
        100
        * measure_map(one.origin, one.effects, one.codes, one.roi, one.block)[
            [MEASURES.index(HELPING), MEASURES.index(HURTING)]
        ]
        for one in (first, second)
    ]
    return np.array([rank_correlation(magnitude, np.abs(effects)), same_signs(net, effects), *(shares[1] - shares[0])])


def same_signs(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Give the share of the places where neither is zero at which both have the same sign; NaN if there are none."""
    both = (first != 0) & (second != 0)
    return float((np.sign(first) == np.sign(second))[both].mean()) if both.any() else float("nan")


def _written(estimate: Estimate, digits: int) -> str:
    ends = f" [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]" if np.isfinite(estimate.low) else ""
    return f"{estimate.mean:.{digits}f}{ends}"
