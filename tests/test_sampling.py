"""Adaptive draws: the sequence, the rounds, the screen, and the replay of both rules."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from CEM_Demo.method.allocation import PRECISIONS, Rule, allocate
from CEM_Demo.method.extremes import balanced_draws
from CEM_Demo.method.replay import Population, error_at_passes, passes_at_error, replay_rules
from CEM_Demo.method.screening import audit_groups, live_blocks, predict_deviation, revive
from CEM_Demo.method.stratified_draws import LEVELS, DrawnPatches, StratifiedSequence, color_order, make_sequence
from CEM_Demo.run import record_draws
from CEM_Demo.run.sampling_benchmark import main, read_population

BANK = Path(__file__).parents[1] / "CEM_Demo" / "patches" / "patches.npz"
PHOTOGRAPH = Path(__file__).parents[1] / "CEM_Demo" / "test_images" / "Test1" / "demo_2.png"
TOL = 0.01
seeds = st.integers(0, 2**32 - 1)


def in_place(size: int, seed: int = 0, image: str = "photo.png") -> StratifiedSequence:
    """Make a sequence over a bank that is already in its order, so that patches are places."""
    return make_sequence(seed, image, np.arange(size))


def same(first: DrawnPatches, second: DrawnPatches) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name)) for name in DrawnPatches.__dataclass_fields__
    )


@given(seeds, st.integers(0, 10_000), st.integers(1, 2**LEVELS))
@settings(max_examples=50, deadline=None)
def test_every_prefix_of_a_blocks_draws_is_stratified(seed: int, block: int, prefix: int) -> None:
    drawn = in_place(1 << 12, seed).draw(np.full(prefix, block), np.arange(prefix))
    assert drawn.positions.min() >= 0 and drawn.positions.max() < 1
    for level in range(LEVELS + 1):
        for places, strata in ((drawn.positions * 2**level, 1), (drawn.patches, (1 << 12) // 2**level)):
            hits = np.bincount((places // strata).astype(int), minlength=2**level)
            assert hits.min() >= prefix >> level and hits.max() <= -(-prefix >> level)


@pytest.mark.parametrize("level", range(LEVELS + 1))
def test_a_prefix_of_a_power_of_two_hits_every_stratum_once(level: int) -> None:
    blocks, draws = np.indices((20, 2**level))
    patches = in_place(1 << LEVELS).draw(blocks, draws).patches
    strata = patches // 2 ** (LEVELS - level)
    assert (np.sort(strata, axis=1) == np.arange(2**level)).all()


def test_halves_of_stratified_draws_are_stratified() -> None:
    blocks, draws = np.indices((20, 32))
    strata = (in_place(1 << LEVELS).draw(blocks, draws).positions * 16).astype(int)
    for half in (balanced_draws(32), ~balanced_draws(32)):
        assert (np.sort(strata[:, half], axis=1) == np.arange(16)).all()


@given(seeds, st.permutations(range(60)), st.integers(1, 60))
@settings(max_examples=30, deadline=None)
def test_neither_order_nor_batches_nor_the_other_draws_change_a_draw(seed: int, order: list[int], size: int) -> None:
    blocks, draws = (array.ravel() for array in np.indices((5, 12)))
    sequence = in_place(1000, seed)
    whole = sequence.draw(blocks, draws)
    for start in range(0, 60, size):
        some = np.array(order[start : start + size])
        part = sequence.draw(blocks[some], draws[some])
        assert same(part, DrawnPatches(whole.positions[some], whole.patches[some], whole.noise_seeds[some]))


def test_seed_image_and_block_give_draws_of_their_own() -> None:
    blocks, draws = np.indices((50, 8))
    drawn = [
        in_place(1 << 20, *names).draw(blocks, draws)
        for names in ((0, "a.png"), (0, "a.png"), (1, "a.png"), (0, "b.png"))
    ]
    assert same(drawn[0], drawn[1])
    for other in drawn[2:]:
        assert (drawn[0].patches != other.patches).mean() > 0.99
        assert (drawn[0].noise_seeds != other.noise_seeds).all()
    assert len(np.unique(drawn[0].patches[:, 0])) == 50
    assert len(np.unique(drawn[0].noise_seeds)) == 400


def test_draws_stay_as_they_were_recorded() -> None:
    drawn = in_place(10_000, 7, "demo_1.png").draw(np.array([0, 3, 1023, 3]), np.array([0, 1, 255, 600]))
    assert drawn.patches.tolist() == [6611, 7802, 7209, 4976]
    assert drawn.noise_seeds.tolist() == [
        15121342021057321447,
        18293642797089401624,
        17630769231050235755,
        13494559541477123645,
    ]


def test_every_patch_of_the_bank_is_drawn_alike() -> None:
    blocks, draws = np.indices((4000, 50))
    hits = np.bincount(in_place(100).draw(blocks, draws).patches.ravel(), minlength=100)
    assert abs(hits / 2000 - 1).max() < 0.1


def test_no_draws_are_no_draws() -> None:
    nothing = np.empty(0, np.int64)
    assert in_place(10).draw(nothing, nothing).patches.shape == (0,)


def test_the_order_of_the_bundled_bank_makes_means_of_colors_vary_far_less() -> None:
    with np.load(BANK) as bank:
        colors = bank["patches"].mean(axis=(1, 2))
    order = color_order(colors)
    assert sha256(order.astype("<i8").tobytes()).hexdigest().startswith("459af106b890c50f")
    assert (np.sort(order) == np.arange(len(colors))).all()
    blocks, draws = np.indices((1000, 16))
    means = colors[make_sequence(0, "photo.png", order).draw(blocks, draws).patches].mean(axis=1)
    assert (means.var(axis=0) / (colors.var(axis=0) / 16)).max() < 0.15
    np.testing.assert_allclose(means.mean(axis=0), colors.mean(axis=0), atol=0.5)


def test_a_bank_smaller_than_the_strata_can_be_ordered() -> None:
    assert sorted(color_order(np.random.default_rng(0).random((5, 3)))) == [0, 1, 2, 3, 4]


def random_map(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Draws of 4 x 4 blocks of very different deviations, predictions of these, and which blocks are live."""
    random = np.random.default_rng(seed)
    deviations = 10 ** random.uniform(-3.5, 0, (4, 4))
    draws = (
        random.normal(0, 1, (4, 4, 1)) * deviations[..., None] + random.normal(size=(4, 4, 256)) * deviations[..., None]
    )
    return draws, deviations * 10 ** random.normal(0, 0.4, (4, 4)), random.random((4, 4)) < 0.8


