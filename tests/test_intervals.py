"""Intervals cover, tests keep their error rates, and constructed truths get the classes that they have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from CEM_Demo.method.certainty import Certainty
from CEM_Demo.method.classes import BlockClass, Classes, adjust, classify, p_values, used_by_first_alone
from CEM_Demo.method.comparison import compare
from CEM_Demo.method.extremes import balanced_draws, find_rogues, odd_draws, strongest_blocks
from CEM_Demo.method.intervals import Estimates, estimate, estimate_stratified, simultaneous
from CEM_Demo.method.pie_intervals import pie_intervals
from CEM_Demo.method.reliability import miss_chances, missed_blocks, rounding_floor, rounding_offset

TOL = 0.01


def all_tried(draws: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.ones(draws.shape, np.bool_)


def normal_map(
    truth: NDArray[np.float64], deviation: float, draws: int, random: np.random.Generator
) -> NDArray[np.float64]:
    return truth[..., None] + deviation * random.standard_normal((*truth.shape, draws))


def classified(draws: NDArray[np.float64]) -> Classes:
    everywhere = np.ones(draws.shape[:2], np.bool_)
    return classify(estimate(draws, all_tried(draws)), TOL, everywhere, everywhere, ~everywhere)


@pytest.mark.parametrize("draws", [3, 50])
def test_intervals_of_ten_thousand_normal_blocks_cover_95_percent(draws: int) -> None:
    random = np.random.default_rng(0)
    truth = random.normal(0, 0.1, (100, 100))
    made = normal_map(truth, 0.05, draws, random)
    found = estimate(made, all_tried(made))
    covered = (found.low <= truth) & (truth <= found.high)
    assert abs(covered.mean() - 0.95) <= 0.005


def test_interval_is_that_of_the_t_test() -> None:
    draws = np.random.default_rng(1).normal(0.2, 1, (1, 1, 12))
    expected = stats.ttest_1samp(draws[0, 0], 0).confidence_interval(0.9)
    found = estimate(draws, all_tried(draws), 0.9)
    np.testing.assert_allclose([found.low[0, 0], found.high[0, 0]], expected)
    assert found.agreement[0, 0] == (np.sign(draws) == np.sign(draws.mean())).mean()


@given(st.lists(st.integers(0, 7), min_size=4, max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_what_was_not_tried_changes_nothing(counts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    draws, positions = random.normal(size=(2, 2, 7)), random.random((2, 2, 7))
    tried = np.arange(7) < np.array(counts).reshape(2, 2, 1)
    both = [
        (estimate(values, tried), estimate_stratified(values, tried, positions))
        for values in (draws, np.where(tried, draws, 1e6))
    ]
    for first, second in zip(*both, strict=True):
        for name in Estimates.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert (np.isfinite(both[0][0].low) == (np.array(counts).reshape(2, 2) >= 2)).all()


def test_stratified_intervals_are_narrower_and_still_cover() -> None:
    random = np.random.default_rng(2)
    positions = (np.arange(16) + random.random((50, 50, 16))) / 16
    positions = random.permuted(positions, axis=-1)
    draws = np.sin(5 * positions) + random.normal(0, 0.2, positions.shape)
    truth = (1 - np.cos(5)) / 5
    stratified, plain = estimate_stratified(draws, all_tried(draws), positions), estimate(draws, all_tried(draws))
    covered = (stratified.low <= truth) & (truth <= stratified.high)
    assert 0.94 <= covered.mean() <= 0.99
    assert (stratified.high - stratified.low).mean() < 0.5 * (plain.high - plain.low).mean()


def test_simultaneous_intervals_hold_together() -> None:
    random = np.random.default_rng(3)
    draws = random.standard_normal((1000, 20, 10))
    found = estimate(draws, all_tried(draws), simultaneous(0.95, 20))
    assert abs(((found.low <= 0) & (found.high >= 0)).all(axis=1).mean() - 0.95) <= 0.02


@pytest.mark.parametrize("truth", [0.0, TOL])
@pytest.mark.parametrize("deviation", [0.01, 1.0])
def test_maps_without_effects_beyond_the_tolerance_certify_a_block_in_at_most_6_percent(
    truth: float, deviation: float
) -> None:
    random = np.random.default_rng(4)
    draws = normal_map(np.full((2000, 50), truth), deviation, 10, random)
    estimates = estimate(draws, all_tried(draws))
    certified = [(adjust(p) <= 0.05).any() for p in p_values(estimates, TOL)]
    assert np.mean(certified) <= 0.06


def test_false_discovery_rate_is_at_most_five_and_a_half_percent() -> None:
    random = np.random.default_rng(5)
    truth = np.where(np.arange(100) < 60, TOL * random.choice([-1, 1], 100), random.normal(0, 0.1, 100))
    shares, wrong_signs = [], []
    for _ in range(400):
        codes = classified(normal_map(truth[None], 0.05, 20, random)).codes[0]
        certified = np.abs(codes) == 1
        false = certified & ((np.abs(truth) <= TOL) | (np.sign(truth) != codes))
        shares.append(false.sum() / max(certified.sum(), 1))
        wrong_signs.append((certified & (np.sign(truth) == -codes)).mean())
    assert np.mean(shares) <= 0.055
    assert np.mean(wrong_signs) <= 0.001


def test_blocks_of_known_effects_get_their_classes() -> None:
    random = np.random.default_rng(6)
    means = np.array([[0.5, -0.5, 0.0, 0.012, 0.5, 0.5, 0.5]])
    deviations = np.array([[0.1, 0.1, 0.001, 0.1, 0.1, 0.1, 0.1]])
    noise = random.standard_normal((1, 7, 50))
    noise -= noise.mean(axis=-1, keepdims=True)
    draws = means[..., None] + deviations[..., None] * noise
    tested, reached, roi = np.ones((3, 1, 7), np.bool_)
    tested[0, 4], reached[0, 5], roi[0] = False, False, np.arange(7) == 6
    found = classify(estimate(draws, all_tried(draws)), TOL, tested, reached, roi)
    assert found.codes.dtype == np.int8
    assert [BlockClass(code).name for code in found.codes[0]] == [
        "HELPS", "HURTS", "NEGLIGIBLE", "UNDECIDED", "NOT_TESTED", "OUT_OF_REACH", "ROI",
    ]  # fmt: skip
    assert np.isnan(found.p[0, 4:]).all() and np.isnan(found.q[0, 4:]).all()
    assert found.count(BlockClass.HELPS) == 1


def test_draws_all_alike_are_certified_or_negligible() -> None:
    draws = np.broadcast_to(np.array([[[0.02], [-0.02], [0.01], [0.0]]]), (1, 4, 5))
    names = [BlockClass(code).name for code in classified(draws).codes[0]]
    assert names == ["HELPS", "HURTS", "NEGLIGIBLE", "NEGLIGIBLE"]


def test_a_map_on_which_nothing_is_tested_has_no_classes_but_its_places() -> None:
    draws, nowhere = np.zeros((2, 2, 3)), np.zeros((2, 2), np.bool_)
    found = classify(estimate(draws, all_tried(draws) & False), TOL, ~nowhere, ~nowhere, nowhere)
    assert (found.codes == BlockClass.UNDECIDED).all()
    found = classify(estimate(draws, all_tried(draws)), TOL, nowhere, ~nowhere, nowhere)
    assert (found.codes == BlockClass.NOT_TESTED).all()


def test_paired_draws_tell_models_apart_that_unpaired_ones_do_not() -> None:
    random = np.random.default_rng(7)
    shared = random.normal(0, 1, (20, 20, 30))
    first = 0.3 + shared + random.normal(0, 0.2, shared.shape)
    second = shared + random.normal(0, 0.2, shared.shape)
    second[:10] += 0.3
    tried, everywhere = all_tried(first), np.ones((20, 20), np.bool_)
    alike = classified(first), classified(second)
    found = compare(first, second, tried, everywhere, alike)
    assert found.differs[10:].all()
    assert found.differs[:10].mean() <= 0.05
    assert (found.difference.high - found.difference.low).max() < 0.3 < 0.5 < np.ptp(shared.mean(axis=-1))
    assert not compare(first, first, tried, everywhere, alike).differs.any()
    assert not compare(first, second, tried, ~everywhere, alike).differs.any()


def test_models_that_are_alike_are_told_apart_in_at_most_7_percent_of_maps() -> None:
    random = np.random.default_rng(13)
    everywhere = np.ones((1, 100), np.bool_)
    found = []
    for _ in range(400):
        truth = random.normal(0, TOL, (1, 100))  # a test of the blocks that the map shows would find more
        draws = [normal_map(truth, 0.03, 50, random) for _ in range(2)]
        first, second = (
            Certainty(one, all_tried(one), None, everywhere, ~everywhere, TOL, None, 0.95, 0.05) for one in draws
        )
        found.append(first.compare(second).differs.any())
    assert np.mean(found) <= 0.07


def test_blocks_that_one_model_uses_alone_are_those_certified_for_it_and_idle_for_the_other() -> None:
    nothing = np.zeros((1, 4))
    first = Classes(np.array([[1, -1, 1, 2]], np.int8), nothing, nothing)
    second = Classes(np.array([[0, BlockClass.OUT_OF_REACH, BlockClass.UNDECIDED, 0]], np.int8), nothing, nothing)
    assert used_by_first_alone(first, second).tolist() == [[True, True, False, False]]


def test_pie_intervals_hold_the_true_counts_and_repeat_with_their_seed() -> None:
    random = np.random.default_rng(8)
    truth = np.concatenate([np.full(30, 0.1), np.full(15, -0.1), random.uniform(-0.02, 0.02, 55)]).reshape(10, 10)
    draws = normal_map(truth, 0.05, 50, random)
    tried = all_tried(draws)
    found = pie_intervals(draws, tried, estimate(draws, tried), TOL, seed=0)
    assert found.helping.low <= (truth >= TOL).sum() <= found.helping.high
    assert found.hurting.low <= (truth <= -TOL).sum() <= found.hurting.high
    assert 30 <= found.helping.low < found.helping.high
    assert found == pie_intervals(draws, tried, estimate(draws, tried), TOL, seed=0)
    tried[5:] = False
    assert pie_intervals(draws, tried, estimate(draws, tried), TOL, seed=0).helping.high <= 50


def test_the_strongest_of_blocks_all_alike_are_reported_without_the_luck_of_being_chosen() -> None:
    draws = np.random.default_rng(9).normal(0.1, 0.5, (30, 30, 20))
    tried = all_tried(draws)
    for halves in (odd_draws(20), balanced_draws(20)):
        found = strongest_blocks(draws, tried, halves, number=50, strength=np.positive)
        assert found.chosen.mean() > 0.3
        assert abs(found.reported.mean() - 0.1) < 0.08
    np.testing.assert_allclose(found.chosen[0], draws[found.rows[0], found.columns[0], balanced_draws(20)].mean())
    tried[1:] = False
    assert len(strongest_blocks(draws, tried, odd_draws(20), number=50).rows) == 30


def test_a_single_draw_that_carries_a_block_is_flagged() -> None:
    draws = np.random.default_rng(10).normal(0.05, 0.1, (4, 4, 50))
    draws[1, 2, 7] = 27.0
    draws[2, 3] = 0.0
    draws[2, 3, 0] = -15.2
    draws[3, 3] = 0.0
    draws[3, 3, 0] = 0.002
    found = find_rogues(draws, all_tried(draws), TOL)
    assert np.argwhere(found.flagged).tolist() == [[1, 2], [2, 3]]
    assert found.median[2, 3] == 0 and found.deviation[2, 3] == -15.2
    few = all_tried(draws)
    few[..., 3:] = False
    assert not find_rogues(draws, few, TOL).flagged.any()
    assert np.isnan(find_rogues(draws, few & False, TOL).median).all()


def test_the_known_offset_undoes_what_rounding_the_untouched_roi_does() -> None:
    random = np.random.default_rng(11)
    values, offsets, effects = 3072, [], []
    for _ in range(300):
        truth = random.integers(50, 200, values)
        restored = truth + random.normal(0, 3, values)
        changed = truth + random.normal(0, 3, values)
        changed = truth + (changed - truth) * np.linalg.norm(restored - truth) / np.linalg.norm(changed - truth)
        images = restored.round(), restored, changed.round()
        origin, unrounded, after = (10 * np.log10(255**2 / np.mean((image - truth) ** 2)) for image in images)
        offsets.append(rounding_offset(origin, unrounded))
        effects.append(origin - after)
    floor = rounding_floor(unrounded, values)
    assert np.std(offsets) == pytest.approx(floor, rel=0.15)
    assert abs(np.mean(offsets)) < 0.2 * floor
    # The intervened ROI has rounding errors of its own; over many draws they average out, but the offset does not.
    assert np.corrcoef(offsets, effects)[0, 1] > 0.5
    assert np.std(np.subtract(effects, offsets)) == pytest.approx(floor, rel=0.15)


def test_missed_blocks_are_estimated_from_those_that_were_found() -> None:
    random = np.random.default_rng(12)
    rare = np.where(random.random((100, 100, 53)) < 0.4, 0.1, 0.0)  # an effect of 0.04 dB, missed in 22 percent
    coarse, fine = rare[..., :3], rare[..., 3:]
    passing = (np.abs(coarse) >= TOL).any(axis=-1)
    tried = np.broadcast_to(passing[..., None], fine.shape)
    shown = passing & (fine.mean(axis=-1) >= TOL)
    chances = miss_chances(fine, tried, TOL, 3)
    expected = (~passing & (fine.mean(axis=-1) >= TOL)).sum()
    assert missed_blocks(chances, shown) == pytest.approx(expected, rel=0.1)
    certain = np.full((1, 1, 50), 1.0)
    assert miss_chances(certain, all_tried(certain), TOL, 3)[0, 0] == 0
    assert missed_blocks(np.full((1, 1), np.nan), np.ones((1, 1), np.bool_)) == 0
