"""Is a signed map faithful? Networks whose answer is known, and the joint intervention behind it."""

from __future__ import annotations

import copy
import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from CEM_Demo.config.settings import Settings
from CEM_Demo.errors import InputError
from CEM_Demo.explain import explain
from CEM_Demo.faithfulness import Design, assess, assess_explanation, command
from CEM_Demo.faithfulness.additivity import Additivity, paired_additivity
from CEM_Demo.faithfulness.command import Extras, assess_maps
from CEM_Demo.faithfulness.curves import MAP, RANDOM, delete, insert
from CEM_Demo.faithfulness.experiment import UNROUNDED, JointExperiment, make_joint_experiment
from CEM_Demo.faithfulness.figure import draw
from CEM_Demo.faithfulness.orders import highest_first, nearest_first, random_orders
from CEM_Demo.faithfulness.randomization import randomize
from CEM_Demo.faithfulness.record import read_record
from CEM_Demo.faithfulness.relevance_gain import symmetric_gain
from CEM_Demo.faithfulness.reliability import Reliability, compare_runs, split_half
from CEM_Demo.faithfulness.sanity import check_exactness
from CEM_Demo.faithfulness.second_run import read_second_map
from CEM_Demo.geometry import ROI, Grid, grid_of
from CEM_Demo.inference.choice import choose_inference
from CEM_Demo.method import certainty
from CEM_Demo.method.intervention import join
from CEM_Demo.method.measurements import Draws
from CEM_Demo.method.metric import PSNR, Metric
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.report.panels import read_panels
from CEM_Demo.results.faithfulness import faithfulness_sentence
from CEM_Demo.results.paths import result_paths, table_path
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks import Degradation, make_scene
from CEM_Demo.tasks.scene import Scene, keep_patches
from conftest import ROI_OF_TESTS, Tiny, make_config, photograph

BLOCK = 8
SIDE = 5 * BLOCK
TARGET = ROI.square(2 * BLOCK, 2 * BLOCK, BLOCK)
BANK = PatchBank(np.random.RandomState(3).randint(0, 256, (200, BLOCK, BLOCK, 3)).astype(np.uint8))
DRAWS = 4


class Footprints(nn.Module):
    """Each block of a 5 x 5 grid adds its mean, times its own weight, to two pixels of the ROI in the middle."""

    def __init__(self, weights: np.ndarray, multiplies: bool = False) -> None:
        super().__init__()
        self.multiplies = multiplies
        self.weights = torch.from_numpy(weights).float()
        self.owner = torch.arange(BLOCK * BLOCK) // 2 % 25
        self.owned = torch.arange(BLOCK * BLOCK) < 50

    def forward(self, image: Tensor) -> Tensor:
        parts = nn.functional.avg_pool2d(image, BLOCK).flatten(2) * self.weights
        output = torch.full_like(image, 0.3)
        shape = (len(image), 3, BLOCK, BLOCK)
        if self.multiplies:
            spread = (1 + parts).prod(dim=2, keepdim=True).expand(-1, -1, BLOCK * BLOCK)
            output[(..., *TARGET.window)] *= spread.reshape(shape)
        else:
            output[(..., *TARGET.window)] += (parts[..., self.owner] * self.owned).reshape(shape)
        return output


def make_joint(
    net: nn.Module,
    degraded: np.ndarray,
    truth: np.ndarray,
    roi: ROI = TARGET,
    metric: Metric = PSNR,
    kind: str = "dense",
    degrade: Any = keep_patches,
    seed: int = 0,
    batch_size: int = 16,
) -> JointExperiment:
    grid = grid_of(degraded, BLOCK, 1)
    (group,) = choose_inference(net, degraded, [roi], BLOCK, torch.device("cpu"), kind)
    scene = Scene(truth, degraded, 1, degrade)
    experiment = Experiment(net, group, scene, grid, BANK, torch.device("cpu"), metric=metric)
    return make_joint_experiment(experiment, seed, "a.png", batch_size, DRAWS + 2)


