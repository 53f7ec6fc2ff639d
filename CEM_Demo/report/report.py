"""From effects on disk to maps and one self-contained HTML file."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.files import remove_leftovers, sole_writer, write_bytes
from CEM_Demo.geometry import ROI, grid_of, image_with_rois
from CEM_Demo.images import UInt8Image, png_bytes, read_image, webp_bytes
from CEM_Demo.method.reliability import rounding_floor
from CEM_Demo.pages import render_page
from CEM_Demo.report.certainty_text import comparison_lines, interval_csv, remark_lines, summary_lines
from CEM_Demo.report.colours import COLOUR_BOUND, GAMMA, colour_table
from CEM_Demo.report.figures import colour_bar, overlay, pie
from CEM_Demo.report.lam_maps import ShownLam, shown_lam, write_lams
from CEM_Demo.report.panels import Map, check_config, map_of_results
from CEM_Demo.results.cache import shared_files
from CEM_Demo.results.faithfulness import faithfulness_sentence, mediation_sentence
from CEM_Demo.results.filters import filters_sentence
from CEM_Demo.results.manifest import Manifest, read_manifest
from CEM_Demo.results.paths import ResultPaths, check_nothing_is_shared, report_path, result_paths
from CEM_Demo.results.reading import Results, read_results
from CEM_Demo.tasks import make_scene

log = logging.getLogger(__name__)

TEMPLATE = Path(__file__).parent / "templates" / "report.html"


@dataclass(frozen=True)
class Panel:
    """One model on one image, as the report shows it; pictures are the bytes of PNG or WebP files."""

    model: str
    restored: bytes | None
    overlay: bytes
    colour_bar: bytes
    pie: bytes
    origin: float
    map: Map
    manifest: Manifest | None
    lam: ShownLam | None
    faithful: str | None
    mediated: str | None
    paths: bytes | None
    filters: str | None


@dataclass(frozen=True)
class Section:
    """One ROI of an image with a panel for every model."""

    image: str
    roi: ROI
    ground_truth: bytes
    degraded: bytes
    height: int
    width: int
    panels: list[Panel]

    @property
    def comparisons(self) -> list[list[str]]:
        """For each model after the first, lines that say how they differ; the first line is a sentence."""
        first, *others = self.panels
        return [
            list(comparison_lines(first.model, first.map.certainty, other.model, other.map.certainty))
            for other in others
        ]


def make_report(config: Config, summary: bool = False) -> Path:
    """Draw the maps of all models and images of a run and put them into one HTML file.

    Args:
        config: of the run.
        summary: whether to log how sure each map is.

    Raises:
        InputError: results are missing, unfinished, damaged, computed with another config, shared by two names, or do
            not belong to the image; the report cannot be written, or another process is writing the results.
    """
    check_nothing_is_shared(config)
    if "LAM" in config.maps:
        write_lams(config)
    sections = [_make_section(config, image, roi) for image in config.Imagelist for roi in config.rois_of(image)]
    for section in sections:
        rois = len(config.rois_of(section.image))
        where = image_with_rois(section.image, [section.roi], of=rois)
        for panel in section.panels:
            _write_pictures(result_paths(config, panel.model, section.image, section.roi), panel)
            log.info(range_line(panel, where))
            if summary:
                _log_summary(panel, section.roi, where)
        if summary:
            for line in chain.from_iterable(section.comparisons):
                log.info(line if line.startswith(" ") else f"{where}: {line}")
    path = report_path(config)
    image = config.Imagelist[0]
    with shared_files(result_paths(config, next(iter(config.models)), image, config.rois_of(image)[0])):
        remove_leftovers(path.parent, path.name)
        write_bytes(path, render(config, sections).encode())
    return path


def _log_summary(panel: Panel, roi: ROI, where: str) -> None:
    exact = panel.manifest.unrounded_origin if panel.manifest else None
    for line in summary_lines(f"{panel.model} on {where}", panel.origin, exact, roi, panel.map.certainty):
        log.info(line)


def _make_section(config: Config, image: str, roi: ROI) -> Section:
    paths = {model: result_paths(config, model, image, roi) for model in config.models}
    stored = {model: read_results(pair) for model, pair in paths.items()}
    for model, pair in paths.items():
        check_config(config, roi, pair, stored[model])
    pictures = [effects.pictures for effects in stored.values() if effects.pictures]
    if pictures:
        ground_truth, degraded = pictures[0].ground_truth, pictures[0].degraded
    else:  # a published cache does not hold them
        scene = make_scene(config.task_degradation, read_image(config.image_path(image)), image)
        ground_truth, degraded = scene.ground_truth, scene.degraded
    panels = [_make_panel(config, roi, model, paths[model], stored[model], ground_truth, degraded) for model in paths]
    height, width = ground_truth.shape[:2]
    return Section(image, roi, webp_bytes(ground_truth), webp_bytes(degraded), height, width, panels)


def _make_panel(
    config: Config,
    roi: ROI,
    model: str,
    paths: ResultPaths,
    stored: Results,
    ground_truth: UInt8Image,
    degraded: UInt8Image,
) -> Panel:
    grid = grid_of(degraded, config.block, config.sr)
    for name, draws in stored.rounds.items():
        if draws.counts.shape != grid.shape:
            path = paths.of_round(name)
            raise InputError(f"{path} has {draws.counts.shape} blocks, the image has {grid.shape}; recompute")
    made = map_of_results(config, stored, paths.image, grid.overlaps(roi))
    effect_map = made.effect_map
    bound = COLOUR_BOUND[config.task]
    height, width = ground_truth.shape[:2]
    drawn = overlay(effect_map, degraded, roi, config.mask_block_size, (height, width), bound)
    return Panel(
        model=model,
        restored=webp_bytes(stored.pictures.restored) if stored.pictures else _bytes_of(paths.restored),
        overlay=png_bytes(drawn),
        colour_bar=colour_bar(effect_map, bound),
        pie=pie(effect_map),
        origin=stored.origin,
        map=made,
        manifest=stored.manifest,
        lam=shown_lam(paths, made) if "LAM" in config.maps else None,
        faithful=faithfulness_sentence(paths, effect_map.effects),
        mediated=mediation_sentence(paths, effect_map.effects) if config.paths else None,
        paths=_bytes_of(paths.mediation_figure),
        filters=filters_sentence(paths, stored.manifest.provenance) if stored.manifest else None,
    )


def _bytes_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _write_pictures(paths: ResultPaths, panel: Panel) -> None:
    """The map, its colour bar and its pie, unless the effects have changed since they were read."""
    with sole_writer(paths.pair_folder):
        if read_manifest(paths) != panel.manifest:
            raise InputError(f"{paths.pair_folder} was computed anew while its map was drawn; make the report again")
        for path, content in (
            (paths.overlay, panel.overlay),
            (paths.colour_bar, panel.colour_bar),
            (paths.pie, panel.pie),
            (paths.intervals, interval_csv(panel.map)),
        ):
            write_bytes(path, content)


def range_line(panel: Panel, where: str) -> str:
    """The range of a map in one line; ``where`` names its image, and its ROI if need be."""
    lowest, highest = panel.map.effect_map.lowest, panel.map.effect_map.highest
    return (
        f"{panel.model} on {where}: effects from {highest.effect:.2f} dB (row {highest.row}, column {highest.column}) "
        f"to {lowest.effect:.2f} dB (row {lowest.row}, column {lowest.column})"
    )


def render(config: Config, sections: list[Section]) -> str:
    """The HTML text; everything from the config is escaped."""
    return render_page(
        TEMPLATE,
        {"blocks": _blocks, "rounding_floor": _rounding_floor, "remarks": _remarks},
        config=config,
        sections=sections,
        config_text=yaml.safe_dump(config.model_dump(exclude_none=True), sort_keys=False, allow_unicode=True),
        bound=COLOUR_BOUND[config.task],
        largest=_largest_certified(config, sections),
        colours={"table": colour_table(), "gamma": GAMMA},
    )


def _largest_certified(config: Config, sections: list[Section]) -> float:
    """The bound at which no certified effect of the run is saturated, dB, two digits; the published one if none is."""
    largest = max(panel.map.largest for section in sections for panel in section.panels)
    return math.ceil(100 * largest) / 100 or COLOUR_BOUND[config.task]


def _rounding_floor(panel: Panel, roi: ROI) -> float:
    """The shift (dB) of all effects of a map that rounding its ROI to 8 bits typically makes."""
    return rounding_floor(panel.origin, 3 * roi.width * roi.height)


def _remarks(shown: Map) -> list[str]:
    """What the draws of a map say beside it, in lines."""
    return list(remark_lines(shown.certainty))


def _blocks(shown: Map) -> dict[str, Any]:
    """What the page's script shows of each block; intervals are null where there are none."""
    effect_map = shown.effect_map
    return {
        "effects": effect_map.effects.round(4).tolist(),
        "interventions": effect_map.interventions.tolist(),
        "codes": shown.codes.tolist(),
        "low": _finite_or_null(shown.low),
        "high": _finite_or_null(shown.high),
    }


def _finite_or_null(ends: NDArray[np.float64]) -> list[list[float | None]]:
    return [[round(end, 4) if math.isfinite(end) else None for end in row] for row in ends.tolist()]