@given(seeds, st.booleans(), st.sampled_from(sorted(PRECISIONS)))
@settings(max_examples=30, deadline=None)
def test_a_run_killed_anywhere_makes_the_draws_of_one_that_was_not(seed: int, predicts: bool, precision: str) -> None:
    draws, predicted, live = random_map(seed)
    ask = partial(allocate, predicted=predicted if predicts else None, live=live, rule=Rule(TOL, PRECISIONS[precision]))
    whole = ask(draws, np.ones(draws.shape, np.bool_))
    assert whole.finished
    random = np.random.default_rng(seed)
    tried = np.zeros(draws.shape, np.bool_)
    while not (asked := ask(np.where(tried, draws, np.nan), tried)).finished:
        assert (asked.wanted <= whole.wanted).all()
        missing = np.argwhere((np.arange(256) < asked.wanted[..., None]) & ~tried)
        for place in random.permutation(missing)[: random.integers(1, len(missing) + 1)]:
            tried[tuple(place)] = True
    np.testing.assert_array_equal(asked.wanted, whole.wanted)
    np.testing.assert_array_equal(tried.sum(axis=-1), whole.wanted)
    longer = np.concatenate([draws, draws], axis=-1)
    np.testing.assert_array_equal(ask(longer, np.ones(longer.shape, np.bool_)).wanted, whole.wanted)


def test_digits_that_another_batch_size_may_move_do_not_count() -> None:
    draws, predicted, live = random_map(1)
    draws = draws.round(3)
    tried, rule = np.ones(draws.shape, np.bool_), Rule(TOL)
    moved = draws + np.random.default_rng(2).uniform(-4e-4, 4e-4, draws.shape)
    expected = allocate(draws, tried, predicted, live, rule)
    np.testing.assert_array_equal(allocate(moved, tried, predicted, live, rule).wanted, expected.wanted)


