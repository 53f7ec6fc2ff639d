"""Adaptive draws in a run: interruptions do not change the allocation, and nothing that matters is lost."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from CEM_Demo import ROI, Degradation, Settings, explain
from CEM_Demo.explain import explain_rois
from CEM_Demo.geometry import grid_of
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.method.intervention import JointPatches, NaturalPatches
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.method.plan import Interventions
from CEM_Demo.method.screening import audit_groups
from CEM_Demo.method.stratified_draws import color_order, make_sequence
from CEM_Demo.report.report import make_report
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.reading import read_results
from CEM_Demo.run import adaptive, conductor, ledger
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import inferences_for, prepare
from CEM_Demo.tasks import make_scene
from conftest import ROI_OF_TESTS, Tiny, make_config, photograph, run_main, write_config
from killing import assert_whole, killed_at, results

BANK = PatchBank(np.random.RandomState(2).randint(0, 256, (600, 8, 8, 3)).astype(np.uint8))
ADAPTIVE = Settings(sampling="adaptive", bank=BANK, device="cpu")


def tiny(scale: float = 1.0, kind: type[Tiny] = Tiny) -> Tiny:
    torch.manual_seed(0)
    network = kind().eval()
    with torch.no_grad():
        network.last.weight.mul_(scale)
    return network


@pytest.mark.parametrize("changes", [{"inference": "dense"}, {"inference": "incremental"}, {"batch_size": 3}])
def test_engine_and_batch_size_change_no_draw(changes: dict[str, Any]) -> None:
    image = photograph(40, 48)
    expected = explain(tiny(), image, ROI_OF_TESTS, Degradation("DN"), ADAPTIVE)
    settings = ADAPTIVE.model_copy(update=changes)
    found = explain(tiny(), image, ROI_OF_TESTS, Degradation("DN"), settings)
    # Dense inference does not know which blocks are out of reach; the screen drops them.
    agreeing = found.measurements.rounds["adaptive"].counts == expected.measurements.rounds["adaptive"].counts
    assert agreeing.mean() > 0.95
    np.testing.assert_allclose(found.effects, expected.effects, atol=2e-3)


def test_blocks_that_cannot_matter_get_no_draws_and_the_others_as_many_as_they_need() -> None:
    found = explain(tiny(), photograph(64, 64), ROI_OF_TESTS, Degradation("DN"), ADAPTIVE)
    counts = found.measurements.rounds["adaptive"].counts
    assert not counts[found.effect_map.roi].any()
    assert not counts[~found.reach].any()
    tried = counts[counts > 0]
    assert tried.min() >= 4 and tried.max() > tried.min()
    published = explain(tiny(), photograph(64, 64), ROI_OF_TESTS, Degradation("DN"), Settings(bank=BANK, device="cpu"))
    outside = ~found.effect_map.roi
    np.testing.assert_allclose(found.effects[outside], published.effects[outside], atol=0.05)


def test_the_blocks_of_the_roi_are_drawn_on_request() -> None:
    settings = ADAPTIVE.model_copy(update={"roi_blocks": 1})
    found = explain(tiny(), photograph(40, 48), ROI_OF_TESTS, Degradation("DN"), settings)
    assert found.measurements.rounds["adaptive"].counts[found.effect_map.roi].all()


class Stepped(Tiny):
    """Its output follows its input in steps, so that its gradient is zero though its input matters."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x * 8).round() / 8)


