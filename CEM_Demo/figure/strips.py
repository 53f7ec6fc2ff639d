"""Strips: the effects of the single draws of the strongest blocks."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from CEM_Demo.figure.drawing import INK
from CEM_Demo.figure.grid import Cell
from CEM_Demo.figure.sheet import LINE, Sheet, text_width
from CEM_Demo.figure.style import FONT_SIZE
from CEM_Demo.report.colours import Scale
from CEM_Demo.report.panels import Panel

BLOCKS = 5  # in a strip
MAP_SHARE, MOST_MAP = 0.3, 110.0  # width of a map: share of the sheet's, and at most points
LANE = 15.0  # points for a block
AXIS = 2.5 * LINE  # points for ticks and their label
DARK = 140  # mean level of RGB below which ink is white


def draw_strip_row(
    sheet: Sheet,
    top: float,
    panel: Panel,
    title: str,
    map_cell: Cell,
    limits: tuple[float, float],
    scale: Scale,
    with_axis: bool,
) -> float:
    """Draw a map with its strongest blocks numbered, and beside it their draws; give where that ends (points).

    Args:
        sheet: to draw on, in its full width.
        top: where to begin, points.
        panel: whose blocks they are.
        title: above the map.
        map_cell: draws the map.
        limits: the smallest and largest draw of the figure, dB.
        scale: of the colors.
        with_axis: whether the ticks of the axis are labeled.
    """
    sheet.write(0, top + 0.78 * LINE, f"{title}: {panel.origin:.2f} dB", va="baseline")
    top += LINE + 1.5
    width = min(MAP_SHARE * sheet.width, MOST_MAP)
    height = max(width * map_cell.window.height / map_cell.window.width, BLOCKS * LANE + with_axis * AXIS)
    axes = sheet.place_picture(0, top, width, width * map_cell.window.height / map_cell.window.width, map_cell.window)
    map_cell.draw(axes)
    places = panel.map.strongest(BLOCKS)
    _number_blocks(axes, panel, places, scale)
    numbers = text_width("\N{MINUS SIGN}0.00 [\N{MINUS SIGN}0.00, \N{MINUS SIGN}0.00]") + 4
    left = width + 2 * FONT_SIZE
    strip = sheet.place(left, top, sheet.width - left - numbers, height - with_axis * AXIS)
    _draw_draws(strip, panel, places, scale, with_axis)
    margin = 0.03 * (limits[1] - limits[0]) or 1.0
    strip.set_xlim(limits[0] - margin, limits[1] + margin)
    lane = (height - with_axis * AXIS) / BLOCKS
    for number, place in enumerate(places):
        middle = top + (number + 0.5) * lane
        sheet.write(sheet.width, middle + 0.36 * FONT_SIZE, _shown(panel, place), ha="right", va="baseline")
    return top + height


def _number_blocks(axes: Axes, panel: Panel, places: list[tuple[int, int]], scale: Scale) -> None:
    colours = scale.colours(panel.map.values)
    for number, (row, column) in enumerate(places, 1):
        dark = colours[row, column].mean() < DARK
        middle = (column + 0.5) * panel.block, (row + 0.5) * panel.block
        axes.text(*middle, str(number), ha="center", va="center_baseline", color="white" if dark else INK)


def _draw_draws(axes: Axes, panel: Panel, places: list[tuple[int, int]], scale: Scale, with_axis: bool) -> None:
    """Draw a lane for each block: its draws as dots, their mean and its interval in black."""
    axes.axvline(0, color=INK, linewidth=0.5)
    shown = panel.map
    for lane, place in enumerate(places):
        draws = shown.draws[place][shown.tried[place]]
        # A fixed spread, so that dots of equal draws lie beside each other, and a figure stays the same.
        spread = lane + 0.25 * np.sin(2.4 * np.arange(len(draws)))
        axes.scatter(draws, spread, s=4, c=scale.colours(draws) / 255, edgecolors=INK, linewidths=0.2)
        axes.plot([shown.low[place], shown.high[place]], [lane, lane], color="black", linewidth=1.2)
        axes.plot([shown.values[place]] * 2, [lane - 0.3, lane + 0.3], color="black", linewidth=1.2)
    axes.set(ylim=(BLOCKS - 0.5, -0.5))
    axes.set_yticks(range(len(places)), [str(number) for number in range(1, len(places) + 1)])
    axes.tick_params(left=False, labelbottom=with_axis)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if with_axis:
        axes.set_xlabel("Effect of a draw (dB)", labelpad=2)


def _shown(panel: Panel, place: tuple[int, int]) -> str:
    low, high = panel.map.low[place], panel.map.high[place]
    ends = f" [{low:.2f}, {high:.2f}]" if np.isfinite(high - low) else ""
    return f"{panel.map.values[place]:.2f}{ends}".replace("-", "\N{MINUS SIGN}")
