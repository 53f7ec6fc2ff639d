"""From the findings of a study to what its tables say: a row for each model, and one for each pair of models."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.study.findings import Findings
from CEM_Demo.study.measures import MEASURES
from CEM_Demo.study.statistics import Difference, Estimate, compare_pairs, estimate_mean, image_means

# The extremes are those of single blocks, so pairs of models are not compared by them.
COMPARED = tuple(measure for measure in MEASURES if measure.key not in ("highest", "lowest"))


@dataclass(frozen=True)
class ModelRow:
    """One model over all images.

    Attributes:
        model: its label.
        maps: how many finished results it has.
        estimates: by the keys of ``MEASURES``.
        profile: for each ring of blocks around the ROI, its mean effect and its mean absolute effect (dB).
    """

    model: str
    maps: int
    estimates: dict[str, Estimate]
    profile: list[tuple[Estimate, Estimate]]


@dataclass(frozen=True)
class PairRow:
    """Two models on the ROIs that both have; ``differences``, first minus second, are by the keys of ``COMPARED``."""

    first: str
    second: str
    differences: dict[str, Difference]


@dataclass(frozen=True)
class Summary:
    """What a study says.

    Attributes:
        models: a row for each model that has a result.
        pairs: a row for each pair of them that share a result.
        points: models x images, the PSNR of the ROI (dB) and the shares that help and hurt, for the scatter plot.
    """

    models: list[ModelRow]
    pairs: list[PairRow]
    points: dict[str, NDArray[np.float64]]


def summarize(findings: Findings, confidence: float) -> Summary:
    """Sum up a study.

    Args:
        findings: with at least one result.
        confidence: of the intervals, 0..1.
    """
    values, image_of = findings.measures, findings.image_of
    finished = [number for number, row in enumerate(findings.of) if any(row)]
    means, profiles = image_means(values, image_of), image_means(findings.profiles, image_of)
    rows = [
        ModelRow(
            findings.models[number],
            sum(finding is not None for finding in findings.of[number]),
            {measure.key: estimate_mean(row, confidence) for measure, row in zip(MEASURES, means[number], strict=True)},
            [
                (estimate_mean(mean, confidence), estimate_mean(magnitude, confidence))
                for mean, magnitude in zip(*profiles[number], strict=True)
            ],
        )
        for number in finished
    ]
    points = {findings.models[number]: means[number] for number in finished}
    return Summary(rows, _pairs(findings, values, finished, confidence), points)


def _pairs(findings: Findings, values: NDArray[np.float64], finished: list[int], confidence: float) -> list[PairRow]:
    """Compare all pairs on the cases that both models have, so that none is compared by other ROIs."""
    pairs = list(combinations(finished, 2))
    if not pairs:
        return []
    first, second = (list(side) for side in zip(*pairs, strict=True))
    differences = image_means(values[first] - values[second], findings.image_of)
    compared = {measure.key: compare_pairs(differences[:, MEASURES.index(measure)], confidence) for measure in COMPARED}
    return [
        PairRow(findings.models[one], findings.models[other], {key: rows[number] for key, rows in compared.items()})
        for number, (one, other) in enumerate(pairs)
    ]