def footprints(strength: float, multiplies: bool = False, seed: int = 0, metric: Metric = UNROUNDED) -> JointExperiment:
    """Blocks that help by what they add, more from the first to the last; every fourth one hurts."""
    weights = strength * np.linspace(0.2, 1, 25)
    degraded = np.random.RandomState(5).randint(150, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    net = Footprints(weights, multiplies)
    with torch.inference_mode():
        ideal = torch.from_numpy(degraded).permute(2, 0, 1)[None].float() / 255
        for block in range(0, 25, 4):
            row, column = (BLOCK * place for place in divmod(block, 5))
            ideal[..., row : row + BLOCK, column : column + BLOCK] = 0.5
        truth = (net(ideal)[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    return make_joint(net, degraded, truth, metric=metric, seed=seed)


def measured_map(joint: JointExperiment) -> np.ndarray:
    """The mean single effects by draws that score nothing."""
    effects = np.zeros(joint.roi.size)
    for unused in (DRAWS, DRAWS + 1):
        draws = np.full(len(joint.candidates), unused)
        effects[joint.candidates] += joint.single_effects(joint.candidates, draws) / 2
    return effects.reshape(joint.experiment.grid.shape)


def tiny() -> Tiny:
    torch.manual_seed(0)
    return Tiny().eval()


def tiny_joint(kind: str, height: int = 32, width: int = 40, batch_size: int = 16) -> JointExperiment:
    scene = make_scene(Degradation("DN"), photograph(height, width), "a.png")
    return make_joint(
        tiny(), scene.degraded, scene.ground_truth, ROI_OF_TESTS, PSNR, kind, scene.degrade_patches, 0, batch_size
    )


def by_hand(joint: JointExperiment, blocks: np.ndarray, draw: int) -> float:
    """The joint effect on the whole image: pasted by slicing, restored alone, measured in NumPy."""
    changed = joint.experiment.scene.degraded.copy()
    for block in blocks:
        pasted = joint.experiment.paste(joint.plan.at(np.array([block]), np.array([draw])))
        top, left = pasted.corners[0]
        place = changed[top : top + BLOCK, left : left + BLOCK]
        place[...] = pasted.pixels[0][: place.shape[0], : place.shape[1]]
    with torch.inference_mode():
        output = tiny()(torch.from_numpy(changed).permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0).numpy()
    errors = (np.round(output.clip(0, 1) * np.float32(255)) - joint.experiment.scene.ground_truth)[ROI_OF_TESTS.window]
    return joint.origin - 10 * np.log10(255**2 / np.mean(errors**2))


@pytest.mark.parametrize("kind", ["dense", "incremental"])
def test_joint_interventions_are_those_of_a_plain_loop(kind: str) -> None:
    joint = tiny_joint(kind, height=29, width=43)
    random = np.random.RandomState(1)
    sets = random.rand(12, joint.roi.size) < 0.3
    sets[0] = False
    sets[1] = np.arange(joint.roi.size) == joint.roi.size - 1
    draws = random.randint(0, DRAWS, 12)
    expected = [by_hand(joint, np.flatnonzero(mask), draw) for mask, draw in zip(sets, draws, strict=True)]
    np.testing.assert_allclose(joint.effects(sets, draws), expected, atol=0.002)
    assert np.ptp(expected) > 0.1


def test_both_inferences_restore_a_set_alike() -> None:
    dense, incremental = tiny_joint("dense"), tiny_joint("incremental")
    members, blocks = np.nonzero(np.random.RandomState(2).rand(5, dense.roi.size) < 0.4)
    pasted = join(dense.single(blocks, members % DRAWS), members, dense.experiment.scene.degraded)
    restored = [
        joint.experiment.group.inference.restore(pasted.corners, pasted.pixels) for joint in (dense, incremental)
    ]
    torch.testing.assert_close(restored[0], restored[1], rtol=0, atol=1e-5)


def test_a_block_has_the_same_patch_alone_and_in_a_set() -> None:
    joint = tiny_joint("incremental")
    blocks = joint.candidates
    alone = joint.effects(np.eye(joint.roi.size, dtype=bool)[blocks], np.full(len(blocks), 1))
    np.testing.assert_allclose(alone, joint.single_effects(blocks, np.full(len(blocks), 1)), atol=0.002)


def test_curves_do_not_depend_on_the_batch_size() -> None:
    curves = []
    for batch_size in (1, 7, 64):
        joint = tiny_joint("dense", batch_size=batch_size)
        orders = {MAP: [joint.candidates], RANDOM: random_orders(joint, 6)}
        families = delete(joint, orders, 6, DRAWS), insert(joint, orders, 6, DRAWS)
        curves.append([family.curves[name].effects for family in families for name in orders])
    np.testing.assert_allclose(curves[1], curves[0], atol=0.002)
    np.testing.assert_allclose(curves[2], curves[0], atol=0.002)


def additivity(joint: JointExperiment) -> list[Additivity]:
    return paired_additivity(joint, joint.candidates, (2, 4, 8, 16, 100), DRAWS)


def test_effects_of_disjoint_linear_footprints_add_in_squared_error() -> None:
    found = additivity(footprints(0.4))
    assert [one.size for one in found] == [2, 4, 8, 16]
    for one in found:
        assert one.ratio.slope == pytest.approx(1, abs=1e-4)
        assert one.ratio.pearson == pytest.approx(1, abs=1e-6)
        assert one.ratio.infidelity < 1e-4
    assert found[-1].decibels.infidelity > 0.01


def test_weak_effects_of_disjoint_linear_footprints_add_in_decibels() -> None:
    joint = footprints(0.4)
    # An error elsewhere in the ROI, which no block changes, makes all effects small.
    truth = joint.experiment.scene.ground_truth.copy()
    rows, columns = TARGET.window
    truth[rows.stop - 1, columns.start + 2 : columns.stop] = 255
    truth[rows.stop - 2, columns.start + 4 : columns.stop] = 255
    weak = make_joint(Footprints(np.full(25, 0.004)), joint.experiment.scene.degraded, truth, metric=UNROUNDED)
    for one in additivity(weak):
        assert one.decibels.infidelity < 1e-4
        assert one.decibels.slope == pytest.approx(1, abs=0.01)


def test_effects_of_a_multiplying_network_do_not_add() -> None:
    sixteen = additivity(footprints(0.06, multiplies=True))[-1]
    assert sixteen.ratio.slope is not None
    assert abs(sixteen.ratio.slope - 1) > 0.1
    assert sixteen.ratio.infidelity > 0.1


def area_over_random(joint: JointExperiment, scores: np.ndarray) -> Any:
    orders = {MAP: [highest_first(scores, joint.candidates)], RANDOM: random_orders(joint, 20)}
    return delete(joint, orders, 12, DRAWS).advantage(RANDOM)


def test_the_true_map_wins_and_its_negative_loses() -> None:
    joint = footprints(0.4)
    effects = measured_map(joint)
    assert area_over_random(joint, effects).low > 0
    assert area_over_random(joint, -effects).high < 0


def test_the_symmetric_gain_of_a_map_is_that_of_its_negative_with_the_other_sign() -> None:
    joint = footprints(0.4)
    effects = measured_map(joint)
    best = highest_first(effects, joint.candidates)
    found, opposite = symmetric_gain(joint, best, DRAWS), symmetric_gain(joint, best[::-1], DRAWS)
    assert found.gain.low > 0
    assert opposite.gain.mean == pytest.approx(-found.gain.mean)
    assert found.direct.points == [1, 4, 8, 16, 20, 23, 24]
    assert found.direct.effects[-1] == found.reverse.effects[-1]  # all blocks replaced, in whatever order
    shuffled = [np.random.RandomState(number).permutation(best) for number in range(16)]
    scores = [symmetric_gain(joint, order, DRAWS).gain.mean for order in shuffled]
    assert abs(np.mean(scores)) < 2 * np.std(scores, ddof=1) / np.sqrt(len(scores))


def test_shuffled_maps_score_nothing() -> None:
    joint = footprints(0.4)
    effects = measured_map(joint).reshape(-1)
    scores = []
    for number in range(24):
        shuffled = np.zeros_like(effects)
        shuffled[joint.candidates] = np.random.RandomState(number).permutation(effects[joint.candidates])
        fresh = replace(joint, entropy=(number,))
        scores.append(area_over_random(fresh, shuffled.reshape(joint.experiment.grid.shape)).mean)
    assert abs(np.mean(scores)) < 2 * np.std(scores, ddof=1) / np.sqrt(len(scores))
    assert np.std(scores) > 0


def test_what_an_assessment_says_of_a_known_network() -> None:
    joint = footprints(0.4, metric=PSNR)
    result = assess(joint, measured_map(joint), None, Design(DRAWS, (2, 8), 20, 3))
    assert result.verdict == "faithful"
    assert result.helping + result.hurting == result.candidates == 24
    assert result.hurting == 6
    assert result.deletion is not None and result.insertion is not None and result.hurting_deletion is not None
    assert result.deletion.curves["greedy"].points == [1, 2]
    assert result.without_hurting is not None and result.without_hurting.low > 0
    turned = result.deletion.model_copy(update={"sign": -1})
    assert result.model_copy(update={"deletion": turned}).verdict == "not faithful"
    equal = {**result.deletion.curves, RANDOM: result.deletion.curves[MAP]}
    undecided = result.deletion.model_copy(update={"curves": equal})
    assert result.model_copy(update={"deletion": undecided}).verdict == "not told from random order"
    assert result.hurting_deletion.advantage(RANDOM).low > 0
    assert list(result.hurting_deletion.curves) == [MAP, "nearest", RANDOM, "greedy"]
    assert result.hurting_deletion.advantage("greedy").mean <= 1e-6  # a ceiling: it gains no less than the map
    assert result.insertion.advantage(RANDOM).low > 0
    assert list(result.symmetric) == [MAP, "nearest"]
    assert result.symmetric[MAP].gain.low > 0
    eight = [result.deletion.curves[name].at(8) for name in (MAP, "nearest", RANDOM)]
    assert result.sentence == (
        f"faithful: replacing its 8 best blocks costs {eight[0]:.1f} dB, the 8 nearest {eight[1]:.1f}, "
        f"8 random {eight[2]:.1f}"
    )
    assert result.sum_of_best == pytest.approx(np.sort(measured_map(joint), axis=None)[-8:].sum())
    assert len(draw(result, "a network").axes) == 3


def test_a_map_that_shows_nothing_is_said_to_show_nothing() -> None:
    joint = footprints(0.4)
    result = assess(joint, np.zeros(joint.experiment.grid.shape), None, Design(2, (2,), 2, 0))
    assert result.deletion is None and result.hurting_deletion is None
    assert list(result.symmetric) == ["nearest"]
    assert result.sentence.startswith("nothing helps")
    assert len(draw(result, "a network").axes) == 3


def test_a_network_that_looks_nowhere_else_is_no_failure() -> None:
    image = photograph(SIDE, SIDE)
    joint = make_joint(nn.Conv2d(3, 3, 1).eval(), image, image, kind="incremental")
    result = assess(joint, np.ones(joint.experiment.grid.shape), None, Design(2, (2,), 2, 2))
    assert (result.candidates, result.verdict, result.additivity) == (0, "nothing helps", [])
    assert result.all_replaced.mean == 0


def test_another_order_is_traced_beside_the_map() -> None:
    joint = footprints(0.4)
    result = assess(joint, measured_map(joint), None, Design(2, (2,), 2, 0), {"LAM": -measured_map(joint)})
    assert result.deletion is not None
    assert result.deletion.advantage("LAM").low > 0


@pytest.mark.parametrize("kind", ["dense", "incremental"])
def test_what_must_be_zero_is(kind: str) -> None:
    sanity = check_exactness(tiny_joint(kind))
    assert abs(sanity.own_content) < 1e-5
    assert sanity.out_of_reach is not None and abs(sanity.out_of_reach) < 1e-5
    assert sanity.disjoint is not None and abs(sanity.disjoint) < 1e-5


def test_nearest_blocks_are_those_beside_the_roi() -> None:
    grid = Grid(SIDE, SIDE, BLOCK, 1)
    order = nearest_first(grid, TARGET, np.flatnonzero(~grid.overlaps(TARGET).reshape(-1)))
    assert set(order[:4]) == {7, 11, 13, 17}
    assert set(order[-4:]) == {0, 4, 20, 24}


def test_halves_of_the_draws_agree_as_far_as_the_draws_do() -> None:
    random = np.random.RandomState(0)
    truth = np.linspace(-1, 1, 30).reshape(5, 6, 1)
    everywhere, nowhere = np.ones((5, 6), dtype=bool), np.zeros((5, 6), dtype=bool)

    def halves(values: np.ndarray) -> Reliability | None:
        rounds = {"fine": Draws(values, np.full((5, 6), values.shape[2]))}
        return split_half(certainty.assess(0.0, rounds, 0.01, everywhere, nowhere))

    sure, noise = halves(truth + 1e-9 * random.randn(5, 6, 10)), halves(random.randn(5, 6, 10))
    assert sure is not None and sure.halves == pytest.approx(1) and sure.whole == pytest.approx(1)
    assert noise is not None and abs(noise.halves) < 0.5
    assert halves(truth) is None


def test_two_runs_agree_as_far_as_their_draws_do() -> None:
    random = np.random.RandomState(0)
    truth = np.linspace(-1, 1, 30).reshape(5, 6, 1)
    reached, roi = np.ones((5, 6), dtype=bool), np.zeros((5, 6), dtype=bool)
    reached[0], roi[1] = False, True

    def run(effects: np.ndarray) -> certainty.Certainty:
        draws = Draws(-effects + 0.01 * random.randn(5, 6, 10), np.full((5, 6), 10))
        return certainty.assess(0.0, {"fine": draws}, 0.01, reached, roi)

    same = compare_runs(run(truth), run(truth), {"seed": [0, 1]})
    assert same.correlation is not None and same.correlation > 0.999
    assert (same.blocks, same.same_class, same.opposite) == (18, 1.0, 0)
    turned = compare_runs(run(truth), run(-truth), {"seed": [0, 1]})
    assert turned.correlation is not None and turned.correlation < -0.999
    assert (turned.same_class, turned.opposite) == (0.0, 18)


def test_a_network_that_forgot_has_another_map_and_is_left_as_it_was() -> None:
    scene = make_scene(Degradation("DN"), photograph(32, 40), "a.png")

    def prepare(net: nn.Module) -> JointExperiment:
        return make_joint(net, scene.degraded, scene.ground_truth, ROI_OF_TESTS, degrade=scene.degrade_patches)

    net = tiny()
    before = copy.deepcopy(net.state_dict())
    found = randomize(net, prepare, 2)
    assert list(found.similarity) == ["last layer", "last half", "all layers"]
    assert all(value is not None and value < 0.95 for value in found.similarity.values())
    assert list(found.singly) == ["first", "last"] and found.singly["last"] == found.similarity["last layer"]
    assert found.skip is None  # alone, the skip path carries nothing from outside the ROI
    assert all(torch.equal(before[name], weights) for name, weights in net.state_dict().items())


def test_a_map_made_in_python_can_be_tested() -> None:
    settings = Settings(coarse_num=2, fine_num=4, bank=BANK)
    found = explain(tiny(), photograph(32, 40), ROI_OF_TESTS, Degradation("DN"), settings)
    result = assess_explanation(found, tiny(), settings, design=Design(2, (2,), 2, 0))
    assert result.origin == found.origin
    assert result.helping == ((found.effects > 0) & ~found.effect_map.roi).sum()
    assert result.reliability is not None


def test_a_run_is_tested_once_and_its_table_has_a_row_for_each_map(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"load_previous": 1, "test_num": 2, "subset_sizes": [2, 4], "tol": 0.0}
    config = make_config(tmp_path, settings, **changes)
    compute_effects(prepare(config))
    caplog.set_level("INFO", "CEM_Demo")
    assess_maps(config, Extras(lam=True, randomize=True))
    paths = result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS)
    record = read_record(paths)
    assert record is not None and record.result.sentence in caplog.text
    assert record.result.deletion is not None and "LAM" in record.result.deletion.curves
    assert record.result.randomization is not None
    assert paths.faithfulness_figure.read_bytes().startswith(b"\x89PNG")
    ((panel,),) = read_panels(config, ["photo_1.png"], ["Tiny"])
    assert faithfulness_sentence(paths, panel.map.effect_map.effects) == record.result.sentence
    assert faithfulness_sentence(paths, panel.map.effect_map.effects + 1) is None
    with table_path(config, "Faithfulness", ".csv").open() as file:
        (line,) = csv.DictReader(file)
    assert (line["model"], line["image"], line["verdict"]) == ("Tiny", "photo_1.png", record.result.verdict)
    assert table_path(config, "Faithfulness", ".md").read_text().count("\n") == 3
    with monkeypatch.context() as patch:
        patch.setattr(command, "_assess", lambda pair, net: pytest.fail("tested again"))
        assess_maps(config, Extras(lam=True, randomize=True))
    assess_maps(make_config(tmp_path, settings, **{**changes, "test_num": 3}))
    again = read_record(paths)
    assert again is not None and again.result.deletion is not None
    assert len(again.result.deletion.curves[MAP].effects[0]) == 3
    compute_effects(prepare(config))  # the keys of the test do not make the effects those of another run


def test_a_run_is_compared_with_one_of_another_seed_and_its_own_lam_is_tried(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"test_num": 2, "subset_sizes": [2], "tol": 0.0}
    config = make_config(tmp_path, settings, **changes, maps=["CEM", "LAM"])
    other = make_config(tmp_path, settings, **changes, prefix="SEED1", seed=1)
    for each in (config, other):
        compute_effects(prepare(each))
    with pytest.raises(InputError, match="--against: .* has the same draws; name a run of another seed or patch_path"):
        assess_maps(config, Extras(against=config))
    monkeypatch.setattr("CEM_Demo.attribution.lam", lambda *_: pytest.fail("computed LAM, which the run has"))
    assess_maps(config, Extras(lam=True, against=other))
    record = read_record(result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS))
    assert record is not None and record.result.second_run is not None
    assert record.result.second_run.differs == {"seed": [0, 1]}
    assert record.result.second_run.correlation is not None
    assert "LAM" in record.result.symmetric
    with table_path(config, "Faithfulness", ".csv").open() as file:
        (line,) = csv.DictReader(file)
    assert line["second run differs in"] == "seed"
    elsewhere = {**record.provenance, "degraded_sha256": "another"}
    with pytest.raises(InputError, match="--against: .* is a map of something else: degraded_sha256"):
        read_second_map(other, "Tiny", "photo_1.png", ROI_OF_TESTS, elsewhere, {})
    with pytest.raises(InputError, match="--against: that run has no map of Other on photo_1.png"):
        read_second_map(other, "Other", "photo_1.png", ROI_OF_TESTS, elsewhere, {})


def test_results_of_another_config_or_none_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = make_config(tmp_path, settings)
    with pytest.raises(InputError, match="is missing; run demo_causal_effect_calculation.py first"):
        assess_maps(config)
    compute_effects(prepare(config))
    with pytest.raises(InputError, match="seed was 0, is now 1"):
        assess_maps(make_config(tmp_path, settings, seed=1))
    assert not result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS).faithfulness.exists()
