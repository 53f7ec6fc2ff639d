"""What a rule of sampling would have made of one map: its passes and its errors, replayed on recorded draws.

A population holds the effects of one set of patches on every block, so the truth is exact: the mean over the set. The
rules draw from it as they would from the bank. The variance of stratified draws is smaller than from a whole bank by
about 1 - n / M, for n draws of a block and M patches; the replay undoes that, up to ``CORRECTED`` of the patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.allocation import Rule, allocate
from CEM_Demo.method.intervals import Estimates, estimate, estimate_stratified
from CEM_Demo.method.screening import audit_groups, live_blocks
from CEM_Demo.method.stratified_draws import color_order, make_sequence

VARYING = 0.3  # of the tolerance, the standard deviation of draws that have something to cover
CORRECTED = 0.8  # of the patches; more draws than that have almost the truth, and nothing to correct
SCREEN_PASSES = 2  # a forward and a backward pass


@dataclass(frozen=True)
class Population:
    """The recorded effects of M patches on every block.

    Attributes:
        effects: rows x columns x M float64, dB; zero for the blocks out of reach.
        colors: M x 3 float64, the mean red, green and blue of each patch.
        reached: rows x columns bool, the blocks that can change the ROI.
        roi: rows x columns bool, the blocks that overlap the ROI.
        predicted: rows x columns float64, dB, from :func:`~CEM_Demo.method.screening.predict_deviation`; None tries
            every block in reach.
    """

    effects: NDArray[np.float64]
    colors: NDArray[np.float64]
    reached: NDArray[np.bool_]
    roi: NDArray[np.bool_]
    predicted: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Replayed:
    """What one run of a rule gave.

    Attributes:
        effects: rows x columns float64, dB, before the tolerance.
        estimates: of the draws that intervals are made of: the fine ones, or the stratified ones.
        passes: rows x columns int64, the interventions on each block.
        overhead: passes on no block of their own, of the screen and its audit.
    """

    effects: NDArray[np.float64]
    estimates: Estimates
    passes: NDArray[np.int64]
    overhead: int = 0


@dataclass(frozen=True)
class Scores:
    """How far maps are from the truth, over the blocks outside the ROI; means over repetitions.

    Attributes:
        whole: passes of an engine that pays for every block of the image, those of the ROI included.
        outside: the same without the ROI's blocks.
        reached: passes of an engine that gets the blocks out of reach for nothing, without the ROI's blocks.
        rmse: dB, of the effects before the tolerance.
        wrong_class: percent of the blocks whose class (hurts, zero, helps by ``tol``) is not that of the truth.
        wrong_sign: percent of the blocks that help instead of hurting, or the reverse.
        pie: percentage points of the blocks, mean error of the shares that hurt and that help.
        coverage: percent of the intervals that hold the truth, of blocks whose draws vary; nominally 95.
    """

    whole: float
    outside: float
    reached: float
    rmse: float
    wrong_class: float
    wrong_sign: float
    pie: float
    coverage: float


def replay_published(population: Population, coarse_num: int, fine_num: int, tol: float, seed: int) -> Replayed:
    """Replay the published rule: coarse draws everywhere, fine draws where one of them reaches ``tol`` (dB)."""
    random = np.random.default_rng(seed)
    coarse = _independent(population, coarse_num, random)
    passing = (np.abs(coarse) >= tol).any(axis=-1, keepdims=True)
    fine = _independent(population, fine_num, random)
    estimates = estimate(fine, np.broadcast_to(passing, fine.shape))
    effects = np.where(estimates.count > 0, estimates.mean, coarse.mean(axis=-1))
    return Replayed(effects, estimates, coarse_num + estimates.count)


def replay_adaptive(population: Population, order: NDArray[np.int64], rule: Rule, seed: int) -> Replayed:
    """Replay stratified draws under the screen and ``rule``; the ROI's blocks are not tried.

    The audit is paid for but finds nothing, since the population holds no joint draws.

    Args:
        population: the recorded effects.
        order: of the population's patches, from :func:`~CEM_Demo.method.stratified_draws.color_order`.
        rule: when a block has enough draws.
        seed: of the draws.
    """
    tried = population.reached & ~population.roi
    live = tried if population.predicted is None else tried & live_blocks(population.predicted, rule.tol)
    draws, positions = _stratified(population, order, rule.most, seed)
    count = allocate(draws, np.ones(draws.shape, np.bool_), population.predicted, live, rule).wanted
    estimates = estimate_stratified(draws, np.arange(rule.most) < count[..., None], positions)
    audits = int(audit_groups(tried & ~live).max()) + 1
    overhead = audits + (0 if population.predicted is None else SCREEN_PASSES)
    effects = _as_from_a_whole_bank(population, estimates)
    return Replayed(np.where(live, effects, 0.0), estimates, count, overhead)


def score(population: Population, runs: Sequence[Replayed], tol: float) -> Scores:
    """Score repeated runs of one rule against the truth; ``tol`` in dB."""
    truth, outside = population.effects.mean(axis=-1), ~population.roi
    right = _classes(truth, tol)[outside]
    found = np.stack([_classes(run.effects, tol)[outside] for run in runs])
    errors = np.stack([(run.effects - truth)[outside] for run in runs])
    shares = [np.abs((found == kind).mean(axis=1) - (right == kind).mean()).mean() for kind in (-1, 1)]
    return Scores(
        whole=_passes(runs, np.ones_like(outside)),
        outside=_passes(runs, outside),
        reached=_passes(runs, outside & population.reached),
        rmse=float(np.sqrt((errors**2).mean())),
        wrong_class=100 * float((found != right).mean()),
        wrong_sign=100 * float((found * right < 0).mean()),
        pie=100 * float(np.mean(shares)),
        coverage=100 * _coverage(population, runs, tol),
    )


def replay_rules(
    population: Population, rules: Sequence[Rule], coarse_num: int, fine_num: int, repetitions: int, seed: int
) -> tuple[Scores, list[Scores]]:
    """Score the published rule and each of the adaptive ``rules`` (which share ``tol``) on one population."""
    tol, order = rules[0].tol, color_order(population.colors)
    seeds = range(seed, seed + repetitions)
    published = [replay_published(population, coarse_num, fine_num, tol, number) for number in seeds]
    adaptive = [[replay_adaptive(population, order, rule, number) for number in seeds] for rule in rules]
    return score(population, published, tol), [score(population, runs, tol) for runs in adaptive]


def passes_at_error(passes: Sequence[float], errors: Sequence[float], error: float) -> tuple[float, str]:
    """Read off a sweep how many passes reach ``error``, between two of its points on logarithmic scales.

    Returns:
        The passes and ``""``; those of the first point and ``"<="`` where it is good enough already; those of the
        last point and ``">"`` where none is.
    """
    order = np.argsort(passes)
    spent, left = np.array(passes)[order], np.minimum.accumulate(np.array(errors)[order])
    worse = int((left > error).sum())
    if worse == 0:
        return float(spent[0]), "<="
    if worse == len(spent):
        return float(spent[-1]), ">"
    before, after, wanted = np.log(np.maximum([left[worse - 1], left[worse], error], np.finfo(float).eps))
    part = (before - wanted) / (before - after)
    return float(spent[worse - 1] ** (1 - part) * spent[worse] ** part), ""


def error_at_passes(passes: Sequence[float], errors: Sequence[float], spent: float) -> float:
    """Read off a sweep the error that is left after so many passes; beyond its ends, that of the end."""
    order = np.argsort(passes)
    return float(np.interp(np.log(spent), np.log(np.array(passes)[order]), np.array(errors)[order]))


def _independent(population: Population, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Draw ``count`` patches with replacement for each block: rows x columns x count, dB."""
    rows, columns, patches = population.effects.shape
    taken = random.integers(patches, size=(rows, columns, count))
    return np.take_along_axis(population.effects, taken, axis=-1)


