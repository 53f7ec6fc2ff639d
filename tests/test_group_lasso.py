"""The least change that reaches a goal, where the least one is known: linear networks that copy disjoint values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq

from CEM_Demo.counterfactual.group_lasso import Measure, least_change, shrunk


def copies(gains: np.ndarray, errors: np.ndarray, sign: int) -> Measure:
    """Each block adds its values, times its gain, to errors of its own; progress is what ``sign`` says is wanted."""
    total = np.square(errors).sum()

    def measure(delta: np.ndarray) -> tuple[float, np.ndarray]:
        left = errors + gains[:, None] * delta
        return sign * (np.square(left).sum() / total - 1), sign * 2 * gains[:, None] * left / total

    return measure


def least_repair(gains: np.ndarray, norms: np.ndarray, share: float, most: float = np.inf) -> float:
    """The least sum of norms that leaves a share of the squared error: at the optimum, all slopes are one."""

    def sizes(slope: float) -> np.ndarray:
        return np.clip((norms - slope / gains) / gains, 0, most)

    def excess(slope: float) -> float:
        return np.square(norms - gains * sizes(slope)).sum() - share * np.square(norms).sum()

    return float(sizes(brentq(excess, 0, (gains * norms).max())).sum())


def case(seed: int, blocks: int = 12, values: int = 27) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(seed)
    return random.uniform(0.2, 1, blocks), random.randn(blocks, values) * random.uniform(2, 10, (blocks, 1))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("decibel", [0.1, 1.0, 3.0])
def test_a_repair_is_as_small_as_it_can_be(seed: int, decibel: float) -> None:
    gains, errors = case(seed)
    share = 10 ** (-decibel / 10)
    free = np.full(errors.shape, np.inf)
    found = least_change(copies(gains, errors, -1), -free, free, 1 - share)
    least = least_repair(gains, np.linalg.norm(errors, axis=1), share)
    assert found.reaches(1 - share)
    assert found.size == pytest.approx(least, rel=0.005)
    assert found.progress == pytest.approx(
        1 - np.square(errors + gains[:, None] * found.delta).sum() / np.square(errors).sum()
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_repair_within_bounds_is_as_small_as_it_can_be(seed: int) -> None:
    gains, errors = case(seed, values=1)
    most = 0.25 * np.abs(errors).max()
    bound = np.full(errors.shape, most)
    share = 10**-0.1
    found = least_change(copies(gains, errors, -1), -bound, bound, 1 - share)
    least = least_repair(gains, np.abs(errors[:, 0]), share, most)
    assert found.reaches(1 - share) and np.abs(found.delta).max() <= most
    assert np.isclose(np.abs(found.delta), most).any()
    assert found.size == pytest.approx(least, rel=0.005)


@pytest.mark.parametrize("seed", range(3))
def test_a_break_takes_one_block_and_no_more_of_it_than_it_takes(seed: int) -> None:
    gains, errors = case(seed)
    free = np.full(errors.shape, np.inf)
    growth = 10**0.1 - 1
    found = least_change(copies(gains, errors, 1), -free, free, growth)
    squares = np.square(errors).sum(axis=1)
    alone = (np.sqrt(squares + growth * squares.sum()) - np.sqrt(squares)) / gains
    assert found.reaches(growth)
    (block,) = np.flatnonzero(found.delta.any(axis=1))
    assert found.size == pytest.approx(alone[block], rel=0.005)
    # A break is not convex: another block may need a little less.
    assert alone[block] < 1.05 * alone.min()


def test_what_the_bounds_do_not_allow_ends_with_the_farthest() -> None:
    gains, errors = case(0)
    bound = np.full(errors.shape, 1.0)
    found = least_change(copies(gains, errors, -1), -bound, bound, 0.9)
    farthest = np.clip(-errors / gains[:, None], -1, 1)
    assert not found.reaches(0.9)
    assert found.progress == pytest.approx(copies(gains, errors, -1)(farthest)[0], rel=0.01)


def test_where_nothing_has_an_effect_nothing_changes() -> None:
    bound = np.ones((2, 3))
    found = least_change(lambda delta: (0.0, np.zeros_like(delta)), -bound, bound, 0.5)
    assert not found.delta.any() and not found.reaches(0.5)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 2.0, 50.0])
def test_shrinking_gives_the_minimum_within_the_bounds(threshold: float) -> None:
    random = np.random.RandomState(1)
    values = random.randn(6, 5) * 3
    low, high = -random.uniform(0, 4, (6, 5)), random.uniform(0, 4, (6, 5))

    def cost(change: np.ndarray) -> np.ndarray:
        return np.square(change - values).sum(axis=1) / 2 + threshold * np.linalg.norm(change, axis=1)

    found = shrunk(values, threshold, low, high)
    for size in (1e-3, 1e-2, 0.1, 1.0) * 100:
        other = np.clip(found + size * random.randn(6, 5), low, high)
        assert (cost(other) >= cost(found) - 1e-9).all()
    loose = np.full((6, 5), np.inf)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    np.testing.assert_allclose(shrunk(values, threshold, -loose, loose), values * np.maximum(1 - threshold / norms, 0))
