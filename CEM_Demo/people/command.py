"""From masks and the finished maps of a run to a table, a JSON file and a picture for each image."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.files import write_bytes
from CEM_Demo.geometry import Grid, grid_of, image_with_rois
from CEM_Demo.images import figure_bytes
from CEM_Demo.people.assessment import Marked, Relevance, assess, bootstrap
from CEM_Demo.people.coverage import cover
from CEM_Demo.people.figure import draw
from CEM_Demo.people.masks import KINDS, Sheet, check_sheet, merged_polygons, read_sheets
from CEM_Demo.report.panels import Panel, read_panels
from CEM_Demo.report.row_tables import NONE, write_table
from CEM_Demo.results.cache import shared_files
from CEM_Demo.results.paths import result_paths, table_path
from CEM_Demo.wording import did_you_mean

log = logging.getLogger(__name__)

FIGURE_DPI = 130
# The measures of the table; the JSON file has all.
SHOWN = ("auc", "spearman", "mass")


def compare_with_people(config: Config, folder: Path) -> None:
    """Compare the maps of a finished run with what annotators marked, and write what that gives.

    Args:
        config: of the run.
        folder: holds the masks; see :func:`~CEM_Demo.people.masks.read_sheets`.

    Raises:
        InputError: results are missing or unfinished, or masks are, or they are of other images.
    """
    sheets = read_sheets(folder)
    strangers = {sheet.image for sheet in sheets} - set(config.Imagelist)
    if strangers:
        name = min(strangers)
        hint = did_you_mean(name, config.Imagelist)
        raise InputError(f"{folder} has masks of {name}, which is not in Imagelist{f'; {hint}' if hint else ''}")
    found: dict[str, dict[str, Relevance]] = {}
    pooled: dict[tuple[str, str], list[Marked]] = {}
    for panels in read_panels(config, config.Imagelist, list(config.models)):
        own = [sheet for sheet in sheets if sheet.is_of(panels[0].image, panels[0].roi)]
        if not own:
            log.info("%s: nobody marked it", panels[0].image)
            continue
        shares = _shares(panels[0], own)
        for panel in panels:
            title = f"{panel.model} on {_name(config, panel)}"
            marked = {kind: _marked(panel, shares[kind], kind) for kind in KINDS}
            found[title] = {kind: assess(marked[kind], config.seed) for kind in KINDS}
            for kind in KINDS:
                pooled.setdefault((panel.model, kind), []).append(marked[kind])
            _write_picture(config, panel, marked, title)
    if not found:
        raise InputError(f"{folder} has masks of none of this run's ROIs")
    _write(config, found, pooled)


def _name(config: Config, panel: Panel) -> str:
    return image_with_rois(panel.image, [panel.roi], of=len(config.rois_of(panel.image)))


def _shares(panel: Panel, sheets: Sequence[Sheet]) -> dict[str, NDArray[np.float64]]:
    """For each kind, annotators x rows x columns: the share of each block that each annotator marked."""
    height, width = panel.ground_truth.shape[:2]
    for sheet in sheets:
        check_sheet(sheet, height, width)
    grid = Grid(height, width, panel.block, 1)
    return {
        kind: np.stack([cover(polygons, grid) for polygons in merged_polygons(sheets, kind).values()]) for kind in KINDS
    }


def _marked(panel: Panel, shares: NDArray[np.float64], kind: str) -> Marked:
    effects = panel.map.values
    grid = grid_of(panel.ground_truth, panel.block, 1)
    scores = np.maximum(effects if kind == "helps" else -effects, 0.0)
    return Marked(shares, scores, grid.distances_to(panel.roi), panel.map.reach, grid.overlaps(panel.roi))


def _write_picture(config: Config, panel: Panel, marked: dict[str, Marked], title: str) -> None:
    path = result_paths(config, panel.model, panel.image, panel.roi).people_figure
    write_bytes(path, figure_bytes(draw(panel, marked, title), FIGURE_DPI))


def _write(config: Config, found: dict[str, dict[str, Relevance]], pooled: dict[tuple[str, str], list[Marked]]) -> None:
    rows = {(title, kind): _row(one) for title, kinds in found.items() for kind, one in kinds.items()}
    intervals = {
        (model, kind): {name: bootstrap(images, name, config.seed, config.confidence) for name in SHOWN}
        for (model, kind), images in pooled.items()
    }
    paths = result_paths(config, next(iter(config.models)), config.Imagelist[0], config.rois_of(config.Imagelist[0])[0])
    write_table(config, paths, "People", rows, names=("map", "marked"))
    text = {
        "maps": {title: {kind: one.model_dump() for kind, one in kinds.items()} for title, kinds in found.items()},
        "over_images": {f"{model}, {kind}": values for (model, kind), values in intervals.items()},
    }
    with shared_files(paths):
        write_bytes(table_path(config, "People", ".json"), (json.dumps(text, indent=1) + "\n").encode())
    for (title, kind), cells in rows.items():
        log.info("%s, %s: AUC %s, distance alone %s", title, kind, cells["auc"], cells["auc, distance"])
    if len(next(iter(pooled.values()))) < 2:
        log.info("one image is an illustration, not a study; intervals over images need two at least")


def _row(found: Relevance) -> dict[str, str]:
    cells = {"annotators": f"{found.annotators - found.outliers} of {found.annotators}"}
    for name in SHOWN:
        cells[name] = _number(getattr(found.map, name))
        cells[f"{name}, distance"] = _number(getattr(found.distance, name))
        cells[f"{name}, people"] = _number(getattr(found.people, name) if found.people else None)
    return {
        **cells,
        "given distance": _number(found.partial),
        "p, given distance": _number(found.p_given_distance, 3),
        "p, shifts": _number(found.p_of_shifts, 3),
        "alpha": _number(found.alpha),
        "dice": _number(found.dice),
        "out of reach": NONE if found.out_of_reach is None else f"{found.out_of_reach:.0%}",
    }


def _number(value: float | None, digits: int = 2) -> str:
    return NONE if value is None else f"{value:.{digits}f}"
