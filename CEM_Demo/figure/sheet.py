"""A sheet of paper on which axes and text are placed in points from its top left corner."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.textpath import TextPath

from CEM_Demo.figure.style import FONT_SIZE, Style, find_font
from CEM_Demo.geometry import ROI

LINE = 1.2 * FONT_SIZE  # points from one line of text to the next
BREAKS = "@_.-"  # after which a name may go on in the next line


class Sheet:
    """Collects what a figure holds; its height is known when all is placed.

    Attributes:
        width: points of 1/72 inch.
        style: of the figure.
    """

    def __init__(self, style: Style) -> None:
        self.width, self.style = style.width, style
        self._figure = Figure(figsize=(self.width / 72, 1))
        self._axes: list[tuple[Axes, tuple[float, float, float, float]]] = []
        self._texts: list[tuple[Text, float, float]] = []

    def place(self, left: float, top: float, width: float, height: float) -> Axes:
        """Place axes, given in points."""
        axes = self._figure.add_axes((left / self.width, 0, width / self.width, 1))
        self._axes.append((axes, (left, top, width, height)))
        return axes

    def place_picture(self, left: float, top: float, width: float, height: float, window: ROI) -> Axes:
        """Place axes without a frame whose coordinates are the full-resolution pixels of ``window``."""
        axes = self.place(left, top, width, height)
        axes.set(xlim=(window.left, window.right), ylim=(window.bottom, window.top))
        axes.set_axis_off()
        return axes

    def write(self, left: float, top: float, text: str, **properties: Any) -> None:
        """Write text that begins at ``left`` and ``top`` (points), or lies there as its alignment says."""
        properties = {"ha": "left", "va": "top", **properties}
        self._texts.append((self._figure.text(0, 0, text, **properties), left, top))

    def finish(self, height: float) -> Figure:
        """Give the figure, cut to ``height`` (points)."""
        self._figure.set_size_inches(self.width / 72, height / 72)
        for axes, (left, top, wide, high) in self._axes:
            bottom = (height - top - high) / height
            axes.set_position((left / self.width, bottom, wide / self.width, high / height))
        for text, left, top in self._texts:
            text.set_position((left / self.width, 1 - top / height))
        return self._figure


@contextmanager
def drawing_with(style: Style) -> Iterator[None]:
    """Draw with a style's font at its true size, fonts embedded, names taken literally, equal bytes for equal input.

    Raises:
        InputError: the font is not installed.
    """
    settings: Any = {
        # Letters that a font lacks, of other scripts, come from the second one.
        "font.family": [find_font(style.font), "DejaVu Sans"],
        "font.size": FONT_SIZE,
        "text.parse_math": False,
        "pdf.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "CEM",
        "image.composite_image": False,
        "image.interpolation": "none",
        "savefig.dpi": 300,
        "axes.linewidth": 0.5,
        "xtick.major.width": 0.5,
        "xtick.major.size": 2.5,
        "xtick.major.pad": 2,
        "pgf.rcfonts": False,
    }
    # What the user's own matplotlibrc says must not move a figure.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        with matplotlib.rc_context(settings):
            yield


def text_width(text: str) -> float:
    """Measure a line of text, in points."""
    return float(TextPath((0, 0), text, size=FONT_SIZE).get_extents().width) if text.strip() else 0.0


def wrap(text: str, width: float) -> list[str]:
    """Break text into lines no wider than ``width`` (points): between words, and in a long one after ``BREAKS``."""
    lines = [""]
    for word in text.split():
        for number, piece in enumerate(_pieces(word, width)):
            joined = lines[-1] + " " * (number == 0 and lines[-1] != "") + piece
            if text_width(joined) <= width or not lines[-1]:
                lines[-1] = joined
            else:
                lines.append(piece)
    return lines


def _pieces(word: str, width: float) -> Iterator[str]:
    """Cut a word that is too wide: after ``BREAKS``, or where it must be."""
    if text_width(word) <= width:
        yield word
        return
    for part in re.findall(rf"[^{BREAKS}]*[{BREAKS}]|[^{BREAKS}]+", word):
        while part:
            fitting = (stop for stop in range(len(part), 1, -1) if text_width(part[:stop]) <= width)
            stop = next(fitting, 1)
            yield part[:stop]
            part = part[stop:]
