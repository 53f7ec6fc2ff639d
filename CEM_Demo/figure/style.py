"""How a figure looks: its width, font and colors; what the user asks for is checked here."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from CEM_Demo.errors import InputError
from CEM_Demo.report.colours import COLOUR_BOUND, COLOUR_MAPS, PUBLISHED_MAP, Scale
from CEM_Demo.report.panels import Panel
from CEM_Demo.wording import did_you_mean, first_of

FONT_SIZE = 8.0  # points
POINTS = {"cm": 72 / 2.54, "mm": 72 / 25.4, "in": 72.0, "pt": 72 / 72.27, "bp": 1.0}
LEAST_WIDTH, LARGEST_WIDTH = 100.0, 2000.0  # points
# The first of them that is installed; Matplotlib brings the last one along.
FONTS = ("Arial", "Liberation Sans", "DejaVu Sans")


@dataclass(frozen=True)
class Style:
    """What a figure is drawn with.

    Attributes:
        width: of the figure, in points of 1/72 inch.
        font: name of a TrueType font; None takes the first of ``FONTS`` that is installed.
        colour_bound: ``auto``, ``published``, or dB at which the colors saturate.
        colour_map: one of ``COLOUR_MAPS``.
    """

    width: float = 17.8 * POINTS["cm"]
    font: str | None = None
    colour_bound: str | float = "auto"
    colour_map: str = PUBLISHED_MAP

    def __post_init__(self) -> None:
        if not LEAST_WIDTH <= self.width <= LARGEST_WIDTH:
            shown = f"{self.width / POINTS['cm']:.1f} cm"
            raise InputError(f"width: {shown} is no width for a figure; a column has about 8.6cm, a page 17.8cm")
        if self.colour_map not in COLOUR_MAPS:
            raise InputError(f"colour_map: {self.colour_map!r} is not one of {', '.join(COLOUR_MAPS)}")
        if isinstance(self.colour_bound, str):
            object.__setattr__(self, "colour_bound", parse_bound(self.colour_bound))

    def scale_for(self, panels: Sequence[Panel], at_least: float = 0.0) -> Scale:
        """Give the scale that all panels of a figure share.

        ``auto`` ends at their largest certified effect, and at no less than ``at_least`` dB.
        """
        published = COLOUR_BOUND[panels[0].task]
        if self.colour_bound == "auto":
            # A figure without any effect needs a scale too.
            return Scale(max(at_least, *(panel.map.largest for panel in panels)) or published, self.colour_map)
        return Scale(published if self.colour_bound == "published" else float(self.colour_bound), self.colour_map)


def parse_width(text: str) -> float:
    """Give a length in points of 1/72 inch.

    >>> round(parse_width("8.6cm"), 2), parse_width("3.5in")
    (243.78, 252.0)

    Raises:
        InputError: it is not a number with one of the units cm, mm, in, pt (of TeX) and bp.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*(\w+)", text.strip())
    if match is None or match[2] not in POINTS:
        raise InputError(f"width: {text!r} is no length; give a number and a unit, such as 8.6cm, 3.5in or 252pt")
    return float(match[1]) * POINTS[match[2]]


def parse_bound(text: str) -> str | float:
    """Give ``auto``, ``published``, or a number of dB.

    Raises:
        InputError: it is none of them, or no positive number.
    """
    if text in ("auto", "published"):
        return text
    try:
        bound = float(text)
    except ValueError:
        bound = math.nan
    if not 0 < bound < math.inf:
        raise InputError(f"colour_bound: {text!r} is neither auto nor published nor a positive number of dB")
    return bound


def find_font(name: str | None) -> str:
    """Give the name of an installed TrueType font, which all formats can embed.

    Raises:
        InputError: there is none of this name.
    """
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist if font.fname.lower().endswith(".ttf")}
    if name is None:
        return next(font for font in FONTS if font in installed)
    folded = {font.casefold(): font for font in installed}
    if name.casefold() in folded:
        return folded[name.casefold()]
    hint = did_you_mean(name, installed, cutoff=0.5) or f"there are {first_of(sorted(installed), 5)}"
    raise InputError(f"font: no TrueType font {name!r} is installed; {hint}")