class Opaque(Tiny):
    """It has no gradient at all."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(x)


def test_the_audit_revives_what_a_wrong_gradient_let_go() -> None:
    found = explain(tiny(5.0, Stepped), photograph(40, 48), ROI_OF_TESTS, Degradation("DN"), ADAPTIVE)
    rounds = found.measurements.rounds
    assert rounds["audit"].counts.any() and not (rounds["screen"].values > 1e-3).any()
    assert (found.effects[~found.effect_map.roi] != 0).any()


def test_without_a_gradient_every_block_is_drawn_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    found = explain(tiny(1.0, Opaque), photograph(40, 48), ROI_OF_TESTS, Degradation("DN"), ADAPTIVE)
    assert "no block is screened out" in caplog.text
    candidates = found.reach & ~found.effect_map.roi
    assert (found.measurements.rounds["adaptive"].counts > 0).sum() == candidates.sum()


@pytest.mark.parametrize("task", ["SR", "DN", "DR"])
def test_joint_patches_are_those_of_the_blocks_one_by_one(task: str) -> None:
    scale = 2 if task == "SR" else 1
    scene = make_scene(Degradation(task, scale), photograph(44, 60), "photo_1.png")
    grid = grid_of(scene.degraded, 8 // scale, scale)
    single = NaturalPatches(BANK, grid.block, scene.degrade_patches)
    source = make_sequence(0, "photo_1.png", color_order(BANK.mean_colors))
    groups = audit_groups(np.random.RandomState(0).rand(*grid.shape) < 0.6)
    network, roi = tiny(), ROI.square(8, 8, 16)
    engine = DenseInference(network if scale == 1 else torch.nn.Upsample(scale_factor=2), scene.degraded, roi, _cpu())
    anchors = [np.argwhere(groups == group)[0] for group in range(groups.max() + 1)]
    rows, columns = np.array(anchors).T
    nothing = np.zeros(len(rows), np.int64)
    batch = Interventions(rows, columns, nothing, nothing, nothing.astype(np.uint64))
    pasted = JointPatches(single, source, groups, scene.degraded)(batch)
    found = engine.restore(pasted.corners, pasted.pixels)
    for number in range(len(rows)):
        image = scene.degraded.copy()
        for row, column in np.argwhere(groups == number):
            block = np.array([row * grid.shape[1] + column])
            patches, seeds = source(block, np.zeros(1, np.int64))
            one = Interventions(np.array([row]), np.array([column]), np.zeros(1, np.int64), patches, seeds)
            patch = single(one).pixels[0]
            top, left = row * grid.block, column * grid.block
            place = image[top : top + grid.block, left : left + grid.block]
            place[:] = patch[: place.shape[0], : place.shape[1]]
        with torch.inference_mode():
            expected = engine.net(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0]
        torch.testing.assert_close(found[number], expected[(..., *roi.window)])


def _cpu() -> torch.device:
    return torch.device("cpu")


def test_a_run_killed_at_any_change_of_the_disk_ends_with_the_same_bytes(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "SECONDS_BETWEEN_SAVES", 0.0)
    torch.set_num_threads(1)
    output = tmp_path / "out"
    run = prepare(make_config(tmp_path, settings, sampling="adaptive", load_previous=1, batch_size=40))
    inferences = inferences_for(run, run.models["Tiny"].load(), run.posed_images[0], run.posed_images[0].rois)
    monkeypatch.setattr(conductor, "inferences_for", lambda *_: inferences)
    scene, network = run.posed_images[0].scene, run.models["Tiny"].load()
    found = adaptive.error_gradient(network, scene.degraded, scene.ground_truth, ROI_OF_TESTS, run.device)
    # A child that is forked from a process that has used autograd cannot use it.
    monkeypatch.setattr(adaptive, "error_gradient", lambda *_: found)
    compute_effects(run)
    expected = results(output)
    for number in range(1, 400, 7):
        shutil.rmtree(output)
        if not killed_at(number, lambda: compute_effects(run)):
            break
        assert_whole(output)
        compute_effects(run)
        assert results(output) == expected, number
    assert number > 60


def test_rois_that_share_their_batches_are_resumed_in_the_same_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    rois = [ROI(8, 8, 16, 16), ROI(20, 16, 12, 8)]
    settings = ADAPTIVE.model_copy(update={"inference": "dense", "batch_size": 16})
    both = explain_rois(tiny(), photograph(40, 48), rois, Degradation("DN"), settings)
    for roi, found in zip(rois, both, strict=True):
        alone = explain(tiny(), photograph(40, 48), roi, Degradation("DN"), settings)
        agreeing = found.measurements.rounds["adaptive"].counts == alone.measurements.rounds["adaptive"].counts
        assert agreeing.mean() > 0.95
        np.testing.assert_allclose(found.effects, alone.effects, atol=2e-3)


def test_results_tell_how_many_draws_each_block_had_and_the_report_how_sure_it_is(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config(tmp_path, settings, sampling="adaptive")
    compute_effects(prepare(config))
    paths = result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS)
    stored, manifest = read_results(paths), read_manifest(paths)
    assert manifest is not None and set(manifest.rounds) == {"screen", "audit", "adaptive"}
    counts = manifest.rounds["adaptive"].counts_of(manifest.shape)
    np.testing.assert_array_equal(stored.rounds["adaptive"].counts, counts)
    make_report(config)
    rows = list(csv.DictReader(paths.intervals.read_text().splitlines()))
    assert len(rows) == counts.size
    for row in rows:
        place = int(row["row"]), int(row["column"])
        assert int(row["draws"]) == counts[place]
        assert BlockClass[row["class"].upper()] in BlockClass
        if counts[place] > 1:
            assert float(row["low_dB"]) <= float(row["high_dB"])
    again = write_config(tmp_path, {**settings, "sampling": "adaptive"})
    assert run_main("demo_CEM_generation.py", "--config", str(again), "--summary") == 0
    printed = capsys.readouterr().out
    assert "certified at 5% false discoveries" in printed and "rounding to 8 bits" in printed


def test_two_networks_are_compared_draw_by_draw() -> None:
    image = photograph(40, 48)
    settings = Settings(coarse_num=2, fine_num=30, bank=BANK, device="cpu")
    weak, strong = (explain(tiny(scale), image, ROI_OF_TESTS, Degradation("DN"), settings) for scale in (1.0, 3.0))
    itself = weak.compare(weak)
    assert not itself.differs.any()
    comparison = strong.compare(weak)
    assert comparison.differs.any()
    sure = comparison.differs
    np.testing.assert_allclose(
        comparison.difference.mean[sure], (strong.certainty.estimates.mean - weak.certainty.estimates.mean)[sure]
    )
    assert not (itself.first_alone | itself.second_alone).any()
    used = np.isin(strong.classes, (BlockClass.HELPS, BlockClass.HURTS))
    assert (comparison.first_alone <= used).all() and not (comparison.first_alone & comparison.second_alone).any()
    low, high = strong.interval(*np.argwhere(strong.classes == BlockClass.HELPS)[0])
    assert 0 < low < high
