"""Local Attribution Maps of a run: computed after the effects, from the network and its input alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from CEM_Demo.attribution.blur_path import KERNEL_SIDE, LARGEST_SIGMA, STEPS
from CEM_Demo.attribution.comparison import block_sums
from CEM_Demo.attribution.diffusion import OFFSET
from CEM_Demo.attribution.local_attribution import LocalAttribution, lam
from CEM_Demo.device import cpu_threads, describe_device
from CEM_Demo.errors import InputError
from CEM_Demo.files import sole_writer
from CEM_Demo.geometry import ROI, image_with_rois
from CEM_Demo.results.lam_files import LamCache, LamNumbers, MissingLam, StoredLam
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.provenance import versions
from CEM_Demo.run.preparation import PosedImage, Run

log = logging.getLogger(__name__)

CONSTANTS = {"steps": STEPS, "largest_sigma": LARGEST_SIGMA, "kernel_side": KERNEL_SIDE, "gini_offset": OFFSET}

# Where the map of each ROI of an image is kept, by the name of the model and of the image.
LamCaches = Mapping[tuple[str, str], Mapping[ROI, LamCache]]


def make_lam_caches(run: Run) -> LamCaches:
    """Find where the maps of a run are kept; none where the config asks for no LAM.

    Raises:
        InputError: the map of an earlier run is there that this run must not continue.
    """
    if "LAM" not in run.config.maps:
        return {}
    caches = {
        (label, posed.name): {roi: _make_cache(run, label, of_model, posed, roi) for roi in posed.rois}
        for label, of_model in ((label, model.provenance()) for label, model in run.models.items())
        for posed in run.posed_images
    }
    if run.config.load_previous:
        for of_rois in caches.values():
            for cache in of_rois.values():
                cache.check()
    return caches


def _make_cache(run: Run, model: str, of_model: dict[str, Any], posed: PosedImage, roi: ROI) -> LamCache:
    provenance = {
        "sr": run.config.sr,
        "mask_block_size": run.config.mask_block_size,
        "roi": str(roi),
        "image_sha256": posed.provenance["image_sha256"],
        "degraded_sha256": posed.provenance["degraded_sha256"],
        **of_model,
        "device": describe_device(run.device),
        "versions": versions(),
        "lam": CONSTANTS,
    }
    return LamCache(result_paths(run.config, model, posed.name, roi), provenance)


def compute_lams(run: Run, caches: LamCaches) -> None:
    """Compute the maps of a run that are left, once its effects are computed.

    A network or an ROI that has no map does not stop the run: the reason is logged, and recorded in the map's place.

    Raises:
        InputError: another process is writing the same results.
    """
    for label, found in run.models.items():
        left = [
            (posed, roi, cache)
            for posed in run.posed_images
            for roi, cache in caches.get((label, posed.name), {}).items()
            if not cache.is_complete()
        ]
        if left:
            net = found.load().to(run.device)
            for posed, roi, cache in left:
                _compute_lam(net, posed, roi, cache)


def _compute_lam(net: nn.Module, posed: PosedImage, roi: ROI, cache: LamCache) -> None:
    """Compute and save one map, with the number of threads that the effects were computed with."""
    where = f"{cache.paths.model} on {image_with_rois(posed.name, [roi], of=len(posed.rois))}"
    began = time.monotonic()
    with sole_writer(cache.paths.pair_folder):
        effects = read_manifest(cache.paths)
        threads = effects.threads if effects else torch.get_num_threads()
        try:
            with cpu_threads(threads):
                found = lam(net, posed.scene.degraded, roi, posed.scene.scale)
        except InputError as error:
            log.warning("%s: no LAM: %s", where, error)
            cache.save(MissingLam(str(error)), threads, time.monotonic() - began)
        except torch.OutOfMemoryError:  # The next run may have more, so it tries again.
            log.warning("%s: no LAM, for the memory does not hold the gradients of one image", where)
        else:
            log.info("%s: LAM: %s", where, found)
            cache.save(_stored(found, posed), threads, time.monotonic() - began)


def _stored(found: LocalAttribution, posed: PosedImage) -> StoredLam:
    height, width = found.size
    numbers = LamNumbers(
        diffusion_index=found.diffusion_index, gini=found.gini, pixels=found.pixels, width=width, height=height
    )
    return StoredLam(found.map, found.signed, block_sums(found.map, posed.grid), numbers)
