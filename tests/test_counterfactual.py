"""Counterfactuals: the search on arrays, edits of known networks, and the command on a finished run."""

from __future__ import annotations

import csv
import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from CEM_Demo.config.schema import Config
from CEM_Demo.counterfactual import command, other_networks
from CEM_Demo.counterfactual.adversarial import change_of, find_perturbation
from CEM_Demo.counterfactual.answer import Answer, Question, answer, block_numbers
from CEM_Demo.counterfactual.command import find_counterfactuals
from CEM_Demo.counterfactual.edits import best_draw_of_each_block, same_draw_everywhere
from CEM_Demo.counterfactual.files import AnswerFiles, answers_in, name_of
from CEM_Demo.counterfactual.record import Counterfactual, OtherNetwork, read_record
from CEM_Demo.counterfactual.search import Goal, search
from CEM_Demo.device import cpu_threads
from CEM_Demo.errors import InputError
from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.faithfulness.finished import finished_maps
from CEM_Demo.images import read_image
from CEM_Demo.inference.gradient import cone_error_gradient, error_gradient
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.method.edited_blocks import BlocksOfImage
from CEM_Demo.ModelZoo import registry
from CEM_Demo.report.panels import Map
from CEM_Demo.results.paths import result_paths, table_path
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks import Degradation, make_scene
from conftest import ROI_OF_TESTS, Tiny, make_config, photograph
from killing import assert_whole, killed_at, results
from test_crash_safety import folder_in_memory
from test_faithfulness import BLOCK, DRAWS, SIDE, TARGET, footprints, make_joint, tiny_joint
from test_group_lasso import least_repair
from test_paired_images import DEGRADE, blurred

Sets = Sequence[np.ndarray]


def additive(shares: np.ndarray) -> Callable[[Sets], np.ndarray]:
    """A network in whose squared error the blocks add: each adds its share of the untouched error."""
    return lambda sets: np.array([-10 * np.log10(max(1 + shares[blocks].sum(), 1e-9)) for blocks in sets])


def fewest(measure: Callable[[Sets], np.ndarray], count: int, goal: Goal) -> int | None:
    for size in range(1, count + 1):
        sets = [np.array(some) for some in combinations(range(count), size)]
        if any(goal.is_met(change) for change in measure(sets)):
            return size
    return None


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("change", [-3.0, -1.0, 0.5, 1.5])
def test_the_search_finds_as_few_blocks_as_there_are_where_squared_errors_add(seed: int, change: float) -> None:
    shares = np.random.RandomState(seed).uniform(-0.07, 0.3, 10)
    goal = Goal(change, 10)
    found = search(additive(shares), np.arange(10), goal)
    smallest = fewest(additive(shares), 10, goal)
    assert (len(found.blocks) if found.is_met else None) == smallest
    assert found.is_met == (smallest is not None)
    if len(found.blocks):
        assert found.changes[-1] == additive(shares)([found.blocks])[0]


def test_no_block_of_a_found_set_can_be_left_out() -> None:
    random = np.random.RandomState(0)
    shares, joint = random.uniform(0, 0.3, 12), np.triu(random.uniform(-0.1, 0.1, (12, 12)), 1)

    def interacting(sets: Sets) -> np.ndarray:
        sums = [shares[blocks].sum() + joint[np.ix_(blocks, blocks)].sum() for blocks in map(np.sort, sets)]
        return -10 * np.log10(1 + np.maximum(sums, -0.99))

    for change in (-0.5, -1.0, -2.0, -3.0):
        goal = Goal(change, 12)
        found = search(interacting, np.arange(12), goal)
        assert found.is_met
        without = [np.delete(found.blocks, number) for number in range(len(found.blocks))]
        assert not any(map(goal.is_met, interacting([some for some in without if len(some)])))


