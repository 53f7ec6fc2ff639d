"""The conductor: from a config to effects on disk, coarse to fine (paper, section 3.3)."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from CEM_Demo.cache import Cache, Effects, result_paths
from CEM_Demo.config import Config
from CEM_Demo.device import pick_device, use_exact_arithmetic
from CEM_Demo.errors import InputError
from CEM_Demo.figures import with_roi_box
from CEM_Demo.geometry import ROI, Grid, grid_of
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.inference.dense import DenseInference, activation_bytes, automatic_batch_size, check_output
from CEM_Demo.inference.interface import Inference
from CEM_Demo.interventions import PatchBank, Plan, load_bank, make_plan
from CEM_Demo.metrics import psnr, squared_errors, to_uint8
from CEM_Demo.ModelZoo import find, load_network, split_name
from CEM_Demo.ModelZoo.checkpoints import checkpoint_path, sha256_of
from CEM_Demo.ModelZoo.enlarging import EnlargeFirst
from CEM_Demo.tasks import Scene, make_scene

SECONDS_BETWEEN_SAVES = 2.0


@dataclass(frozen=True)
class Subject:
    """An image of the run, ready for interventions; shared by all models."""

    name: str
    scene: Scene
    grid: Grid
    coarse: Plan
    fine: Plan
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A config whose every file was found and checked; nothing is written yet."""

    config: Config
    device: torch.device
    bank: PatchBank
    subjects: list[Subject]
    checkpoints: dict[str, Path]


def prepare(config: Config) -> Run:
    """Find and check all that a config names.

    Raises:
        InputError: a missing model, checkpoint, image or patch bank; an ROI outside an image; no such device.
    """
    device = pick_device(config.device)
    checkpoints = {}
    for model in config.Modellist:
        name, training = split_name(model)
        checkpoints[model] = checkpoint_path(find(name, config.task), training)
    images = {name: read_image(config.image_path(name)) for name in config.Imagelist}
    for name, image in images.items():
        _check_roi(config.roi, image, name)
    bank = load_bank(Path(config.patch_path))
    bank_digest = bank.digest
    subjects = [_make_subject(config, name, image, bank, bank_digest) for name, image in images.items()]
    return Run(config, device, bank, subjects, checkpoints)


def _check_roi(roi: ROI, image: UInt8Image, name: str) -> None:
    height, width = image.shape[:2]
    if roi.left + roi.side > width or roi.top + roi.side > height:
        raise InputError(
            f"w, h, ROI_size: the ROI (columns {roi.left} to {roi.left + roi.side}, rows {roi.top} to "
            f"{roi.top + roi.side}) reaches out of {name}, which is {width} x {height} pixels"
        )


def _make_subject(config: Config, name: str, image: UInt8Image, bank: PatchBank, bank_digest: str) -> Subject:
    scene = make_scene(config.task, image, name, config.sr)
    _check_roi(config.roi, scene.ground_truth, f"{name} cropped to a multiple of sr")
    grid = grid_of(scene.degraded, config.block, config.sr)
    coarse, fine = (
        make_plan(config.seed, name, stage, grid.shape, draws, len(bank))
        for stage, draws in (("coarse", config.coarse_num), ("fine", config.fine_num))
    )
    keys = ("task", "sr", "w", "h", "ROI_size", "mask_block_size", "coarse_num", "fine_num", "tol", "seed")
    provenance = {key: getattr(config, key) for key in keys}
    provenance["plan_sha256"] = hashlib.sha256((coarse.digest + fine.digest).encode()).hexdigest()
    provenance["image_sha256"] = hashlib.sha256(image.tobytes()).hexdigest()
    provenance["bank_sha256"] = bank_digest
    return Subject(name, scene, grid, coarse, fine, provenance)


