"""The report as HTML: a page that shows sections, and an index of pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import yaml

from CEM_Demo.config.schema import Config
from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image, webp_bytes
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.method.reliability import rounding_floor
from CEM_Demo.pages import render_page
from CEM_Demo.report.certainty_text import remark_lines
from CEM_Demo.report.colours import GAMMA, colour_table
from CEM_Demo.report.page_data import column_data, kinds_of, pair_data, used_patches
from CEM_Demo.report.panels import Map
from CEM_Demo.report.sections import Column, Section
from CEM_Demo.report.thumbnails import make_sheet

TEMPLATES = Path(__file__).parent / "templates"
# A restored image lies faint behind a map; its ROI is shown without loss.
FAINT_QUALITY = 75
INDEX_HEIGHT = 64  # pixels of a ground truth in the index


@dataclass(frozen=True)
class ModelLine:
    """What an index says of one model on one ROI: its blocks outside the ROI that help and that hurt."""

    model: str
    origin: float
    helping: int
    hurting: int
    verified: bool

    @property
    def used(self) -> int:
        """How many blocks outside the ROI help or hurt."""
        return self.helping + self.hurting


@dataclass(frozen=True)
class Entry:
    """What an index says of one ROI of an image, with the ground truth in small as the bytes of a WebP file."""

    image: str
    roi: ROI
    picture: bytes
    models: list[ModelLine]


def entry_of(section: Section) -> Entry:
    """Sum up a section."""
    lines = [
        ModelLine(column.model, column.panel.origin, column.helping, column.hurting, column.manifest is not None)
        for column in section.columns
    ]
    truth = section.scene.ground_truth
    width = max(1, round(truth.shape[1] * INDEX_HEIGHT / truth.shape[0]))
    small = cv2.resize(truth, (width, INDEX_HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8)
    return Entry(section.image, section.roi, webp_bytes(small, FAINT_QUALITY), lines)


def render_sections(config: Config, sections: Sequence[Section], bank: PatchBank | str, home: str = "") -> str:
    """Give the HTML text of a page; everything from the config and from names of files is escaped.

    Args:
        config: of the run.
        sections: what the page shows; at least one.
        bank: the patches, or why they are not known.
        home: file of the index, relative to this page; empty where the page stands alone.
    """
    columns = [column for section in sections for column in section.columns]
    kinds, used = kinds_of(columns), used_patches(columns)
    return _render(
        "report.html",
        config,
        [entry_of(section) for section in sections],
        home=home,
        sections=sections,
        colours={"table": colour_table(), "gamma": GAMMA},
        kinds=[kind.as_json() for kind in kinds],
        sheet=make_sheet(bank, used) if len(used) and isinstance(bank, PatchBank) else None,
        notes=sorted({column.note for column in columns} - {""}),
        data=lambda column: column_data(column, kinds, used),
    )


def render_index(config: Config, entries: Sequence[Entry], folder: str) -> str:
    """Give the HTML text of an index of pages in ``folder``, relative to the index; see :func:`page_name`."""
    return _render("index.html", config, entries, link=lambda image: quote(f"{folder}/{page_name(image)}"))


def page_name(image: str) -> str:
    """Name the file of the page of an image."""
    return f"{image}.html"


def headline(entries: Sequence[Entry]) -> str:
    """Say in one sentence how many blocks each model uses, and how many of them mislead it."""
    parts = []
    for lines in zip(*(entry.models for entry in entries), strict=True):
        used, hurting = (_mean([getattr(line, name) for line in lines]) for name in ("used", "hurting"))
        parts.append(f"{lines[0].model} uses {used} blocks outside the ROI, {hurting} of them mislead it")
    where = f"On average over {len(entries)} ROIs, " if len(entries) > 1 else ""
    return where + "; ".join(parts) + "."


def _mean(numbers: Sequence[int]) -> str:
    """A count, or the mean of several."""
    return f"{sum(numbers) / len(numbers):.1f}" if len(numbers) > 1 else str(numbers[0])


def _render(template: str, config: Config, entries: Sequence[Entry], **values: Any) -> str:
    return render_page(
        TEMPLATES / template,
        FILTERS,
        config=config,
        entries=entries,
        headline=headline(entries),
        unverified=sum(not line.verified for entry in entries for line in entry.models),
        today=date.today().isoformat(),
        config_text=yaml.safe_dump(config.model_dump(exclude_none=True), sort_keys=False, allow_unicode=True),
        **values,
    )


def _cut_to(image: UInt8Image, roi: ROI) -> UInt8Image:
    return np.ascontiguousarray(image[roi.window])


def _rounding_floor(column: Column) -> float:
    """The shift (dB) of all effects of a map that rounding its ROI to 8 bits typically makes."""
    return rounding_floor(column.panel.origin, 3 * column.panel.roi.width * column.panel.roi.height)


def _remarks(shown: Map) -> list[str]:
    """What the draws of a map say beside it, in lines."""
    return list(remark_lines(shown.certainty))


def _faint(image: UInt8Image) -> bytes:
    return webp_bytes(image, FAINT_QUALITY)


FILTERS = {
    "lossless": webp_bytes,
    "faint": _faint,
    "cut_to": _cut_to,
    "pair_data": pair_data,
    "rounding_floor": _rounding_floor,
    "remarks": _remarks,
}