def test_a_pair_is_found_that_is_nothing_alone() -> None:
    def pair_of_two(sets: Sets) -> np.ndarray:
        sums = [0.1 * len(blocks) + 0.5 * ({4, 5} <= set(blocks.tolist())) for blocks in sets]
        return -10 * np.log10(1 + np.array(sums))

    found = search(pair_of_two, np.arange(6), Goal(-1.0, 6))
    assert sorted(found.blocks) == [4, 5]


def weak_pair(sets: Sets) -> np.ndarray:
    """Four blocks that do something alone, and two that do nearly nothing but reach far together."""
    shares = np.array([0.07, 0.06, 0.05, 0.05, 0.01, 0.01])
    sums = [shares[blocks].sum() + 0.5 * ({4, 5} <= set(blocks.tolist())) for blocks in sets]
    return -10 * np.log10(1 + np.array(sums))


@pytest.mark.parametrize("most_blocks", [64, 2])
def test_a_pair_is_found_where_the_greedy_search_takes_more_blocks_or_may_not(most_blocks: int) -> None:
    found = search(weak_pair, np.arange(6), Goal(-10 * np.log10(1.2), most_blocks))
    assert found.is_met and sorted(found.blocks) == [4, 5]


def test_the_farthest_pair_is_given_where_no_set_reaches_the_goal_and_a_pair_only_where_two_may_be_edited() -> None:
    far = search(weak_pair, np.arange(6), Goal(-20.0, 2))
    assert not far.is_met and sorted(far.blocks) == [4, 5]
    assert search(weak_pair, np.arange(6), Goal(-20.0, 1)).blocks.tolist() == [0]
    assert search(weak_pair, np.arange(1), Goal(-20.0, 2)).blocks.tolist() == [0]


def test_pairs_take_at_most_190_sets() -> None:
    measured: list[int] = []
    shares = np.linspace(0.01, 0.02, 30)

    def counting(sets: Sets) -> np.ndarray:
        measured.extend(map(len, sets))
        return additive(shares)(sets)

    assert len(search(counting, np.arange(30), Goal(-0.5, 64)).blocks) > 2
    # The few others are of the second step, and of what three blocks are without one.
    assert 190 <= measured.count(2) < 200


def test_what_cannot_be_reached_is_said_with_the_farthest_there_is() -> None:
    measure = additive(np.array([0.1, 0.2, -0.1]))
    found = search(measure, np.arange(3), Goal(-6.0, 3))
    assert not found.is_met and sorted(found.blocks) == [0, 1]
    one = search(measure, np.arange(3), Goal(-6.0, 1))
    assert not one.is_met and one.blocks.tolist() == [1]
    none = search(measure, np.arange(0), Goal(-6.0, 3))
    assert not none.is_met and not len(none.blocks)


def test_blocks_of_a_network_that_adds_them_are_taken_by_what_they_add() -> None:
    joint = footprints(0.4)
    edit = same_draw_everywhere(joint, range(DRAWS))
    alone = edit.mean_changes([joint.candidates[[number]] for number in range(len(joint.candidates))])
    found = search(edit.mean_changes, joint.candidates, Goal(-1.0, 24))
    assert found.is_met
    best = joint.candidates[np.argsort(alone)][: len(found.blocks)]
    assert set(found.blocks) == set(best)


def test_an_edit_that_changes_nothing_is_no_counterfactual() -> None:
    joint = tiny_joint("incremental")
    own = BlocksOfImage(joint.experiment.scene.degraded, joint.experiment.grid.block)
    untouched = replace(joint, experiment=replace(joint.experiment, intervention=own))
    edit = same_draw_everywhere(untouched, [0])
    assert not edit.changes([joint.candidates[:3], joint.candidates[[5]]]).any()
    assert not len(search(edit.mean_changes, joint.candidates, Goal(-0.1, 8)).blocks)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_witness_is_at_least_as_strong_as_any_one_draw(sign: int) -> None:
    joint = tiny_joint("incremental")
    blocks = joint.candidates[:6]
    witness = best_draw_of_each_block(joint, blocks, range(DRAWS), sign).changes([blocks[[i]] for i in range(6)])[:, 0]
    every = same_draw_everywhere(joint, range(DRAWS)).changes([blocks[[i]] for i in range(6)])
    np.testing.assert_allclose(sign * witness, (sign * every).max(axis=1), atol=0.002)


