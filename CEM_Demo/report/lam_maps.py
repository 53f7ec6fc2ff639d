"""Local Attribution Maps of a run beside its causal effect maps: pictures, numbers, and a line for each map."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.attribution.diffusion import describe
from CEM_Demo.attribution.pictures import blend, density_picture, enlarged_input, kernel_density, map_picture
from CEM_Demo.attribution.side_by_side import SideBySide, compare_with_effects
from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.files import remove, sole_writer, write_bytes
from CEM_Demo.geometry import image_with_rois
from CEM_Demo.images import UInt8Image, png_bytes, with_roi_box
from CEM_Demo.report.panels import Map, Panel, read_panels
from CEM_Demo.results.lam_files import MissingLam, StoredLam, read_lam
from CEM_Demo.results.paths import ResultPaths, result_paths

log = logging.getLogger(__name__)


def write_lams(config: Config) -> None:
    """Draw the Local Attribution Maps of a run, compare them with its effects, and log a line for each.

    A map lies in its pair's folder as ``LAM.png``, with ``lam_density`` as ``LAM_density.png`` as well, and the
    comparison as ``LAM_CEM.json``. Where there is no map, the log says why.

    Raises:
        InputError: results are missing, unfinished or damaged, or another process is writing them.
    """
    for panels in read_panels(config, config.Imagelist, list(config.models)):
        for panel in panels:
            paths = result_paths(config, panel.model, panel.image, panel.roi)
            where = image_with_rois(panel.image, [panel.roi], of=len(config.rois_of(panel.image)))
            with sole_writer(paths.pair_folder):
                found = read_lam(paths)
                if isinstance(found, MissingLam):
                    log.warning("%s on %s: no LAM: %s", panel.model, where, found.reason)
                else:
                    _write(paths, panel, found, bool(config.lam_density), f"{panel.model} on {where}")


def _write(paths: ResultPaths, panel: Panel, found: StoredLam, with_density: bool, where: str) -> None:
    """Write the pictures and the comparison of one map, and log its line."""
    write_bytes(paths.lam_picture, png_bytes(lam_picture(panel, found)))
    remove(paths.lam_density)
    if with_density:
        try:
            write_bytes(paths.lam_density, png_bytes(lam_density_picture(panel, found)))
        except InputError as error:
            log.warning("%s: %s", where, error)
    try:
        beside = compare_lam(panel, found)
        line, values = str(beside), beside.as_json()
    except InputError as error:
        line, values = str(error), {"not_compared": str(error)}
    log.info("%s: LAM: %s; %s", where, lam_text(found), line)
    named = {"model": panel.model, "image": panel.image, "roi": str(panel.roi)}
    contents = {**named, "lam": found.numbers.model_dump(), "compared_with_effects": values}
    write_bytes(paths.lam_comparison, (json.dumps(contents, indent=2) + "\n").encode())


@dataclass(frozen=True)
class ShownLam:
    """What the report shows of a Local Attribution Map.

    Attributes:
        picture: bytes of a PNG of the size of the output.
        lines: of text.
        shares: rows x columns, what each block has of the sum of the map, percent.
    """

    picture: bytes
    lines: tuple[str, ...]
    shares: NDArray[np.float64]


def shown_lam(paths: ResultPaths, shown: Map) -> ShownLam | None:
    """Read what :func:`write_lams` drew of a map; None where there is none.

    Raises:
        InputError: the map is damaged.
    """
    if not paths.lam_picture.is_file() or isinstance(found := read_lam(paths), MissingLam):
        return None
    try:
        beside = str(compare_with_effects(found.block_sums, shown.effect_map.effects, shown.certainty))
    except InputError as error:
        beside = str(error)
    shares = 100 * found.block_sums / (found.block_sums.sum() or 1.0)
    return ShownLam(paths.lam_picture.read_bytes(), (lam_text(found), beside), shares)


def lam_text(found: StoredLam) -> str:
    """Give the diffusion index of a map with the size of the input, on which it depends."""
    numbers = found.numbers
    return describe(numbers.diffusion_index, numbers.pixels, (numbers.height, numbers.width))


def compare_lam(panel: Panel, found: StoredLam) -> SideBySide:
    """Compare a stored map with the effects of the same network, image and ROI.

    Raises:
        InputError: all attribution lies on the blocks of the ROI.
    """
    return compare_with_effects(found.block_sums, panel.map.effect_map.effects, panel.map.certainty)


def lam_picture(panel: Panel, found: StoredLam) -> UInt8Image:
    """Draw a map at the size of the output, with the ROI framed: sH x sW x 3."""
    return with_roi_box(map_picture(found.map, _scale(panel)), panel.roi)


def lam_density_picture(panel: Panel, found: StoredLam) -> UInt8Image:
    """Draw the kernel density of a map over the network's input, with the ROI framed: sH x sW x 3.

    Raises:
        InputError: the map is too large or too narrow for a density.
    """
    drawn = density_picture(kernel_density(found.map), _scale(panel))
    return with_roi_box(blend(drawn, enlarged_input(panel.degraded, _scale(panel))), panel.roi)


def _scale(panel: Panel) -> int:
    return panel.ground_truth.shape[0] // panel.degraded.shape[0]