def versions() -> dict[str, str]:
    """Of what may move the numbers."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }


def compute_effects(run: Run) -> None:
    """Compute, or go on computing, the effects of every model on every image.

    Raises:
        InputError: an earlier run's results are in the way, another process writes them, or a checkpoint does not
            fit its network.
    """
    use_exact_arithmetic()
    caches = {
        (model, subject.name): _make_cache(run, model, subject)
        for model in run.config.Modellist
        for subject in run.subjects
    }
    if run.config.load_previous:
        for cache in caches.values():
            cache.check()
    for subject in run.subjects:
        if not subject.grid.is_aligned(run.config.roi):
            print(f"{subject.name}: the ROI is off the block grid; every block that overlaps it is an ROI block")
    for model in run.config.Modellist:
        net = _load(run, model)
        for subject in run.subjects:
            cache = caches[model, subject.name]
            with cache.locked():
                _compute_pair(run, model, net, subject, cache)


def _make_cache(run: Run, model: str, subject: Subject) -> Cache:
    provenance = {
        **subject.provenance,
        "checkpoint_sha256": sha256_of(run.checkpoints[model]),
        "device": run.device.type,
        "versions": versions(),
    }
    return Cache(result_paths(run.config, model, subject.name), provenance)


def _load(run: Run, model: str) -> nn.Module:
    """The network of a model; in SR, one of scale 1 gets the bicubically enlarged image."""
    task, scale = run.config.task, run.config.sr
    net = load_network(model, task, scale)
    entry = find(split_name(model)[0], task)
    return EnlargeFirst(net, scale) if scale > 1 and entry.scale == 1 else net


def _batch_size(run: Run, model: str, net: nn.Module, subject: Subject) -> int:
    chosen = run.config.batch_size_dict.get(model, run.config.batch_size)
    return chosen or automatic_batch_size(net, subject.grid.height, subject.grid.width, run.device)


def _compute_pair(run: Run, model: str, net: nn.Module, subject: Subject, cache: Cache) -> None:
    config, scene = run.config, subject.scene
    fresh = Effects(
        origin=0.0,
        coarse=np.zeros((*subject.grid.shape, config.coarse_num)),
        fine=np.zeros((*subject.grid.shape, config.fine_num)),
        batch_size=_batch_size(run, model, net, subject),
    )
    effects = cache.resume(fresh) if config.load_previous else fresh
    if effects.progress.complete:
        print(f"{model} {subject.name}: already computed")
        return
    inference = DenseInference(net, scene.degraded, config.roi, run.device)
    restored = inference.baseline()
    check_output(restored, (scene.ground_truth.shape[0], scene.ground_truth.shape[1]), model)
    picture = to_uint8(restored).permute(1, 2, 0).cpu().numpy()
    if not effects.progress.coarse:
        cache.begin(effects)
    cache.write_pictures(scene.ground_truth, scene.degraded, picture, with_roi_box(picture, config.roi))
    measure = _measurer(inference, scene, subject.grid, run.bank, config.roi, run.device)
    effects.origin = float(measure_roi(to_uint8(restored[None]), scene, config.roi)[0])
    label = f"{model} {subject.name}"
    _run_stage("coarse", subject.coarse, measure, effects, cache, label)
    passing = passes_to_fine(effects.origin, effects.coarse, config.tol)
    fine_plan = subject.fine.of_blocks(passing)
    effects.progress.fine_planned = len(fine_plan)
    _run_stage("fine", fine_plan, measure, effects, cache, label)


def passes_to_fine(origin: float, coarse: NDArray[np.float64], tol: float) -> NDArray[np.bool_]:
    """Rows x columns: whether any coarse draw moved the PSNR (dB) by ``tol`` or more."""
    return np.abs(origin - coarse).max(axis=2) >= tol


Measure = Callable[[Plan], NDArray[np.float64]]


def _measurer(
    inference: Inference, scene: Scene, grid: Grid, bank: PatchBank, roi: ROI, device: torch.device
) -> Measure:
    """A function from a batch of the plan to the PSNRs (dB) of the ROI."""
    truth = torch.from_numpy(np.ascontiguousarray(scene.ground_truth[roi.window])).permute(2, 0, 1).to(device)

    def measure(batch: Plan) -> NDArray[np.float64]:
        corners = np.stack((batch.rows, batch.columns), axis=1) * grid.block
        blocks = scene.degrade_patches(bank.at_size(batch.patches, grid.block), corners, batch.noise_seeds)
        restored = to_uint8(inference.restore(corners, blocks))
        return psnr(squared_errors(restored, truth).cpu().numpy(), truth.numel())

    return measure


def measure_roi(restored: torch.Tensor, scene: Scene, roi: ROI) -> NDArray[np.float64]:
    """PSNR (dB) of the ROI of whole images N x 3 x H x W uint8."""
    truth = torch.from_numpy(np.ascontiguousarray(scene.ground_truth[roi.window])).permute(2, 0, 1)
    errors = squared_errors(restored[(..., *roi.window)], truth.to(restored.device))
    return psnr(errors.cpu().numpy(), truth.numel())


def _run_stage(stage: str, plan: Plan, measure: Measure, effects: Effects, cache: Cache, label: str) -> None:
    """Run what is left of a stage, batch by batch, saving now and then and at the end."""
    values: NDArray[np.float64] = getattr(effects, stage)
    done: int = getattr(effects.progress, stage)
    saved = time.monotonic()
    with tqdm(total=len(plan), initial=done, desc=f"{label} {stage}", unit="intervention") as bar:
        # Batches start at multiples of their size, so that a resumed run has the very batches of an uninterrupted one.
        for start in range(done, len(plan), effects.batch_size):
            begin = time.monotonic()
            batch = plan[start : start + effects.batch_size]
            values[batch.rows, batch.columns, batch.draws] = measure(batch)
            setattr(effects.progress, stage, start + len(batch))
            effects.seconds += time.monotonic() - begin
            bar.update(len(batch))
            if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                cache.write(effects)
                saved = time.monotonic()
    cache.write(effects)


@dataclass(frozen=True)
class Forecast:
    """The work ahead for one model on one image; ``fine`` is at most."""

    model: str
    image: str
    coarse: int
    fine: int
    batch_size: int
    memory_bytes: int
    folder: Path


def forecast(run: Run) -> list[Forecast]:
    """What :func:`compute_effects` would do, without doing it."""
    forecasts = []
    for model in run.config.Modellist:
        net = _load(run, model)
        for subject in run.subjects:
            batch_size = _batch_size(run, model, net, subject)
            memory = batch_size * activation_bytes(net, subject.grid.height, subject.grid.width)
            folder = result_paths(run.config, model, subject.name).pair_folder
            coarse, fine = len(subject.coarse), len(subject.fine)
            forecasts.append(Forecast(model, subject.name, coarse, fine, batch_size, memory, folder))
    return forecasts