class Copies(nn.Module):
    """Four blocks add their first rows, each times a gain of its own, to two rows each of the ROI in the middle."""

    gains = (0.9, 0.7, 0.5, 0.3)

    def forward(self, image: Tensor) -> Tensor:
        output = torch.full_like(image, 0.2)
        for block, gain in enumerate(self.gains):
            top, rows = TARGET.top + 2 * block, image[..., :2, BLOCK * block : BLOCK * (block + 1)]
            output[..., top : top + 2, TARGET.left : TARGET.right] += gain * rows
        return output


def copying(strength: int) -> tuple[JointExperiment, np.ndarray]:
    """An input that is off by up to ``strength`` levels; also the norms of the errors that each block makes."""
    random = np.random.RandomState(2)
    ideal = random.randint(80, 140, (SIDE, SIDE, 3))
    degraded = (ideal + random.randint(-strength, strength + 1, ideal.shape)).astype(np.uint8)

    def restored(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return Copies()(torch.from_numpy(image).permute(2, 0, 1)[None].float())[0].permute(1, 2, 0).numpy()

    truth = (restored(ideal) - 0.2 + 0.2 * 255).round().astype(np.uint8)
    errors = (restored(degraded) - 0.2 + 0.2 * 255 - truth)[TARGET.window]
    return make_joint(Copies(), degraded, truth), np.linalg.norm(errors.reshape(4, -1), axis=1)


def test_a_perturbation_of_a_network_that_copies_blocks_is_as_small_as_it_can_be() -> None:
    joint, norms = copying(40)
    found = find_perturbation(joint, Goal(2.0, 24), 60)
    least = least_repair(np.array(Copies.gains), norms, 10**-0.2)
    assert found.change >= 2.0
    assert found.norms.sum() == pytest.approx(least, rel=0.03)
    assert set(found.blocks) <= {0, 1, 2, 3}
    moved = found.edited.astype(float) - joint.experiment.scene.degraded
    by_hand = [np.linalg.norm(moved[:BLOCK, BLOCK * block : BLOCK * (block + 1)]) for block in found.blocks]
    np.testing.assert_allclose(found.norms, by_hand)
    assert (np.diff(found.norms) <= 0).all()


def test_the_farthest_perturbation_is_given_where_none_is_far_enough() -> None:
    joint, _ = copying(40)
    found = find_perturbation(joint, Goal(20.0, 24), 6)
    moved = found.edited.astype(int) - joint.experiment.scene.degraded
    copied = np.abs(moved[:2, : 4 * BLOCK])
    assert 0 < found.change < 20 and found.change == change_of(joint, found.edited)
    assert np.abs(moved).max() == 6 and (copied >= 5).mean() > 0.7
    assert len(find_perturbation(joint, Goal(20.0, 2), 6).blocks) == 2


def test_a_perturbation_keeps_to_its_blocks_and_levels_and_does_what_it_says() -> None:
    joint = tiny_joint("incremental")
    degraded = joint.experiment.scene.degraded
    found = find_perturbation(joint, Goal(-0.01, 12), 6)
    moved = np.abs(found.edited.astype(int) - degraded)
    assert 0 < moved.max() <= 6
    shape = joint.experiment.grid.shape
    changed = moved.any(axis=2).reshape(shape[0], 8, shape[1], 8).any(axis=(1, 3)).reshape(-1)
    assert set(np.flatnonzero(changed)) == set(found.blocks) <= set(joint.candidates)
    dense = tiny_joint("dense")
    assert change_of(joint, found.edited) == pytest.approx(change_of(dense, found.edited), abs=0.002)
    assert found.change == change_of(joint, found.edited) <= -0.01
    assert change_of(joint, degraded) == 0


def test_the_gradient_of_the_cone_is_that_of_the_whole_image() -> None:
    joint = tiny_joint("incremental")
    scene, device = joint.experiment.scene, joint.experiment.device
    moved = scene.degraded + np.random.RandomState(0).uniform(0, 1, scene.degraded.shape).astype(np.float32)
    (roi,) = joint.experiment.group.rois
    cone = cone_error_gradient(joint.experiment.group.inference, moved, scene.ground_truth, roi, device)
    whole = error_gradient(joint.experiment.network, moved, scene.ground_truth, roi, device)
    assert cone is not None
    assert cone.squared_error == pytest.approx(whole.squared_error, rel=1e-5)
    np.testing.assert_allclose(cone.gradient, whole.gradient, atol=1e-5)
    dense = tiny_joint("dense").experiment.group.inference
    assert cone_error_gradient(dense, moved, scene.ground_truth, roi, device) is None


def files_of(config: Config, model: str = "Tiny") -> AnswerFiles:
    return AnswerFiles(result_paths(config, model, "photo_1.png", ROI_OF_TESTS).pair_folder, name_of(config))


def changed_blocks(config: Config, files: AnswerFiles) -> set[tuple[int, int]]:
    """The rows and columns of the blocks in which the edited input is not the degraded one."""
    degraded = result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS).degraded
    changed = (read_image(files.edited_input) != read_image(degraded)).any(axis=2)
    return {(int(row) // 8, int(column) // 8) for row, column in np.argwhere(changed)}


CHANGES = {"load_previous": 1, "test_num": 3, "tol": 0.0, "coarse_num": 2, "fine_num": 4, "change_db": -0.005}


@pytest.fixture
def finished(tmp_path: Path, settings: dict[str, Any]) -> Callable[..., Any]:
    """Compute the effects of the tiny run, and give a function that makes its config with other keys."""
    compute_effects(prepare(make_config(tmp_path, settings, **CHANGES)))
    return lambda **changes: make_config(tmp_path, settings, **{**CHANGES, **changes})


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"change_db": 0.005},
        {"quantifier": "witness", "change_db": -0.04},
        {"edit": "clean", "change_db": 0.002},
        {"edit": "continuous", "change_db": -0.01},
        {"change_db": -60},
    ],
    ids=["mean break", "mean repair", "witness", "clean", "continuous", "out of reach"],
)
def test_a_counterfactual_is_found_written_and_replayed(
    finished: Callable[..., Any],
    asked: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "CEM_Demo")
    config = finished(**asked)
    find_counterfactuals(config)
    files = files_of(config)
    record = read_record(files)
    assert record is not None and record.result.sentence in caplog.text
    assert record.result.is_met == (asked.get("change_db") != -60)
    assert files.figure.read_bytes().startswith(b"\x89PNG")
    blocks = {(block.row, block.column) for block in record.result.blocks}
    assert changed_blocks(config, files) == blocks
    with table_path(config, "Counterfactual", ".csv").open() as file:
        (line,) = csv.DictReader(file)
    assert line["blocks"] == str(len(blocks)) and line["reached"] == ("yes" if record.result.is_met else "no")
    assert (line["after each block, and by it (dB)"] == "-") == (config.edit == "continuous")
    with monkeypatch.context() as patch:
        patch.setattr(command, "answer", lambda *_: pytest.fail("searched again"))
        find_counterfactuals(config)
        find_counterfactuals(config, replay=True)
    assert "again" in caplog.text


