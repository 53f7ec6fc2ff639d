"""Pictures of the maps of the metrics that were measured beside PSNR."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from CEM_Demo.config.schema import Config
from CEM_Demo.files import write_bytes
from CEM_Demo.geometry import ROI, grid_of
from CEM_Demo.images import png_bytes
from CEM_Demo.method.metric_maps import effect_maps
from CEM_Demo.report.figures import overlay
from CEM_Demo.results.cache import drawn_from
from CEM_Demo.results.paths import ResultPaths, result_paths
from CEM_Demo.results.reading import read_results


def write_metric_maps(config: Config) -> list[Path]:
    """Draw the map of each further metric, of each model on each ROI, beside that of PSNR: ``CEM_SSIM.png``.

    Colors saturate at the largest effect of each map.

    Raises:
        InputError: results are missing, unfinished or damaged, or another process writes them.
    """
    return [
        path
        for image in config.Imagelist
        for roi in config.rois_of(image)
        for model in config.models
        for path in _write_maps(config, result_paths(config, model, image, roi), roi)
    ]


def _write_maps(config: Config, paths: ResultPaths, roi: ROI) -> list[Path]:
    stored = read_results(paths)
    if stored.manifest is None or stored.pictures is None or not stored.manifest.metrics:
        return []
    degraded, shape = stored.pictures.degraded, stored.pictures.ground_truth.shape
    blocks = grid_of(degraded, config.block, config.sr).overlaps(roi)
    maps = effect_maps(stored.origin, stored.rounds, stored.manifest.metrics, config.tol, blocks)
    written = []
    with drawn_from(paths, stored.manifest):
        for name in stored.manifest.metrics:
            bound = float(np.abs(maps[name].outside_roi).max()) or 1.0
            drawn = overlay(maps[name], degraded, roi, config.mask_block_size, (shape[0], shape[1]), bound)
            write_bytes(paths.map_of(name), png_bytes(drawn))
            written.append(paths.map_of(name))
    return written
