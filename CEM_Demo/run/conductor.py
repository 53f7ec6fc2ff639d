"""Turn a prepared run into measurements on disk, model by model and image by image."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from CEM_Demo.device import cpu_threads, describe_device, exact_arithmetic
from CEM_Demo.geometry import ROI, image_with_rois
from CEM_Demo.inference.checks import check_output
from CEM_Demo.inference.choice import RoiGroup
from CEM_Demo.method.metric import to_picture
from CEM_Demo.results.cache import Cache, open_session
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.provenance import digest_of, of_config, versions
from CEM_Demo.results.reading import Pictures
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.lam_stage import compute_lams, make_lam_caches
from CEM_Demo.run.preparation import PosedImage, Run, batch_size_for, check_networks, frozen_for, inferences_for

log = logging.getLogger(__name__)


def compute_effects(run: Run, progress: bool = True) -> None:
    """Measure, or go on measuring, the effects of every model on every ROI of every image, and other maps asked for.

    Args:
        run: what is to be computed.
        progress: whether bars show the progress.

    Raises:
        InputError: results of another kind are there, another process writes them, or a checkpoint does not fit its
            network. Nothing is written before all that can be checked is checked.
    """
    with exact_arithmetic():
        caches = _make_caches(run)
        lams = make_lam_caches(run)
        left = _check_caches(run, caches)
        check_networks(run, left)
        _say_what_is_off_the_grid(run)
        for model, found in run.models.items():
            images = [posed for posed in run.posed_images if (model, posed.name) in left]
            for posed in run.posed_images:
                if posed not in images:
                    log.info("%s %s: already computed", model, posed.name)
            net = found.load() if images else None
            for posed in images:
                assert net is not None
                _compute_image(run, model, net, posed, caches[model, posed.name], progress)
        compute_lams(run, lams)


def _make_caches(run: Run) -> dict[tuple[str, str], dict[ROI, Cache]]:
    """Make, for each model and image, the caches of its ROIs."""
    return {
        (label, posed.name): {roi: _make_cache(run, label, provenance, posed, roi) for roi in posed.rois}
        for label, provenance in ((label, model.provenance()) for label, model in run.models.items())
        for posed in run.posed_images
    }


def _make_cache(run: Run, model: str, model_provenance: dict[str, Any], posed: PosedImage, roi: ROI) -> Cache:
    provenance = {
        **of_config(run.config, roi),
        **posed.provenance,
        **model_provenance,
        "device": describe_device(run.device),
        "versions": versions(),
    }
    rois = [str(roi) for roi in posed.rois]
    return Cache(result_paths(run.config, model, posed.name, roi), roi, provenance, run.config.inference, rois)


def _check_caches(run: Run, caches: dict[tuple[str, str], dict[ROI, Cache]]) -> set[tuple[str, str]]:
    """Find the pairs of model and image that are left to compute, and check that their results may be written."""
    left = set(caches)
    if run.config.load_previous:
        for of_rois in caches.values():
            for cache in of_rois.values():
                cache.check()
        left = {pair for pair in caches if not all(cache.is_complete() for cache in caches[pair].values())}
    for pair in left:
        for cache in caches[pair].values():
            cache.check_free()
    return left


def _say_what_is_off_the_grid(run: Run) -> None:
    for posed in run.posed_images:
        for roi in posed.rois:
            if not posed.grid.is_aligned(roi):
                log.info(
                    "%s: ROI %s is off the block grid; every block that overlaps it is an ROI block", posed.name, roi
                )


def _compute_image(
    run: Run, model: str, net: nn.Module, posed: PosedImage, caches: dict[ROI, Cache], progress: bool
) -> None:
    """Measure the effects of one model on the ROIs of one image, some of which may be finished."""
    resume = bool(run.config.load_previous)
    finished = {roi for roi, cache in caches.items() if resume and cache.is_complete()}
    # ROIs that finished before an interruption stay in the group; without them, the batches would be other ones.
    taken = [roi for roi in caches if roi not in finished or caches[roi].began_with_the_same_rois()]
    found = [caches[roi].earlier() for roi in taken] if resume else []
    earlier = next((manifest for manifest in found if manifest), None)
    threads, kind = (earlier.threads, earlier.inference) if earlier else (torch.get_num_threads(), None)
    with cpu_threads(threads):
        for group in inferences_for(run, net, posed, taken, kind):
            _compute_group(run, model, net, posed, group, [caches[roi] for roi in group.rois], progress)


def _compute_group(
    run: Run, model: str, net: nn.Module, posed: PosedImage, group: RoiGroup, caches: list[Cache], progress: bool
) -> None:
    """Measure the effects of one model on ROIs that are restored together."""
    scene = posed.scene
    restored = group.inference.baseline()
    check_output(restored, (scene.ground_truth.shape[0], scene.ground_truth.shape[1]), model)
    picture = to_picture(restored)
    chosen = posed.chosen
    experiment = Experiment(
        net,
        group,
        scene,
        posed.grid,
        chosen.bank,
        run.device,
        intervention=chosen.intervention,
        further=run.further,
        frozen=frozen_for(run, net, posed, group),
    )
    batch_size = batch_size_for(run, model, group.inference)
    fresh = experiment.fresh_measurements(restored, posed.sampling.room, batch_size, digest_of(picture))
    pictures = Pictures(scene.ground_truth, scene.degraded, picture)
    # Nothing is written before here: a network that does not work leaves no trace.
    with open_session(caches, fresh, pictures, bool(run.config.load_previous)) as session:
        label = f"{model} {image_with_rois(posed.name, group.rois, of=len(posed.rois))}"
        posed.sampling.run(experiment, session.measurements, session.save, label if progress else None)
        session.finish()
