"""Tables of a run's numbers: models by PSNR, counts, strongest blocks."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from io import StringIO

import numpy as np

from CEM_Demo.errors import InputError
from CEM_Demo.figure.tex import tex_table
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.method.effect_map import Extreme
from CEM_Demo.report.panels import Panel
from CEM_Demo.results.lam_files import StoredLam

TABLES = ("tex", "csv", "md")
TEXT_COLUMNS = 3  # the first columns name the row
MINUS = "\N{MINUS SIGN}"
COUNTS = {
    "helps": BlockClass.HELPS,
    "hurts": BlockClass.HURTS,
    "undecided": BlockClass.UNDECIDED,
    "out of reach": BlockClass.OUT_OF_REACH,
}
HEADINGS = ("image", "ROI", "model", "ROI PSNR (dB)", *COUNTS, "strongest + (dB)", f"strongest {MINUS} (dB)", "draws")
LAM_HEADING = "LAM DI"


def make_table(panels: Sequence[Sequence[Panel]], kind: str) -> str:
    """Make a table with a row for each panel, as LaTeX (booktabs), CSV or Markdown.

    Blocks help or hurt where that is certified; undecided are those whose draws leave it open. Where a panel has a
    Local Attribution Map, the last column is its diffusion index.

    Raises:
        InputError: ``kind`` is not one of ``TABLES``.
    """
    if kind not in TABLES:
        raise InputError(f"table: {kind!r} is not one of {', '.join(TABLES)}")
    further = [LAM_HEADING] if any(panel.lam is not None for row in panels for panel in row) else []
    if kind == "csv":
        return _csv([panel for row in panels for panel in row], further)
    headings = [*HEADINGS, *further]
    blocks = [[_cells(panel)[: len(headings)] for panel in row] for row in panels]
    return _markdown(headings, blocks) if kind == "md" else tex_table(headings, blocks, TEXT_COLUMNS)


def _cells(panel: Panel) -> list[str]:
    effect_map = panel.map.effect_map
    return [
        panel.image,
        str(panel.roi),
        panel.model,
        f"{panel.origin:.2f}",
        *(str(panel.map.count(kind)) for kind in COUNTS.values()),
        _strongest(panel, effect_map.highest),
        _strongest(panel, effect_map.lowest),
        str(_draws(panel)),
        _diffusion_index(panel),
    ]


def _draws(panel: Panel) -> int:
    """Count the draws behind the effects that the map shows."""
    effect_map = panel.map.effect_map
    return int(effect_map.interventions[~effect_map.roi].sum())


def _strongest(panel: Panel, extreme: Extreme) -> str:
    """Write the effect with its interval, as in ``+0.59 [+0.41, +0.77]``."""
    if not extreme.effect:
        return ""
    low, high = (float(ends[extreme.row, extreme.column]) for ends in (panel.map.low, panel.map.high))
    ends = f" [{low:+.2f}, {high:+.2f}]" if np.isfinite(high - low) else ""
    return f"{extreme.effect:+.2f}{ends}".replace("-", MINUS)


def _diffusion_index(panel: Panel) -> str:
    """Write the diffusion index of the Local Attribution Map, or nothing where there is no map."""
    return f"{panel.lam.numbers.diffusion_index:.2f}" if isinstance(panel.lam, StoredLam) else ""


def _csv(panels: Sequence[Panel], further: Sequence[str]) -> str:
    """Write plain numbers, a column for each."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    extremes = [f"{part} {sign}" for sign in "+-" for part in ("strongest", "low", "high", "row", "column")]
    writer.writerow([*HEADINGS[: TEXT_COLUMNS + 1 + len(COUNTS)], *extremes, "draws", *further])
    for panel in panels:
        effect_map = panel.map.effect_map
        cells = _cells(panel)[: TEXT_COLUMNS + 1 + len(COUNTS)]
        for extreme in (effect_map.highest, effect_map.lowest):
            place = extreme.row, extreme.column
            effects = extreme.effect, panel.map.low[place], panel.map.high[place]
            known = [*(f"{effect:.4f}" for effect in effects), *map(str, place)]
            cells += known if extreme.effect else [""] * len(known)
        writer.writerow([*cells, _draws(panel), *([_diffusion_index(panel)] if further else [])])
    return text.getvalue()


def _markdown(headings: Sequence[str], blocks: Sequence[Sequence[Sequence[str]]]) -> str:
    rule = ["---"] * TEXT_COLUMNS + ["---:"] * (len(headings) - TEXT_COLUMNS)
    lines = [headings, rule, *([_escape_markdown(cell) for cell in row] for rows in blocks for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escape_markdown(cell: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\|*_`<>[]" else letter for letter in cell)