@pytest.mark.parametrize(("task", "change"), [("DN", 0.3), ("DR", -0.3), ("PAIR", -0.3)])
def test_where_the_map_shows_no_block_the_answer_says_so_and_the_input_stays(
    tmp_path: Path, settings: dict[str, Any], task: str, change: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "CEM_Demo")
    changes: dict[str, Any] = {**CHANGES, "task": task, "tol": 50.0, "change_db": change}
    if task == "PAIR":
        (tmp_path / "inputs").mkdir()
        Image.fromarray(blurred(photograph(32, 40))).save(tmp_path / "inputs" / "photo_1.png")
        (tmp_path / "degrade.py").write_text(DEGRADE)
        changes |= {"input_path": str(tmp_path / "inputs"), "degradation": f"{tmp_path / 'degrade.py'}:darken"}
    config = make_config(tmp_path, settings, **changes)
    compute_effects(prepare(config))
    find_counterfactuals(config)
    find_counterfactuals(config, replay=True)
    assert f"{change:+g} dB is not reached; no block outside the ROI changes it in that direction" in caplog.text
    assert not changed_blocks(config, files_of(config))
    with table_path(config, "Counterfactual", ".csv").open() as file:
        (line,) = csv.DictReader(file)
    assert (line["reached"], line["blocks"], line["of"]) == ("no", "0", "0")


