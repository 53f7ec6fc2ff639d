"""Color bars: effects in dB, and the attribution of a Local Attribution Map."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from CEM_Demo.attribution.pictures import map_colors
from CEM_Demo.figure.drawing import add_polygons
from CEM_Demo.figure.sheet import Sheet
from CEM_Demo.figure.style import FONT_SIZE
from CEM_Demo.images import UInt8Image
from CEM_Demo.report.colours import Scale

WIDTH_SHARE, MOST_WIDTH, HEIGHT = 0.62, 250.0, 6.0  # of the sheet's width; points
STEPS = 256
LABEL = "Effect on the PSNR of the ROI (dB)"
LAM_LABEL = "LAM: attribution over its largest value (without sign)"


def draw_bar(sheet: Sheet, top: float, scale: Scale, shown: Sequence[NDArray[np.float64]]) -> float:
    """Draw the color bar of effects, with ticks in dB, at the sheet's middle; give where it ends (points).

    Its ends say the bound, and where effects of the maps that are ``shown`` go beyond it, that they do.
    """
    ticks = bar_ticks(scale.bound)
    labels = [_signed(tick) for tick in ticks]
    if min(float(values.min()) for values in shown) < -scale.bound:
        labels[0] = f"\N{LESS-THAN OR EQUAL TO} {labels[0]}"
    if max(float(values.max()) for values in shown) > scale.bound:
        labels[-1] = f"\N{GREATER-THAN OR EQUAL TO} {labels[-1]}"
    return _draw_bar(sheet, top, (-scale.bound, scale.bound), scale.colours, labels, ("hurts", "helps"), LABEL)


def draw_lam_bar(sheet: Sheet, top: float) -> float:
    """Draw the color bar of Local Attribution Maps, each over its largest value; give where it ends (points)."""

    def colours(values: NDArray[np.float64]) -> UInt8Image:
        return map_colors(values)[..., :3]

    return _draw_bar(sheet, top, (0, 1), colours, ["0", "0.5", "1"], ("", ""), LAM_LABEL)


def _draw_bar(
    sheet: Sheet,
    top: float,
    ends: tuple[float, float],
    colours: Callable[[NDArray[np.float64]], UInt8Image],
    labels: Sequence[str],
    words: tuple[str, str],
    meaning: str,
) -> float:
    """Draw a bar of the colors between two values, with labels evenly beneath and a word at either side."""
    width = min(WIDTH_SHARE * sheet.width, MOST_WIDTH)
    left = (sheet.width - width) / 2
    axes = sheet.place(left, top, width, HEIGHT)
    axes.set(xlim=ends, ylim=(0, 1))
    _fill(axes, ends, colours)
    axes.set_xticks(list(np.linspace(*ends, len(labels))), [])
    axes.set_yticks([])
    for label, share in zip(labels, np.linspace(0, 1, len(labels)), strict=True):
        sheet.write(left + share * width, top + HEIGHT + 4.5, label, ha="center")
    for word, place, align in ((words[0], left - 4, "right"), (words[1], left + width + 4, "left")):
        sheet.write(place, top + HEIGHT / 2, word, ha=align, va="center")
    under = top + HEIGHT + 2.5 + 1.25 * FONT_SIZE + 2.5
    sheet.write(sheet.width / 2, under, meaning, ha="center")
    return under + 1.1 * FONT_SIZE


def _fill(axes: Axes, ends: tuple[float, float], colours: Callable[[NDArray[np.float64]], UInt8Image]) -> None:
    edges = np.linspace(*ends, STEPS + 1)
    # Each step goes on beneath the next ones, so that viewers show no seams.
    polygons = [[(start, 0.0), (ends[1], 0.0), (ends[1], 1.0), (start, 1.0)] for start in edges[:-1]]
    add_polygons(axes, polygons, colours((edges[:-1] + edges[1:]) / 2))


def bar_ticks(bound: float) -> list[float]:
    """Choose the ticks of a color bar: both ends, which say the bound, zero, and the half way.

    >>> bar_ticks(0.6)
    [-0.6, -0.3, 0.0, 0.3, 0.6]
    """
    return [share * bound for share in (-1, -0.5, 0, 0.5, 1)]


def _signed(tick: float) -> str:
    digits = 1 if abs(tick) >= 10 else 2 if abs(tick) >= 0.1 else 3
    return f"{tick:+.{digits}f}".replace("-", "\N{MINUS SIGN}") if tick else "0"
