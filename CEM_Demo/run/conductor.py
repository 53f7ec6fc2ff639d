"""The conductor: from a config to effects on disk, coarse to fine (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from CEM_Demo.device import cpu_threads, describe_device, use_exact_arithmetic
from CEM_Demo.geometry import ROI, image_with_rois
from CEM_Demo.images import with_roi_box
from CEM_Demo.inference.checks import check_output
from CEM_Demo.inference.choice import Shared
from CEM_Demo.method.metric import to_uint8
from CEM_Demo.method.plan import Plan
from CEM_Demo.results.cache import Cache
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.provenance import digest_of, of_config, versions
from CEM_Demo.run.preparation import Run, Subject, batch_size_for, check_networks, inferences_for
from CEM_Demo.run.stages import Keeper, Scope, run_stages


def compute_effects(run: Run) -> None:
    """Compute, or go on computing, the effects of every model on every ROI of every image.

    Raises:
        InputError: an earlier run's results are in the way, another process writes them, or a checkpoint does not
            fit its network.
    """
    use_exact_arithmetic()
    provenances = {label: model.provenance() for label, model in run.models.items()}
    caches = {
        (model, subject.name): {roi: _make_cache(run, model, provenance, subject, roi) for roi in subject.rois}
        for model, provenance in provenances.items()
        for subject in run.subjects
    }
    if run.config.load_previous:
        for of_rois in caches.values():
            for cache in of_rois.values():
                cache.check()
    resumed = caches.items() if run.config.load_previous else ()
    done = {pair for pair, of_rois in resumed if all(cache.is_complete() for cache in of_rois.values())}
    for pair in caches.keys() - done:
        for cache in caches[pair].values():
            cache.check_free()
    check_networks(run, caches.keys() - done)
    for subject in run.subjects:
        for roi in subject.rois:
            if not subject.grid.is_aligned(roi):
                print(f"{subject.name}: ROI {roi} is off the block grid; every block that overlaps it is an ROI block")
    for model in run.models:
        net = run.models[model].load()
        for subject in run.subjects:
            if (model, subject.name) in done:
                print(f"{model} {subject.name}: already computed")
            else:
                _compute_image(run, model, net, subject, caches[model, subject.name])


def _make_cache(run: Run, model: str, model_provenance: dict[str, Any], subject: Subject, roi: ROI) -> Cache:
    provenance = {
        **of_config(run.config, roi),
        **subject.provenance,
        **model_provenance,
        "device": describe_device(run.device),
        "versions": versions(),
    }
    rois = [str(roi) for roi in subject.rois]
    return Cache(result_paths(run.config, model, subject.name, roi), provenance, run.config.inference, rois)


def _compute_image(run: Run, model: str, net: nn.Module, subject: Subject, caches: dict[ROI, Cache]) -> None:
    """The effects of one model on the ROIs of one image, which are not all finished."""
    finished = {roi for roi, cache in caches.items() if run.config.load_previous and cache.is_complete()}
    # Those that finished before an interruption stay, or the batches of the others would change.
    taken = [roi for roi in caches if roi not in finished or caches[roi].began_with_the_same_rois()]
    found = [caches[roi].earlier() for roi in taken] if run.config.load_previous else []
    earlier = next((manifest for manifest in found if manifest), None)
    threads, kind = (earlier["threads"], earlier["inference"]) if earlier else (torch.get_num_threads(), None)
    with cpu_threads(threads):
        for shared in inferences_for(run, net, subject, taken, kind):
            unfinished = [roi not in finished for roi in shared.rois]
            _compute_rois(run, model, subject, shared, [caches[roi] for roi in shared.rois], unfinished)


def _compute_rois(
    run: Run, model: str, subject: Subject, shared: Shared, caches: Sequence[Cache], unfinished: Sequence[bool]
) -> None:
    config, scene = run.config, subject.scene
    restored = shared.inference.baseline()
    check_output(restored, (scene.ground_truth.shape[0], scene.ground_truth.shape[1]), model)
    picture = to_uint8(restored).permute(1, 2, 0).cpu().numpy()
    scope = Scope(shared, scene, subject.grid, run.bank, run.device)
    batch_size = batch_size_for(run, model, shared.inference)
    effects = scope.fresh_effects(restored, subject.coarse, subject.fine, batch_size, digest_of(picture))
    # Nothing is written before here: a network that does not work leaves no trace.
    with ExitStack() as locks:
        for cache in caches:
            locks.enter_context(cache.locked())
        for number, (roi, cache) in enumerate(zip(shared.rois, caches, strict=True)):
            if config.load_previous:
                cache.check()  # again: another process may have come first
                effects[number] = cache.resume(effects[number])
            cache.recover("coarse", subject.coarse, effects[number])
            if unfinished[number]:
                if not effects[number].progress.coarse:
                    cache.begin(effects[number])
                boxed = with_roi_box(picture, roi)
                cache.write_baseline(effects[number], scene.ground_truth, scene.degraded, picture, boxed)

        def save(stage: str) -> None:
            for cache, part, writes in zip(caches, effects, unfinished, strict=True):
                if writes:
                    cache.write(stage, part)

        def recover_fine(plans: Sequence[Plan]) -> None:
            for cache, part, plan in zip(caches, effects, plans, strict=True):
                cache.recover("fine", plan, part)

        keeper = Keeper(save, recover_fine)
        label = f"{model} {image_with_rois(subject.name, shared.rois, of=len(subject.rois))}"
        run_stages(scope, subject.coarse, subject.fine, config.tol, effects, keeper, label)
