"""From effects on disk to maps and one self-contained HTML file, or a folder of them where one would be too large."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from PIL import Image

from CEM_Demo.config.schema import Config
from CEM_Demo.files import remove_leftovers, write_bytes
from CEM_Demo.geometry import image_with_rois
from CEM_Demo.images import png_bytes
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.report.certainty_text import interval_csv, summary_lines
from CEM_Demo.report.colours import COLOUR_BOUND
from CEM_Demo.report.figures import colour_bar, overlay, pie
from CEM_Demo.report.lam_maps import write_lams
from CEM_Demo.report.page import Entry, entry_of, page_name, render_index, render_sections
from CEM_Demo.report.sections import Column, Section, make_section, pairs_of
from CEM_Demo.report.thumbnails import find_bank
from CEM_Demo.results.cache import drawn_from, shared_files
from CEM_Demo.results.paths import check_nothing_is_shared, report_folder, report_path, result_paths

log = logging.getLogger(__name__)

# Browsers take seconds to open a larger page, and many mail servers refuse it even when it is packed.
MOST_BYTES = 60_000_000
# Of a page, as measured on 50 noisy photographs and six models of which each uses 400 of 1,024 blocks.
BYTES_PER_PIXEL = 5.2  # ground truth and input, without loss
BYTES_PER_RESTORED_PIXEL = 0.15
BYTES_PER_BLOCK = 60.0  # of a map
BYTES_PER_COMPARED_BLOCK = 15.0  # of a difference


def make_report(config: Config, summary: bool = False) -> Path:
    """Draw the maps of all models and images of a run and put them into one HTML file.

    Where that is predicted to have more than ``MOST_BYTES``, it is an index of pages, one for each image, in the
    folder of :func:`~CEM_Demo.results.paths.report_folder` beside it. Nothing else in that folder is touched.

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
    path, bank = report_path(config), find_bank(config)
    if predicted_bytes(config) <= MOST_BYTES:
        sections = [section for image in config.Imagelist for section in _draw(config, image, bank, summary)]
        _write_page(config, path, render_sections(config, sections, bank))
        return path
    folder, entries = report_folder(config), list[Entry]()
    for image in config.Imagelist:
        sections = list(_draw(config, image, bank, summary))
        page = render_sections(config, sections, bank, home=f"../{path.name}")
        _write_page(config, folder / page_name(image), page)
        entries += [entry_of(section) for section in sections]
    _write_page(config, path, render_index(config, entries, folder.name))
    return path


def predicted_bytes(config: Config) -> float:
    """Predict how large a page with all images and models is; images that cannot be found count as nothing."""
    total, models = 0.0, len(config.models)
    maps = models * (1 + len(config.further_metrics))
    for image in config.Imagelist:
        try:
            with Image.open(config.image_path(image)) as picture:
                pixels = picture.width * picture.height
        except OSError:
            continue
        blocks = pixels / config.mask_block_size**2 * len(config.rois_of(image))
        total += pixels * (BYTES_PER_PIXEL + models * BYTES_PER_RESTORED_PIXEL)
        total += blocks * (maps * BYTES_PER_BLOCK + len(pairs_of(models)) * BYTES_PER_COMPARED_BLOCK)
    return total


def _write_page(config: Config, path: Path, text: str) -> None:
    image = config.Imagelist[0]
    with shared_files(result_paths(config, next(iter(config.models)), image, config.rois_of(image)[0])):
        remove_leftovers(path.parent, path.name)
        write_bytes(path, text.encode())


def _draw(config: Config, image: str, bank: PatchBank | str, summary: bool) -> Iterator[Section]:
    """Read the ROIs of an image, write the pictures of their maps, and log what they say."""
    rois = config.rois_of(image)
    for roi in rois:
        section = make_section(config, image, roi, bank)
        where = image_with_rois(image, [roi], of=len(rois))
        for column in section.columns:
            _write_pictures(config, column)
            log.info(range_line(column, where))
            if summary:
                exact = column.manifest.unrounded_origin if column.manifest else None
                name, certainty = f"{column.model} on {where}", column.panel.map.certainty
                for line in summary_lines(name, column.panel.origin, exact, roi, certainty):
                    log.info(line)
        if summary:
            for line in chain.from_iterable(section.comparisons):
                log.info(line if line.startswith(" ") else f"{where}: {line}")
        yield section


def _write_pictures(config: Config, column: Column) -> None:
    """Draw the map, its colour bar and its pie, unless the effects have changed since they were read."""
    panel = column.panel
    paths, effect_map = result_paths(config, panel.model, panel.image, panel.roi), panel.map.effect_map
    bound, shape = COLOUR_BOUND[panel.task], panel.ground_truth.shape
    drawn = overlay(effect_map, panel.degraded, panel.roi, panel.block, (shape[0], shape[1]), bound)
    with drawn_from(paths, column.manifest):
        for path, content in (
            (paths.overlay, png_bytes(drawn)),
            (paths.colour_bar, colour_bar(effect_map, bound)),
            (paths.pie, pie(effect_map)),
            (paths.intervals, interval_csv(panel.map)),
        ):
            write_bytes(path, content)


def range_line(column: Column, where: str) -> str:
    """The range of a map in one line; ``where`` names its image, and its ROI if need be."""
    lowest, highest = column.panel.map.effect_map.lowest, column.panel.map.effect_map.highest
    return (
        f"{column.model} on {where}: effects from {highest.effect:.2f} dB (row {highest.row}, column {highest.column}) "
        f"to {lowest.effect:.2f} dB (row {lowest.row}, column {lowest.column})"
    )