def _stratified(
    population: Population, order: NDArray[np.int64], count: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Make the first ``count`` stratified draws of each block: rows x columns x count, in dB, and their positions."""
    shape = *population.roi.shape, count
    blocks, numbers = np.indices((population.roi.size, count))
    drawn = make_sequence(seed, "replay", order).draw(blocks, numbers)
    draws = np.take_along_axis(population.effects, drawn.patches.reshape(shape), axis=-1)
    return draws, drawn.positions.reshape(shape)


def _as_from_a_whole_bank(population: Population, estimates: Estimates) -> NDArray[np.float64]:
    """Enlarge the errors of stratified means (dB) to what they would be if the population were not finite."""
    truth = population.effects.mean(axis=-1)
    drawn = np.minimum(estimates.count / population.effects.shape[-1], CORRECTED)
    return truth + (estimates.mean - truth) / np.sqrt(1 - drawn)


def _coverage(population: Population, runs: Sequence[Replayed], tol: float) -> float:
    """Give the share of intervals that hold the truth, of the blocks outside the ROI whose draws vary; NaN for none."""
    truth = population.effects.mean(axis=-1)
    varying = (population.effects.std(axis=-1) > VARYING * tol) & ~population.roi
    held = [(run.estimates.low <= truth) & (truth <= run.estimates.high) for run in runs]
    counted = [varying & (run.estimates.count > 1) for run in runs]
    return float(np.sum(np.logical_and(held, counted)) / np.sum(counted)) if np.any(counted) else np.nan


def _classes(effects: NDArray[np.float64], tol: float) -> NDArray[np.int64]:
    """Give -1, 0 or 1 for blocks that hurt, do neither or help by ``tol`` or more."""
    return (np.sign(effects) * (np.abs(effects) >= tol)).astype(np.int64)


def _passes(runs: Sequence[Replayed], counted: NDArray[np.bool_]) -> float:
    return float(np.mean([run.passes[counted].sum() + run.overhead for run in runs]))