def test_rounds_begin_small_at_most_double_and_end_at_the_most() -> None:
    draws = 100 * np.random.default_rng(0).standard_normal((1, 1, 300))
    live, counts = np.ones((1, 1), np.bool_), [0]
    while not (asked := allocate(draws, np.arange(300) < [[[counts[-1]]]], None, live, Rule(TOL))).finished:
        counts.append(int(asked.wanted[0, 0]))
    assert counts == [0, 4, 8, 16, 32, 64, 128, 256]


def test_blocks_without_a_prediction_take_that_of_their_neighbors() -> None:
    draws, predicted, live = random_map(5)
    tried, rule = np.ones(draws.shape, np.bool_), Rule(TOL)
    unknown = allocate(draws, tried, np.full((4, 4), np.nan), live, rule)
    np.testing.assert_array_equal(unknown.wanted, allocate(draws, tried, None, live, rule).wanted)
    predicted[0, 0] = np.nan
    assert allocate(draws, tried, predicted, live, rule).finished


def test_blocks_that_vary_more_get_more_draws_and_dead_ones_none() -> None:
    deviations = np.array([[0.0001, 0.03, 1.0, 1.0]])
    draws = 5.0 + deviations[..., None] * np.random.default_rng(3).standard_normal((1, 4, 256))
    live = np.array([[True, True, True, False]])
    counts = allocate(draws, np.ones(draws.shape, np.bool_), deviations, live, Rule(TOL)).wanted[0]
    assert counts[0] == 4 and 12 <= counts[1] <= 20 and 70 <= counts[2] <= 120 and counts[3] == 0
    finer = allocate(draws, np.ones(draws.shape, np.bool_), deviations, live, Rule(TOL, PRECISIONS["fine"])).wanted[0]
    assert (finer >= counts).all() and finer[1] > 1.5 * counts[1]


def test_a_block_near_the_tolerance_gets_more_draws_than_a_clear_one() -> None:
    noise = np.random.default_rng(4).standard_normal(256)
    noise = np.concatenate([noise[:128], -noise[:128]]).reshape(2, 128).T.ravel()  # every pair has mean zero
    draws = np.stack([TOL + 0.005 * noise, 0.1 + 0.005 * noise])[None]
    counts = allocate(
        draws, np.ones(draws.shape, np.bool_), np.full((1, 2), 0.005), np.ones((1, 2), np.bool_), Rule(TOL)
    )
    assert counts.wanted[0, 0] == 40 and counts.wanted[0, 1] < 10


def linear_scene(seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
    random = np.random.default_rng(seed)
    gradient = random.normal(0, 1e-3, (3, 20, 13)).astype(np.float32)
    gradient[:, :8, :8] = 0
    degraded = random.integers(0, 256, (20, 13, 3), dtype=np.uint8)
    return gradient, degraded, random.integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)


