"""Write what travels through the global operators of each network of a run: a figure, the numbers, a sentence."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.figure.saving import save_figure
from CEM_Demo.files import write_bytes
from CEM_Demo.geometry import ROI, grid_of, image_with_rois
from CEM_Demo.mediation.effects import FAR, Mediation, mediation_of
from CEM_Demo.mediation.figure import draw_paths
from CEM_Demo.report.panels import Panel, panel_of_results, read_checked
from CEM_Demo.results.cache import drawn_from
from CEM_Demo.results.paths import ResultPaths, result_paths
from CEM_Demo.results.provenance import digest_of

FORMATS = ("png", "pdf")

log = logging.getLogger(__name__)


def write_mediations(config: Config) -> list[Path]:
    """Draw the paths of each model on each ROI, write their numbers, and log a sentence for each.

    They lie in the pair's folder as ``paths.png``, ``paths.pdf`` and ``paths.json``.

    Raises:
        InputError: results are missing, unfinished or damaged, or another process writes them.
    """
    return [
        path
        for image in config.Imagelist
        for roi in config.rois_of(image)
        for model in config.models
        for path in _write(config, model, image, roi)
    ]


def _write(config: Config, model: str, image: str, roi: ROI) -> list[Path]:
    stored = read_checked(config, model, image, roi)
    panel = panel_of_results(config, model, image, roi, stored)
    paths = result_paths(config, model, image, roi)
    grid = grid_of(panel.degraded, config.block, config.sr)
    metrics = stored.manifest.metrics if stored.manifest else {}
    mediation = mediation_of(stored.origin, stored.rounds, metrics, config.tol, grid, roi, config.confidence)
    if mediation is None:
        raise InputError(f"{paths.pair_folder} has no frozen draws; compute them with paths: 1 and load_previous: 0")
    where = image_with_rois(image, [roi], of=len(config.rois_of(image)))
    log.info("%s on %s: %s", model, where, mediation.sentence)
    with drawn_from(paths, stored.manifest):
        return _write_files(paths, panel, mediation)


def _write_files(paths: ResultPaths, panel: Panel, mediation: Mediation) -> list[Path]:
    """Write the numbers last, since they vouch for the figure."""
    figure = draw_paths(panel, mediation)
    written = save_figure(figure, paths.mediation_figure.with_suffix(""), FORMATS)
    provenance = {"effects_sha256": digest_of(panel.map.effect_map.effects)}
    content = {"model": panel.model, "image": panel.image, "roi": str(panel.roi), "provenance": provenance}
    write_bytes(paths.mediation, (json.dumps({**content, **numbers_of(mediation)}, indent=2) + "\n").encode())
    return [*written, paths.mediation]


def numbers_of(mediation: Mediation) -> dict[str, Any]:
    """Give the numbers of the paths in the types of JSON: counts, shares, and effects by distance."""
    return {
        "sentence": mediation.sentence,
        "tol": mediation.tol,
        "blocks_outside_roi": int(mediation.outside.sum()),
        "blocks_with_effect": mediation.counts,
        "mediated_share": _shares(mediation.share(), mediation.share(0, FAR), mediation.share(FAR)),
        "mediated_share_of_squared_error": _shares(
            mediation.error_share(), mediation.error_share(0, FAR), mediation.error_share(FAR)
        ),
        "rings": [{name: _finite(value) for name, value in asdict(ring).items()} for ring in mediation.rings()],
    }


def _shares(everywhere: float, near: float, far: float) -> dict[str, float | None]:
    return {"everywhere": _finite(everywhere), "near": _finite(near), "far": _finite(far)}


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