class Pointwise(nn.Module):
    """Nothing outside the ROI can change it."""

    def forward(self, image: Tensor) -> Tensor:
        return 0.9 * image


@pytest.mark.parametrize("edit", ["natural", "witness", "clean", "continuous"])
def test_a_network_that_sees_no_neighbors_has_no_counterfactual(edit: str) -> None:
    scene = make_scene(Degradation("DN"), photograph(SIDE, SIDE), "a.png")
    joint = make_joint(Pointwise(), scene.degraded, scene.ground_truth, kind="incremental")
    assert not len(joint.candidates)
    if edit == "continuous":
        assert not len(find_perturbation(joint, Goal(-0.1, 8), 8).blocks)
        return
    numbers = [0] if edit == "clean" else range(DRAWS)
    made = same_draw_everywhere(joint, numbers)
    if edit == "witness":
        made = best_draw_of_each_block(joint, joint.candidates, numbers, 1)
    found = search(made.mean_changes, joint.candidates, Goal(-0.1, 8))
    assert not len(found.blocks) and not found.is_met
    np.testing.assert_array_equal(made.input_with(found.blocks), scene.degraded)


def test_blocks_that_the_map_certifies_come_first_and_others_only_where_these_are_not_enough(
    finished: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = finished_maps(prepare(finished()))
    codes = np.full(found.panel.map.codes.shape, BlockClass.UNDECIDED, np.int8)
    monkeypatch.setattr(Map, "codes", codes)
    joint = Question(found).joint_experiment(found.model.load())
    (shown,) = Question(found).pools(joint)
    effects = found.panel.map.values.reshape(-1)[shown]
    assert (effects > 0).all() and (np.diff(effects) <= 0).all()

    weak = shown[-3:]
    codes.reshape(-1)[weak] = BlockClass.HELPS
    assert [pool.tolist() for pool in Question(found).pools(joint)] == [weak.tolist(), shown.tolist()]
    reached = same_draw_everywhere(joint, range(CHANGES["test_num"])).mean_changes([weak])[0]
    for change, is_enough in ((0.9 * reached, True), (4 * reached, False)):
        (found,) = finished_maps(prepare(finished(change_db=float(change))))
        result = answer(Question(found), joint).result
        taken = set(block_numbers(joint, result.blocks))
        assert (taken <= set(weak)) == is_enough
        assert result.certified == len(taken & set(weak))
        assert result.candidates == (3 if is_enough else len(shown))


def test_the_blocks_are_listed_in_order_with_the_change_after_each_and_by_it(finished: Callable[..., Any]) -> None:
    config = finished(change_db=-0.02)
    find_counterfactuals(config)
    record = read_record(files_of(config))
    assert record is not None
    blocks = record.result.blocks
    with table_path(config, "Counterfactual", ".csv").open() as file:
        (line,) = csv.DictReader(file)
    after, by = np.array([(block.change, block.marginal) for block in blocks], float).T
    assert len(blocks) > 1 and after[-1] == record.result.change
    np.testing.assert_allclose(np.cumsum(by), after)
    steps = ", ".join(f"{one:+.2f} ({other:+.2f})" for one, other in zip(after, by, strict=True))
    assert line["after each block, and by it (dB)"] == steps


def test_a_mean_is_reached_where_draws_that_chose_nothing_reach_it(finished: Callable[..., Any]) -> None:
    (found,) = finished_maps(prepare(finished()))
    joint = Question(found).joint_experiment(found.model.load())
    verdicts = []
    for change in (0.005, -0.015, 0.015):
        question = Question(replace(found, run=replace(found.run, config=finished(change_db=change))))
        result = answer(question, joint).result
        assert result.fresh is not None and result.is_met == question.goal.is_met(result.fresh.mean)
        both = f": {result.fresh} dB over fresh draws; the choosing draws gave {result.change:+.2f} dB"
        assert result.sentence.endswith(both)
        assert result.is_met != result.sentence.startswith(f"{change:+g} dB is not reached; the search ends with ")
        verdicts.append((question.goal.is_met(result.change), result.is_met))
    assert verdicts == [(True, True), (True, False), (False, True)]


def test_only_the_mean_over_patches_speaks_of_places(finished: Callable[..., Any]) -> None:
    config = finished(quantifier="witness", change_db=-0.04)
    find_counterfactuals(config)
    record = read_record(files_of(config))
    assert record is not None and record.result.sentence.startswith("one image, in which")
    assert record.result.robustness is not None and record.result.robustness <= 1


def test_the_answers_to_several_questions_stay_side_by_side(
    finished: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "CEM_Demo")
    asked = [{}, {"change_db": 0.005}, {"change_db": 0.005, "max_blocks": 1}]
    configs = [finished(**changes) for changes in asked]
    find_counterfactuals(configs[0])
    folder = files_of(configs[0]).folder
    first = results(folder)
    for config in configs[1:]:
        find_counterfactuals(config)
    assert first.items() <= results(folder).items()
    names = [f"natural-mean_{some}_draws3" for some in ("+0.005dB_max1", "+0.005dB_max64", "-0.005dB_max64")]
    assert [files.question for files in answers_in(folder)] == names
    leave_answer_from_elsewhere(finished(change_db=0.5), configs[0])
    for config in configs:
        find_counterfactuals(config, replay=True)
    with table_path(configs[0], "Counterfactual", ".csv").open() as file:
        lines = list(csv.DictReader(file))
    # That from elsewhere is none of this map.
    assert [line["question"] for line in lines] == names
    assert caplog.text.count("dB again") == len(configs)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ({"change_db": -1}, "natural-mean_-1dB_max64_draws3"),
        ({"quantifier": "witness", "change_db": 1e-7}, "natural-witness_+1e-07dB_max64_draws3"),
        ({"edit": "clean", "max_blocks": 3, "test_num": 5}, "clean_-0.005dB_max3"),
        ({"edit": "continuous", "epsilon": 4, "test_num": 5}, "continuous_-0.005dB_max64_levels4"),
    ],
)
def test_the_name_of_a_question_says_what_decides_its_answer(
    tmp_path: Path, settings: dict[str, Any], question: dict[str, Any], name: str
) -> None:
    assert name_of(make_config(tmp_path, settings, **{**CHANGES, **question})) == name


