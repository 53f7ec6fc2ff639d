"""Predict how long a map takes on this machine, by making and timing a few of its interventions."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.plan import Plan
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.stages import passes_to_fine

# How many blocks represent all of an image, and about how many seconds each stage's sample may take.
SAMPLED_BLOCKS = 16
SECONDS_TO_MEASURE = 4.0
# With fewer blocks, the share that passes to the fine stage means nothing.
LEAST_BLOCKS = 8


@dataclass(frozen=True)
class Duration:
    """The seconds that a map takes on this machine, as busy as it is while it is measured.

    Attributes:
        baseline: for the untouched image.
        coarse: for the coarse stage.
        fine: for the fine stage, if the same share of the blocks passes to it as in the sample.
        fine_at_most: for the fine stage, if all blocks in reach of the ROI pass to it.
        intervention: for one intervention of the coarse stage, mean over all blocks.
    """

    baseline: float
    coarse: float
    fine: float
    fine_at_most: float
    intervention: float

    @property
    def total(self) -> float:
        return self.baseline + self.coarse + self.fine

    def __str__(self) -> str:
        """Say it as in ``about 7 min, of which coarse 2 min; at most 9 min``."""
        most, coarse = readable(self.baseline + self.coarse + self.fine_at_most), readable(self.coarse)
        if self.fine == self.fine_at_most:
            return f"at most {most}, of which coarse {coarse}"
        return f"about {readable(self.total)}, of which coarse {coarse}; at most {most}"


def predict_seconds(
    experiment: Experiment,
    coarse: Plan,
    fine: Plan,
    tol: float,
    batch_size: int,
    seconds_to_measure: float = SECONDS_TO_MEASURE,
) -> Duration:
    """Time a sample of the interventions of both stages, and predict what all of them take.

    The sample holds the first draws on blocks near to and far from the ROI. The prediction assumes that the same share
    of the blocks in reach passes to the fine stage as in the sample; blocks out of reach never pass. If a network is
    too slow for a sample, one intervention is timed, and all blocks in reach are assumed to pass.

    Args:
        experiment: what is intervened on and measured.
        coarse, fine: the plans for all blocks of the image.
        tol: dB; blocks of the sample that move the PSNR by this much count as passing to the fine stage.
        batch_size: interventions that are restored at a time.
        seconds_to_measure: about how long each stage's sample may take; at least one intervention is made.
    """
    began = time.perf_counter()
    restored = experiment.group.inference.baseline()
    baseline = time.perf_counter() - began
    origins = [of_roi.origin for of_roi in experiment.fresh_measurements(restored, {}, batch_size)]
    near_to_far, out_of_reach = _blocks(experiment)
    single = _seconds_of_one(experiment, coarse, near_to_far, repeat=baseline < seconds_to_measure)

    if single * LEAST_BLOCKS > 2 * seconds_to_measure:
        coarse_seconds, fine_seconds = (single * plan.draws * len(near_to_far) for plan in (coarse, fine))
        return Duration(baseline, coarse_seconds, fine_seconds, fine_seconds, coarse_seconds / len(coarse))

    # Draws are cut before blocks: too few blocks say nothing about how many pass to the fine stage.
    draws = _affordable(seconds_to_measure, single * LEAST_BLOCKS, coarse.draws)
    most = _affordable(seconds_to_measure, single * draws, SAMPLED_BLOCKS)
    blocks = np.sort(_spread(near_to_far, max(LEAST_BLOCKS, most)))
    pace, values = _time(experiment, _first_draws(coarse, blocks, draws), batch_size)
    idle, _ = _time(experiment, _first_draws(coarse, out_of_reach[:SAMPLED_BLOCKS], draws), batch_size)
    coarse_seconds = coarse.draws * (pace * len(near_to_far) + idle * len(out_of_reach))

    passing = _passing(origins, values, len(blocks), tol)
    chosen = _spread(blocks[passing] if passing.any() else blocks, LEAST_BLOCKS)
    draws = _affordable(seconds_to_measure, pace * len(chosen), fine.draws)
    pace, _ = _time(experiment, _first_draws(fine, chosen, draws), batch_size)
    at_most = pace * fine.draws * len(near_to_far)
    return Duration(baseline, coarse_seconds, float(passing.mean()) * at_most, at_most, coarse_seconds / len(coarse))


def _blocks(experiment: Experiment) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the blocks row by row; give those that can change an ROI, the nearest first, and the others."""
    reached = np.logical_or.reduce(experiment.group.reached)
    around, side = experiment.group.hull, experiment.grid.block * experiment.grid.scale
    rows, columns = (place * side + side / 2 for place in np.indices(experiment.grid.shape).reshape(2, -1))
    middle = around.top + around.height / 2, around.left + around.width / 2
    distance = np.hypot(rows - middle[0], columns - middle[1])
    near_to_far = np.flatnonzero(reached)
    return near_to_far[np.argsort(distance[near_to_far], kind="stable")], np.flatnonzero(~reached)


def _seconds_of_one(experiment: Experiment, plan: Plan, blocks: NDArray[np.int64], repeat: bool) -> float:
    """Time one intervention; with ``repeat`` the second one, when all is loaded and compiled."""
    plan = _first_draws(plan, _spread(blocks, 1), 1)
    return [_time(experiment, plan, 1)[0] for _ in range(2 if repeat else 1)][-1]


def _affordable(seconds: float, seconds_each: float, most: int) -> int:
    """Count the things of ``seconds_each`` that may be measured in ``seconds``: from one to ``most``."""
    return max(1, min(most, int(seconds / max(seconds_each, 1e-9))))


def _spread(blocks: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Choose at most ``most`` of the blocks, from the middles of equal parts of their sequence."""
    count = min(most, len(blocks))
    return blocks[((np.arange(count) + 0.5) / count * len(blocks)).astype(int)]


def _first_draws(plan: Plan, blocks: NDArray[np.int64], draws: int) -> Plan:
    """Keep the first draws of a plan on some blocks."""
    wanted = np.zeros_like(plan.stop)
    wanted.flat[blocks] = draws
    return plan.up_to(wanted)


def _time(experiment: Experiment, plan: Plan, batch_size: int) -> tuple[float, list[NDArray[np.float64]]]:
    """Make all interventions of a plan; give the mean seconds of one, and the measured values of each ROI."""
    began = time.perf_counter()
    parts = [experiment.measure_all(plan[start : start + batch_size]) for start in range(0, len(plan), batch_size)]
    seconds = (time.perf_counter() - began) / max(1, len(plan))
    name = experiment.metric.name
    return seconds, [np.concatenate([values[name] for values in of_roi]) for of_roi in zip(*parts, strict=True)]


def _passing(
    origins: Sequence[float], values: Sequence[NDArray[np.float64]], blocks: int, tol: float
) -> NDArray[np.bool_]:
    """Find the sampled blocks that any ROI wants in the fine stage; ``values`` are the coarse draws of each ROI."""
    passing = [
        passes_to_fine(origin, of_roi.reshape(1, blocks, -1), tol)[0]
        for origin, of_roi in zip(origins, values, strict=True)
    ]
    return np.logical_or.reduce(passing)


def readable(seconds: float) -> str:
    """Write seconds in the unit in which one thinks of them: ``0.4 s``, ``12 s``, ``7 min``, ``2.5 h``."""
    if seconds < 99.5:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.2g} h"
