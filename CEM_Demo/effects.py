"""The conductor: from a config to effects on disk, coarse to fine (paper, section 3.3)."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from CEM_Demo.cache import Cache, Effects, blank
from CEM_Demo.device import cpu_threads, describe_device, use_exact_arithmetic
from CEM_Demo.figures import with_roi_box
from CEM_Demo.geometry import ROI, Grid
from CEM_Demo.inference.dense import check_output
from CEM_Demo.inference.interface import Inference
from CEM_Demo.interventions import PatchBank, Plan
from CEM_Demo.metrics import psnr, squared_errors, to_uint8
from CEM_Demo.ModelZoo.checkpoints import sha256_of
from CEM_Demo.preparation import Run, Subject, batch_size_for, inference_for, load_for_run
from CEM_Demo.provenance import digest_of, versions
from CEM_Demo.result_paths import result_paths
from CEM_Demo.tasks import Scene

SECONDS_BETWEEN_SAVES = 2.0


def compute_effects(run: Run) -> None:
    """Compute, or go on computing, the effects of every model on every image.

    Raises:
        InputError: an earlier run's results are in the way, another process writes them, or a checkpoint does not
            fit its network.
    """
    use_exact_arithmetic()
    digests = {model: sha256_of(path) for model, path in run.checkpoints.items()}
    caches = {
        (model, subject.name): _make_cache(run, model, digest, subject)
        for model, digest in digests.items()
        for subject in run.subjects
    }
    for cache in caches.values():
        if run.config.load_previous:
            cache.check()
            if cache.is_complete():
                continue
        cache.check_free()
    for subject in run.subjects:
        if not subject.grid.is_aligned(run.config.roi):
            print(f"{subject.name}: the ROI is off the block grid; every block that overlaps it is an ROI block")
    for model in run.config.Modellist:
        net = load_for_run(run, model)
        for subject in run.subjects:
            _compute_pair(run, model, net, subject, caches[model, subject.name])


def _make_cache(run: Run, model: str, checkpoint_sha256: str, subject: Subject) -> Cache:
    provenance = {
        **subject.provenance,
        "checkpoint_sha256": checkpoint_sha256,
        "device": describe_device(run.device),
        "versions": versions(),
    }
    return Cache(result_paths(run.config, model, subject.name), provenance, run.config.inference)


def _compute_pair(run: Run, model: str, net: nn.Module, subject: Subject, cache: Cache) -> None:
    config, scene, grid = run.config, subject.scene, subject.grid
    if config.load_previous and cache.is_complete():
        print(f"{model} {subject.name}: already computed")
        return
    earlier = cache.earlier() if config.load_previous else None
    threads, kind = (earlier["threads"], earlier["inference"]) if earlier else (torch.get_num_threads(), None)
    with cpu_threads(threads):
        inference = inference_for(run, net, subject, kind)
        restored = inference.baseline()
        check_output(restored, (scene.ground_truth.shape[0], scene.ground_truth.shape[1]), model)
        picture = to_uint8(restored).permute(1, 2, 0).cpu().numpy()
        fresh = Effects(
            origin=float(measure_roi(to_uint8(restored[None]), scene, config.roi)[0]),
            coarse=np.zeros((*grid.shape, config.coarse_num)),
            fine=np.zeros((*grid.shape, config.fine_num)),
            inference=inference.kind,
            reached=inference.reaches(np.argwhere(np.ones(grid.shape)) * grid.block).reshape(grid.shape),
            batch_size=batch_size_for(run, model, inference),
            threads=threads,
            restored_sha256=digest_of(picture),
        )
        measure = _measurer(inference, scene, grid, run.bank, config.roi, run.device)
        # Nothing is written before here: a network that does not work leaves no trace.
        with cache.locked():
            effects = fresh
            if config.load_previous:
                cache.check()  # again: another process may have come first
                effects = cache.resume(fresh)
            cache.recover("coarse", subject.coarse, effects)
            if not effects.progress.coarse:
                cache.begin(effects)
            boxed = with_roi_box(picture, config.roi)
            cache.write_baseline(effects, scene.ground_truth, scene.degraded, picture, boxed)
            label = f"{model} {subject.name}"
            _run_stage("coarse", subject.coarse, measure, effects, cache, label)
            fine_plan = subject.fine.of_blocks(passes_to_fine(effects.origin, effects.coarse, config.tol))
            cache.recover("fine", fine_plan, effects)
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
    """Run what is left of a stage, batch by batch, saving now and then, at the end, and when interrupted."""
    values: NDArray[np.float64] = getattr(effects, stage)
    done: int = getattr(effects.progress, stage)
    saved = time.monotonic()
    try:
        with tqdm(total=len(plan), initial=done, desc=f"{label} {stage}", unit="intervention") as bar:
            # Batches start at multiples of their size, so that a resumed run has those of an uninterrupted one.
            for start in range(done, len(plan), effects.batch_size):
                begin = time.monotonic()
                batch = plan[start : start + effects.batch_size]
                values[batch.rows, batch.columns, batch.draws] = measure(batch)
                setattr(effects.progress, stage, start + len(batch))
                effects.seconds += time.monotonic() - begin
                bar.update(len(batch))
                if time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
                    cache.write(stage, effects)
                    saved = time.monotonic()
    except KeyboardInterrupt:
        blank(values, plan[getattr(effects.progress, stage) :])  # of a batch that may be cut short
        cache.write(stage, effects)
        raise
    cache.write(stage, effects)
