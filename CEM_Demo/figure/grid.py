"""Rows and columns of pictures with titles above and numbers beneath."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from CEM_Demo.figure.drawing import draw_pie
from CEM_Demo.figure.sheet import LINE, Sheet, text_width, wrap
from CEM_Demo.figure.style import FONT_SIZE
from CEM_Demo.geometry import ROI
from CEM_Demo.report.colours import Scale
from CEM_Demo.report.panels import Panel

GAP = 4.0  # points between pictures
PIE = 13.0  # diameter, points
FOOT = PIE + 3.0  # points beneath a picture
FOOT_LINE = 2 + PIE / 2 + 0.36 * FONT_SIZE  # points from a picture to the baseline beneath
MOST_LINES = 3  # of a title


@dataclass(frozen=True)
class Cell:
    """A picture of the grid.

    Attributes:
        window: what its axes show, in full-resolution pixels.
        draw: draws it.
        panel: whose PSNR and pie stand beneath; None for none.
        note: a line that stands beneath instead.
    """

    window: ROI
    draw: Callable[[Axes], None]
    panel: Panel | None = None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """Pictures side by side, and what is written at their left."""

    label: str
    cells: Sequence[Cell]


def draw_grid(sheet: Sheet, top: float, titles: Sequence[str], rows: Sequence[Row], scale: Scale) -> float:
    """Draw pictures in the sheet's full width, from ``top`` on (points); give where they end.

    Titles name the columns; labels the rows, where they have any.
    """
    indent = LINE if any(row.label for row in rows) else 0.0
    width = (sheet.width - indent - GAP * (len(titles) - 1)) / len(titles)
    top = _draw_titles(sheet, top, titles, indent, width)
    for row in rows:
        heights = [width * cell.window.height / cell.window.width for cell in row.cells]
        if indent:
            _draw_label(sheet, row.label, top, max(heights))
        for index, (cell, height) in enumerate(zip(row.cells, heights, strict=True)):
            left = indent + index * (width + GAP)
            cell.draw(sheet.place_picture(left, top, width, height, cell.window))
            if cell.panel:
                _draw_foot(sheet, cell.panel, left, top + height, width, scale)
            elif cell.note:
                sheet.write(left + width / 2, top + height + FOOT_LINE, cell.note, ha="center", va="baseline")
        top += max(heights) + (FOOT if any(cell.panel for cell in row.cells) else 0.0) + GAP
    return top - GAP


def _draw_titles(sheet: Sheet, top: float, titles: Sequence[str], indent: float, width: float) -> float:
    """Draw the titles of the columns, all on the last of their lines; give where they end (points)."""
    wrapped = [shorten(wrap(title, width), MOST_LINES) for title in titles]
    most = max(len(lines) for lines in wrapped)
    for index, lines in enumerate(wrapped):
        middle = indent + index * (width + GAP) + width / 2
        for number, line in enumerate(lines):
            at = top + (most - len(lines) + number + 0.78) * LINE
            sheet.write(middle, at, line, ha="center", va="baseline")
    return top + most * LINE + 1.5


def _draw_label(sheet: Sheet, label: str, top: float, height: float) -> None:
    line = shorten(wrap(label, height), 1)[0]
    sheet.write(0.62 * LINE, top + height / 2, line, ha="center", va="center", rotation=90)


def _draw_foot(sheet: Sheet, panel: Panel, left: float, top: float, width: float, scale: Scale) -> None:
    """Draw the pie and the PSNR of the ROI side by side, in the middle beneath a map."""
    text = f"{panel.origin:.2f} dB"
    begin = left + (width - PIE - 3 - text_width(text)) / 2
    draw_pie(sheet.place(begin, top + 2, PIE, PIE), panel, scale)
    sheet.write(begin + PIE + 3, top + FOOT_LINE, text, va="baseline")


def shorten(lines: Sequence[str], most: int) -> list[str]:
    """Cut what goes beyond ``most`` lines, and say so with dots."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 1], lines[most - 1][:-2].rstrip() + "..."]
