"""Recorded runs of the published code, replayed through the project's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from CEM_Demo.geometry import ROI, Grid
from CEM_Demo.images import read_image
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.method.effect_map import make_effect_map
from CEM_Demo.method.measurements import Draws
from CEM_Demo.method.metric import psnr, squared_errors, to_uint8
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.ModelZoo import build_network, split_name
from CEM_Demo.ModelZoo.checkpoints import load_strictly, read_state_dict
from CEM_Demo.report.colours import COLOUR_BOUND, colour_position
from CEM_Demo.report.figures import ROI_COLOUR, overlay
from CEM_Demo.results.mat_files import read_mat
from CEM_Demo.tasks import Degradation, make_scene
from CEM_Demo.tasks.denoising import add_noise
from shared_material import GOLDEN_PIPELINE, needs

pytestmark = needs(GOLDEN_PIPELINE)

BATCH = 8

CHECKPOINTS = {
    "FSRCNN-16-6": "FSRCNN-16-6_15000.pth",
    "DnCNN": "dncnn_color_blind.pth",
    "SRResNet_DR": "SRResNet_DR.pth",
}


@dataclass(frozen=True)
class Recording:
    """One model on one image of a recorded run."""

    folder: Path
    config: dict[str, Any]
    image_folder: Path

    @property
    def image(self) -> str:
        return self.folder.name

    @property
    def model(self) -> str:
        return self.folder.parent.name

    @property
    def roi(self) -> ROI:
        return ROI.square(self.config["w"], self.config["h"], self.config["ROI_size"])

    @property
    def block(self) -> int:
        return self.config["mask_block_size"] // self.config["sr"]

    def mat(self, stage: str) -> NDArray[np.float64] | None:
        draws = {"C": "coarse_num", "F": "fine_num"}.get(stage)
        name = f"-PSNR_all_perturb-{stage}{self.config[draws]}.mat" if draws else "-PSNR-Origin.mat"
        path = self.folder / f"{self.image}{name}"
        return read_mat(path) if path.exists() else None


def replayable() -> list[Recording]:
    runs = ["sr_fsrcnn", "dn_dncnn", "dr_srresnet", "resume_sr_coarse", "resume_dn_fine"]
    found = []
    for run in runs:
        config = yaml.safe_load((GOLDEN_PIPELINE / run / "config.yml").read_text()) if GOLDEN_PIPELINE.exists() else {}
        for plan in sorted((GOLDEN_PIPELINE / run).glob("record*/*/*/plan.json")):
            found.append(Recording(plan.parent, config, GOLDEN_PIPELINE / run / "images"))
    return found


def mapped() -> list[Recording]:
    found = []
    for path in sorted((GOLDEN_PIPELINE / "gen_only").glob("*.yml")):
        config = yaml.safe_load(path.read_text())
        for stored in sorted((GOLDEN_PIPELINE / "gen_only" / "record" / path.stem).glob("*/*/cem.npz")):
            found.append(Recording(stored.parent, config, GOLDEN_PIPELINE / "degrade_full" / config["task"]))
    return found + [recording for recording in replayable() if (recording.folder / "cem.npz").exists()]


def name_of(recording: Recording) -> str:
    return "-".join(recording.folder.relative_to(GOLDEN_PIPELINE).parts)


@pytest.mark.parametrize("recording", replayable(), ids=name_of)
def test_replay_gives_the_recorded_psnrs(recording: Recording) -> None:
    config = recording.config
    name, _ = split_name(recording.model)
    net = build_network(name, config["task"], config["sr"])
    load_strictly(net, read_state_dict(GOLDEN_PIPELINE / "checkpoints" / CHECKPOINTS[name]), name)
    image = read_image(recording.image_folder / recording.image)
    scene = make_scene(Degradation(config["task"], config["sr"]), image, recording.image)
    inference = DenseInference(net, scene.degraded, recording.roi, torch.device("cpu"))
    truth = torch.from_numpy(scene.ground_truth[recording.roi.window].copy()).permute(2, 0, 1)
    plan = json.loads((recording.folder / "plan.json").read_text())["plan"]
    arrays = np.load(recording.folder / "plan_arrays.npz")
    outputs = np.load(recording.folder / "outputs.npz")
    recorded = np.load(recording.folder / "psnr.npz")
    bank = load_bank(GOLDEN_PIPELINE / "patches")
    names = sorted(path.name for path in (GOLDEN_PIPELINE / "patches").glob("*.png"))

    baseline = to_uint8(inference.baseline()[(None, slice(None), *recording.roi.window)])
    origin = psnr(squared_errors(baseline, truth).numpy(), truth.numel())
    assert origin == pytest.approx(recorded["psnr_origin"].item(), abs=0.005)

    differences = []
    for stage, key in (("coarse", "PSNR_C"), ("fine", "PSNR_F")):
        if key not in recorded:
            continue  # interrupted before that stage
        values = recorded[key]
        entries = [entry for entry in plan if entry["stage"] == stage]
        evaluated = len(outputs[f"roi_uint8_{stage}"])
        for start in range(0, evaluated, BATCH):
            part = slice(start, min(start + BATCH, evaluated))
            places = np.array([(entry["row"], entry["col"], entry["slot"]) for entry in entries[part]])
            corners = places[:, :2] * recording.block
            blocks = arrays[f"{stage}_block_in_model_input"][part]
            if config["task"] != "DN":
                # The published code swaps blue and red; the same draws with that swap give exactly its blocks.
                indices = np.array([names.index(entry["patch"]) for entry in entries[part]])
                patches = bank.at_size(indices, recording.block)[..., ::-1]
                remade = scene.degrade_patches(
                    np.ascontiguousarray(patches), corners, np.zeros(len(corners), np.uint64)
                )
                np.testing.assert_array_equal(remade, blocks)
            restored = to_uint8(inference.restore(corners, blocks))
            found = psnr(squared_errors(restored, truth).numpy(), truth.numel())
            differences.append(np.abs(found - values[tuple(places.T)]))
    worst = np.concatenate(differences)
    assert worst.max() <= 0.005
    assert (worst <= 0.002).mean() >= 0.999


@pytest.mark.parametrize("recording", [r for r in replayable() if r.config["task"] == "DN"], ids=name_of)
def test_noisy_patches_follow_the_recorded_stream(recording: Recording) -> None:
    plan = json.loads((recording.folder / "plan.json").read_text())
    arrays = np.load(recording.folder / "plan_arrays.npz")
    for stage in ("coarse", "fine"):
        entries = [entry for entry in plan["plan"] if entry["stage"] == stage]
        if not entries:
            continue
        position, has_gauss, cached = arrays[f"{stage}_before_np_random_pos_hasgauss_cached"]
        stream = np.random.RandomState()
        key = arrays[f"{stage}_before_np_random_key"]
        stream.set_state(("MT19937", key, int(position), int(has_gauss), float(cached)))
        for entry, block in zip(entries, arrays[f"{stage}_block_in_model_input"], strict=True):
            patch = read_image(GOLDEN_PIPELINE / "patches" / entry["patch"])[..., ::-1]
            np.testing.assert_array_equal(add_noise(patch, stream), block)


@pytest.mark.parametrize("recording", mapped(), ids=name_of)
def test_maps_from_the_recorded_arrays(recording: Recording) -> None:
    config = recording.config
    origin, coarse, fine = recording.mat("Origin"), recording.mat("C"), recording.mat("F")
    if origin is None or coarse is None:
        pytest.skip("this recording was interrupted before the map")
    rows, columns = coarse.shape[:2]
    grid = Grid(rows * recording.block, columns * recording.block, recording.block, config["sr"])
    rounds = {"coarse": Draws.of_published(coarse), "fine": Draws.of_published(fine)}
    effect_map = make_effect_map(origin.item(), rounds, config["tol"], grid.overlaps(recording.roi))
    golden = np.load(recording.folder / "cem.npz")
    np.testing.assert_array_equal(effect_map.effects, golden["CEM"])
    np.testing.assert_array_equal(effect_map.interventions == config["fine_num"], golden["fine_mask"])
    if not grid.is_aligned(recording.roi):
        return  # every block that overlaps the ROI is an ROI block here, not only whole ones
    if "X_neg_pos_zero" not in golden:
        return  # the published code fails on a map without effects
    counts = effect_map.counts
    assert [counts.negative, counts.positive, counts.zero] == golden["X_neg_pos_zero"].tolist()
    np.testing.assert_array_equal(effect_map.outside_roi, golden["CEM_roi_zeroed"])
    lowest, highest = effect_map.lowest, effect_map.highest
    found = [lowest.effect, lowest.row, lowest.column, highest.effect, highest.row, highest.column]
    assert found == golden["min_row_col_max_row_col"].tolist()
    outside = ~effect_map.roi
    positions = colour_position(effect_map.outside_roi, COLOUR_BOUND[config["task"]])
    np.testing.assert_allclose(positions[outside], golden["mapped"][outside], atol=1e-12)


@pytest.mark.parametrize("recording", mapped(), ids=name_of)
def test_overlays_equal_the_recorded_pictures(recording: Recording) -> None:
    config = recording.config
    picture = recording.folder / "CEM_PSNR.png"
    origin, coarse, fine = recording.mat("Origin"), recording.mat("C"), recording.mat("F")
    if origin is None or coarse is None or not picture.exists():
        pytest.skip("no picture was recorded")
    suffix = {"SR": "lr", "DN": "noise", "DR": "rain"}[config["task"]]
    folders = (recording.image_folder, recording.image_folder.parent / "degraded")
    degraded = next(
        path for path in (folder / f"{recording.image}-{suffix}.png" for folder in folders) if path.exists()
    )
    rows, columns = coarse.shape[:2]
    grid = Grid(rows * recording.block, columns * recording.block, recording.block, config["sr"])
    if not grid.is_aligned(recording.roi):
        pytest.skip("drawn with the published defect N13")
    rounds = {"coarse": Draws.of_published(coarse), "fine": Draws.of_published(fine)}
    effect_map = make_effect_map(origin.item(), rounds, config["tol"], grid.overlaps(recording.roi))
    height, width = (side * config["mask_block_size"] for side in (rows, columns))
    bound = COLOUR_BOUND[config["task"]]
    found = overlay(effect_map, read_image(degraded), recording.roi, config["mask_block_size"], (height, width), bound)
    recorded = read_image(picture)
    different = (found != recorded).any(axis=2)
    if config["task"] == "SR":
        # The published code frames the ROI sr times too far down and right; this project frames it where it is (N22).
        different &= ~(found == ROI_COLOUR).all(axis=2) & ~(recorded == ROI_COLOUR).all(axis=2)
    assert not different.any()
