"""The conductor: from a config to effects on disk, coarse to fine (paper, section 3.3)."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
from torch import nn

from CEM_Demo.cache import Cache, Effects
from CEM_Demo.device import use_exact_arithmetic
from CEM_Demo.figures import with_roi_box
from CEM_Demo.geometry import ROI
from CEM_Demo.inference.choice import Shared
from CEM_Demo.inference.dense import check_output
from CEM_Demo.metrics import to_uint8
from CEM_Demo.ModelZoo.checkpoints import sha256_of
from CEM_Demo.preparation import (
    Run,
    Subject,
    batch_size_for,
    check_networks,
    inferences_for,
    load_for_run,
    versions,
)
from CEM_Demo.result_paths import result_paths
from CEM_Demo.stages import Scope, run_stages


def compute_effects(run: Run) -> None:
    """Compute, or go on computing, the effects of every model on every ROI of every image.

    Raises:
        InputError: an earlier run's results are in the way, another process writes them, or a checkpoint does not
            fit its network.
    """
    use_exact_arithmetic()
    digests = {model: sha256_of(path) for model, path in run.checkpoints.items()}
    caches = {
        (model, subject.name): {roi: _make_cache(run, model, digest, subject, roi) for roi in subject.rois}
        for model, digest in digests.items()
        for subject in run.subjects
    }
    if run.config.load_previous:
        for of_rois in caches.values():
            for cache in of_rois.values():
                cache.check()
    done = {pair for pair, of_rois in caches.items() if run.config.load_previous and _all_complete(of_rois)}
    check_networks(run, caches.keys() - done)
    for subject in run.subjects:
        for roi in subject.rois:
            if not subject.grid.is_aligned(roi):
                print(f"{subject.name}: ROI {roi} is off the block grid; every block that overlaps it is an ROI block")
    for model in run.config.Modellist:
        net = load_for_run(run, model)
        for subject in run.subjects:
            _compute_image(run, model, net, subject, caches[model, subject.name])


def _all_complete(caches: dict[ROI, Cache]) -> bool:
    return all(cache.is_complete() for cache in caches.values())


def _make_cache(run: Run, model: str, checkpoint_sha256: str, subject: Subject, roi: ROI) -> Cache:
    provenance = {
        **subject.provenance,
        "roi": str(roi),
        "checkpoint_sha256": checkpoint_sha256,
        "device": run.device.type,
        "versions": versions(),
    }
    rois = [str(roi) for roi in subject.rois]
    return Cache(result_paths(run.config, model, subject.name, roi), provenance, rois)


def _compute_image(run: Run, model: str, net: nn.Module, subject: Subject, caches: dict[ROI, Cache]) -> None:
    """The effects of one model on the ROIs of one image, if they are not all finished."""
    with ExitStack() as locks:
        for cache in caches.values():
            locks.enter_context(cache.locked())
        finished = {roi for roi, cache in caches.items() if run.config.load_previous and cache.is_complete()}
        if finished == set(caches):
            print(f"{model} {subject.name}: already computed")
            return
        # Those that finished before an interruption stay, or the batches of the others would change.
        taken = [roi for roi in caches if roi not in finished or caches[roi].began_with_the_same_rois()]
        for shared in inferences_for(run, net, subject, taken):
            _compute_rois(run, model, subject, shared, [caches[roi] for roi in shared.rois])


def _compute_rois(run: Run, model: str, subject: Subject, shared: Shared, caches: list[Cache]) -> None:
    config, scene, grid = run.config, subject.scene, subject.grid
    batch_size = batch_size_for(run, model, shared.inference)
    restored = shared.inference.baseline()
    check_output(restored, (scene.ground_truth.shape[0], scene.ground_truth.shape[1]), model)
    picture = to_uint8(restored).permute(1, 2, 0).cpu().numpy()
    scope = Scope(shared, scene, grid, run.bank, run.device)
    origins = scope.origins(restored)
    effects = []
    for roi, cache, reached, origin in zip(shared.rois, caches, shared.reached, origins, strict=True):
        fresh = Effects(
            origin=origin,
            coarse=np.zeros((*grid.shape, config.coarse_num)),
            fine=np.zeros((*grid.shape, config.fine_num)),
            inference=shared.inference.kind,
            reached=reached.reshape(grid.shape),
            batch_size=batch_size,
        )
        effects.append(cache.resume(fresh) if config.load_previous else fresh)
        if not effects[-1].progress.coarse:
            cache.begin(effects[-1])
        cache.write_pictures(scene.ground_truth, scene.degraded, picture, with_roi_box(picture, roi))

    unfinished = [(cache, part) for cache, part in zip(caches, effects, strict=True) if not part.progress.complete]

    def save() -> None:
        for cache, part in unfinished:
            cache.write(part)

    run_stages(scope, subject.coarse, subject.fine, config.tol, effects, save, f"{model} {subject.name}")