def test_predicted_deviation_is_that_of_pasting_every_patch() -> None:
    gradient, degraded, patches = linear_scene(0)
    found = predict_deviation(gradient, degraded, patches, 0.5, 8)
    assert found.shape == (3, 2)
    assert found[0, 0] == 0
    for row, column in np.ndindex(3, 2):
        effects = []
        for patch in patches:
            changed = degraded.astype(float)
            window = changed[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            window[:] = patch[: window.shape[0], : window.shape[1]]
            step = ((changed - degraded) / 255).transpose(2, 0, 1)
            effects.append(10 * np.log10(1 + (gradient * step).sum() / 0.5))
        assert found[row, column] == pytest.approx(np.sqrt(np.mean(np.square(effects))), rel=1e-5)


def test_blocks_without_a_prediction_are_tried() -> None:
    predicted = np.array([[0.0009, 0.0011, np.nan, 0.0]])
    assert live_blocks(predicted, TOL).tolist() == [[False, True, True, False]]


def test_a_joint_draw_that_moves_the_roi_revives_its_super_block_alone() -> None:
    live = np.zeros((6, 9), np.bool_)
    live[0, 0] = live[4:, 4:8] = True
    groups = audit_groups(~live)
    assert groups[0, 0] == -1 and (groups[live] == -1).all()
    assert sorted(np.unique(groups[~live])) == [0, 1, 2, 3, 4]
    assert len({groups[0, 1], groups[3, 3]}) == 1 and groups[0, 3] != groups[0, 4]
    revived = revive(live, groups, np.array([0.0, -0.02, 0.005, 0.0, 0.0]), TOL)
    assert (revived & ~live).sum() == 16 and revived[:4, 4:8].all()


def small_population(seed: int = 0) -> Population:
    """Effects that gather around the ROI and follow the colors of the patches in part."""
    random = np.random.default_rng(seed)
    colors = random.uniform(0, 255, (200, 3))
    rows, columns = np.indices((12, 12))
    strength = np.exp(-np.hypot(rows - 5.5, columns - 5.5))[..., None]
    slopes = random.normal(size=(12, 12, 3)) / 150
    effects = strength * (random.normal(0.3, 1, (12, 12, 1)) + slopes @ colors.T + random.normal(0, 0.5, (12, 12, 200)))
    roi, reached = np.zeros((2, 12, 12), np.bool_)
    roi[5:7, 5:7], reached[1:-1, 1:-1] = True, True
    effects = np.where(reached[..., None], effects, 0)
    return Population(effects, colors, reached, roi, np.sqrt((effects**2).mean(axis=-1)))


def test_replay_counts_passes_and_errors_of_both_rules() -> None:
    rules = [Rule(TOL, constant) for constant in (8.0, 16.0)]
    published, adaptive = replay_rules(small_population(), rules, 3, 50, 4, 0)
    assert published.whole > published.outside > published.reached
    assert published.outside - published.reached == 3 * 44
    assert adaptive[0].reached < adaptive[1].reached < published.reached
    assert adaptive[1].rmse < published.rmse
    assert 93 <= published.coverage <= 97 and 93 <= adaptive[1].coverage <= 99
    again = replay_rules(small_population(), rules, 3, 50, 4, 0)
    assert again == (published, adaptive)


def test_sweeps_are_read_between_their_points_and_not_beyond() -> None:
    passes, errors = [100, 400, 200], [1.0, 0.25, 0.5]
    assert passes_at_error(passes, errors, 0.5) == (pytest.approx(200), "")
    assert passes_at_error(passes, errors, 0.5**1.5) == (pytest.approx(100 * 2**1.5), "")
    assert passes_at_error(passes, errors, 2.0) == (100, "<=")
    assert passes_at_error(passes, errors, 0.1) == (400, ">")
    assert error_at_passes(passes, errors, 200) == pytest.approx(0.5)
    assert error_at_passes(passes, errors, 1000) == 0.25


def save_population(path: Path, **changes: object) -> Path:
    population = small_population()
    arrays: dict[str, object] = {
        "effects": population.effects,
        "patches": np.arange(200),
        "colors": population.colors,
        "reached": population.reached,
        "roi": population.roi,
        "predicted": population.predicted,
    }
    np.savez(path, **{name: value for name, value in {**arrays, **changes}.items() if value is not None})  # type: ignore[arg-type]
    return path


def test_benchmark_prints_both_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(save_population(tmp_path / "map.npz")), "--repetitions", "2"]) == 0
    printed = capsys.readouterr().out
    assert "| published |" in printed and "| default |" in printed and "fewer passes, whole image" in printed


def test_what_is_recorded_of_a_network_is_what_the_benchmark_replays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "map.npz"
    words = ["--task", "DN", "--model", "DnCNN@Demo", "--image", str(PHOTOGRAPH), "--crop", "8", "16", "48"]
    assert record_draws.main([*words, "--patches", "3", "--out", str(path)]) == 0
    population = read_population(path)
    assert population.effects.shape == (6, 6, 3) and population.roi.sum() == 16
    assert population.predicted is not None and np.isfinite(population.predicted).all()
    assert len(np.unique(population.effects[~population.roi])) > 40
    assert main([str(path), "--repetitions", "1"]) == 0
    assert "3 patches" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"roi": None}, "has no array `roi`"),
        ({"roi": np.zeros((3, 3), bool)}, "not rows x columns x patches like its maps"),
        ({"patches": np.arange(7)}, "has 200 patches, `patches` names 7"),
    ],
)
def test_benchmark_says_in_one_line_what_a_file_lacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, object], complaint: str
) -> None:
    assert main([str(save_population(tmp_path / "map.npz", **changes))]) == 2
    said = capsys.readouterr().err
    assert complaint in said and "map.npz" in said and said.count("\n") == 1


def test_benchmark_refuses_what_is_no_population(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    assert main([str(tmp_path / "text.npz")]) == 2
    assert main([str(tmp_path / "missing.npz")]) == 2
    assert capsys.readouterr().err.count("\n") == 2