def test_a_replay_needs_a_record_and_the_same_number(finished: Callable[..., Any]) -> None:
    config = finished()
    with pytest.raises(InputError, match="run the command without --replay first"):
        find_counterfactuals(config, replay=True)
    find_counterfactuals(config)
    record = read_record(files_of(config))
    assert record is not None
    forged = record.model_copy(update={"result": record.result.model_copy(update={"change": -1.0})})
    files_of(config).record.write_bytes(forged.to_bytes())
    with pytest.raises(InputError, match="the same edit gives"):
        find_counterfactuals(config, replay=True)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"change_db": 0}, "change_db: 0 dB asks for no change"),
        ({"task": "SR", "edit": "clean", "mask_block_size": 8}, "edit: clean needs a degraded input"),
        ({"quantifier": "some"}, "quantifier"),
        ({"epsilon": 300}, "epsilon"),
    ],
)
def test_impossible_questions_are_refused(
    tmp_path: Path, settings: dict[str, Any], changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        make_config(tmp_path, settings, **changes)


# Other networks


class Memory:
    """Answers questions, keeps the answers for children to give again, and notes what was asked."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, float], Answer] = {}
        self.joints: dict[str, JointExperiment] = {}
        self.asked: list[str] = []

    def joint(self, question: Question, net: nn.Module) -> JointExperiment:
        if question.found.title not in self.joints:
            self.joints[question.found.title] = question.found.joint_experiment(net, 2 * question.config.test_num)
        return self.joints[question.found.title]

    def answer(self, question: Question, joint: JointExperiment) -> Answer:
        key = question.found.title, question.config.change_db
        self.asked.append(question.found.title)
        if key not in self.answers:
            self.answers[key] = answer(question, joint)
        return self.answers[key]


@pytest.fixture
def of_three(tmp_path: Path, settings: dict[str, Any]) -> Callable[..., Config]:
    """Compute the effects of three networks, the second of which is the first; give a maker of configs."""
    torch.manual_seed(7)
    torch.save(Tiny().state_dict(), tmp_path / "models" / "Another.pth")
    weights = {"Base": registry.Checkpoint("Another.pth")}
    registry.register([registry.Entry("Another", ("DN",), Tiny, "of the tests", weights, scale=1, reach=2)])
    changes = {**CHANGES, "Modellist": ["Tiny", "Tiny@Base", "Another"]}
    compute_effects(prepare(make_config(tmp_path, settings, **changes)), progress=False)
    return lambda **asked: make_config(tmp_path, settings, **{**changes, **asked})


def others_of(config: Config, model: str) -> tuple[Counterfactual, dict[str, OtherNetwork]]:
    record = read_record(files_of(config, model))
    assert record is not None
    return record.result, {other.model: other for other in record.result.others}


def restored_whole(path: Path, config: Config) -> float:
    """The PSNR of the ROI that the network ``Another`` restores of an image, computed on the whole image."""
    net = prepare(config).models["Another"].load().eval()
    with torch.inference_mode():
        output = net(torch.from_numpy(read_image(path)).permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0)
    paths = result_paths(config, "Another", "photo_1.png", ROI_OF_TESTS)
    restored = (output.clamp(0, 1).numpy() * 255).round()[ROI_OF_TESTS.window]
    error = restored - read_image(paths.ground_truth)[ROI_OF_TESTS.window].astype(float)
    return float(10 * np.log10(255**2 / np.square(error).mean()))


def test_the_same_edit_is_measured_on_the_other_networks_of_the_run(
    of_three: Callable[..., Config], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "CEM_Demo")
    config = of_three(change_db=-0.015)
    find_counterfactuals(config)
    result, others = others_of(config, "Tiny")
    assert list(others) == ["Tiny@Base", "Another"]
    assert config.change_db < others["Tiny@Base"].change and result.change <= config.change_db
    assert result.is_met is others["Tiny@Base"].is_met is False
    assert others["Tiny@Base"].fresh == result.fresh and others["Tiny@Base"].origin == result.origin
    for other in others.values():
        assert other.fresh and other.change == other.fresh.mean
        assert other.is_met == (other.change <= config.change_db)
        assert f"Tiny on photo_1.png: the same edit on {other} dB" in caplog.text
    with table_path(config, "Counterfactual", ".csv").open() as file:
        line = next(csv.DictReader(file))
    assert line["other networks (dB)"] == "; ".join(map(str, others.values()))
    assert line["others that reach it"] == f"{sum(other.is_met for other in others.values())} of 2"

    witness = of_three(quantifier="witness", change_db=-0.04)
    find_counterfactuals(witness)
    _, others = others_of(witness, "Tiny")
    paths = result_paths(witness, "Tiny", "photo_1.png", ROI_OF_TESTS)
    edited = files_of(witness).edited_input
    before, after = (restored_whole(path, witness) for path in (paths.degraded, edited))
    assert others["Another"].fresh is None and abs(after - before) > 0.002
    assert others["Another"].change == pytest.approx(after - before, abs=0.002)


def test_a_network_that_joins_a_run_is_measured_without_searching_again(
    of_three: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    find_counterfactuals(of_three(Modellist=["Another"]))
    assert others_of(of_three(), "Another")[1] == {}
    memory = Memory()
    monkeypatch.setattr(command, "answer", memory.answer)
    find_counterfactuals(of_three(Modellist=["Tiny", "Another"]))
    assert memory.asked == ["Tiny on photo_1.png"]
    assert list(others_of(of_three(), "Another")[1]) == ["Tiny"]
    monkeypatch.setattr(other_networks, "_measure", lambda *_: pytest.fail("measured again"))
    find_counterfactuals(of_three(Modellist=["Another", "Tiny"]))


# Kills


def small_figure(_: Any, result: Counterfactual, *others: Any) -> Figure:
    figure = Figure(figsize=(1, 1))
    figure.text(0, 0, result.sentence)
    return figure


@pytest.fixture
def output() -> Iterator[Path]:
    """Give a folder in memory, where syncing takes no time; forked children have one thread, so we must, too."""
    with cpu_threads(1):
        yield from folder_in_memory()


ELSEWHERE = {"device": "of another computer"}


def leave_answer_from_elsewhere(config: Config, other: Config) -> None:
    """Put the answer to another question in the place of a config's, as if it had been found on another device."""
    record = read_record(files_of(other))
    assert record is not None
    there, here = files_of(config), files_of(other)
    there.record.write_bytes(record.model_copy(update={"provenance": ELSEWHERE}).to_bytes())
    shutil.copy(here.edited_input, there.edited_input)
    shutil.copy(here.figure, there.figure)


def is_answered(config: Config, model: str) -> bool:
    """Whether a model's record answers the config; it must vouch for the pictures that lie beside it."""
    files = files_of(config, model)
    record = read_record(files)
    if record is None:
        return False
    assert changed_blocks(config, files) == {(block.row, block.column) for block in record.result.blocks}
    assert files.figure.is_file()
    return record.provenance != ELSEWHERE


def test_a_search_killed_at_any_change_of_the_disk_ends_with_the_same_bytes(
    tmp_path: Path, settings: dict[str, Any], output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {**CHANGES, "Modellist": ["Tiny", "Tiny@Base"], "output_dir": str(output)}
    old, new = (make_config(tmp_path, settings, **{**changes, "change_db": change}) for change in (-0.005, 0.005))
    compute_effects(prepare(old))
    memory = Memory()
    monkeypatch.setattr(Question, "joint_experiment", lambda question, net: memory.joint(question, net))
    monkeypatch.setattr(command, "answer", memory.answer)
    monkeypatch.setattr(command, "draw", small_figure)
    find_counterfactuals(old)
    leave_answer_from_elsewhere(new, old)
    shutil.copytree(output, tmp_path / "before")
    find_counterfactuals(new)
    expected = results(output)
    # A file takes nine changes, so that steps of seven meet all of them.
    for number in itertools.count(1, 7):
        shutil.rmtree(output)
        shutil.copytree(tmp_path / "before", output)
        if not killed_at(number, lambda: find_counterfactuals(new)):
            break
        assert_whole(output)
        left = [model for model in new.models if not is_answered(new, model)]
        memory.asked.clear()
        find_counterfactuals(new)
        assert memory.asked == [f"{model} on photo_1.png" for model in left]
        assert results(output) == expected, number
    assert number > 80
    files_of(new).figure.unlink()
    memory.asked.clear()
    find_counterfactuals(new)
    assert memory.asked == ["Tiny on photo_1.png"] and results(output) == expected
