"""The layouts of figures: which pictures stand where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from CEM_Demo.errors import InputError
from CEM_Demo.figure.captions import TASKS, caption, difference_numbers
from CEM_Demo.figure.drawing import draw_bar, draw_frame, draw_hatching, draw_map, draw_photograph
from CEM_Demo.figure.grid import GAP, Cell, Row, draw_grid
from CEM_Demo.figure.sheet import Sheet, drawing_with
from CEM_Demo.figure.strips import draw_strip_row
from CEM_Demo.figure.style import Style
from CEM_Demo.geometry import ROI
from CEM_Demo.report.colours import Scale
from CEM_Demo.report.differences import Difference, paired_difference
from CEM_Demo.report.panels import Panel

Panels = Sequence[Sequence[Panel]]


@dataclass(frozen=True)
class Drawing:
    """A finished figure.

    Attributes:
        name: tells it from the others of its layout; empty where there is one alone.
        figure: as it is printed.
        caption: with the numbers, to start from.
    """

    name: str
    figure: Figure
    caption: str


def draw_figures(panels: Panels, layout: str, style: Style) -> list[Drawing]:
    """Draw the figures of a layout.

    Args:
        panels: for each ROI of each image, the panels of the models, in the same order.
        layout: one of ``LAYOUTS``.
        style: width, font, colors.

    Raises:
        InputError: there is no such layout, it takes another number of models, or the font is not installed.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout: {layout!r} is not one of {', '.join(LAYOUTS)}")
    with drawing_with(style):
        return LAYOUTS[layout](panels, style)


def _comparison(panels: Panels, style: Style) -> list[Drawing]:
    """Ground truth, input and the maps of all models, a row for each ROI."""
    extents = [row[0].extent for row in panels]
    photographs = [[_photograph(row[0], "ground_truth"), _photograph(row[0], "degraded")] for row in panels]
    opening = "ground truth with the region of interest, input, and a map for each model."
    return [_side_by_side(panels, style, ["Ground truth", "Input"], photographs, extents, opening)]


def _zoom(panels: Panels, style: Style) -> list[Drawing]:
    """The maps cut to the blocks that have effects, and where that cut lies in the image."""
    windows = [window_of_effects(row) for row in panels]
    photographs = [
        [_thumbnail(row[0], window), _photograph(row[0], "degraded", window)]
        for row, window in zip(panels, windows, strict=True)
    ]
    opening = "ground truth with the part that is shown (white frame), input, and a map for each model."
    return [_side_by_side(panels, style, ["Image", "Input"], photographs, windows, opening)]


def _side_by_side(
    panels: Panels,
    style: Style,
    titles: Sequence[str],
    photographs: Sequence[Sequence[Cell]],
    windows: Sequence[ROI],
    opening: str,
) -> Drawing:
    """Photographs and the maps of all models, a row for each ROI, which shows its window of the image."""
    every = [panel for row in panels for panel in row]
    scale = style.scale_for(every)
    rows = [
        Row(_label(row[0]), [*cells, *(_map(panel, scale, window) for panel in row)])
        for row, cells, window in zip(panels, photographs, windows, strict=True)
    ]
    titles = [*titles, *(panel.model for panel in panels[0])]
    figure = _grid_figure(titles, rows, scale, values_of(every), style)
    return Drawing("", figure, caption(f"Causal effect maps in {TASKS[every[0].task]}: {opening}", scale, every))


def _single(panels: Panels, style: Style) -> list[Drawing]:
    """A figure for every map."""
    drawings = []
    for panel in (panel for row in panels for panel in row):
        scale = style.scale_for([panel])
        rows = [Row("", [_map(panel, scale, panel.extent)])]
        figure = _grid_figure([panel.model], rows, scale, values_of([panel]), style)
        opening = f"Causal effect map of {panel.model} in {TASKS[panel.task]}."
        name = f"{panel.model}_{PurePath(panel.image).stem}_{panel.roi}"
        drawings.append(Drawing(name, figure, caption(opening, scale, [panel])))
    return drawings


def _difference(panels: Panels, style: Style) -> list[Drawing]:
    """Two models and the paired difference of their effects; where the draws leave it open, it is hatched."""
    if len(panels[0]) != 2:
        raise InputError(f"layout: a difference is between two models, not {len(panels[0])}; choose two with --models")
    every = [panel for row in panels for panel in row]
    differences = [paired_difference(first, second) for first, second in panels]
    scale = style.scale_for(every, max(difference.largest for difference in differences))
    rows, texts = [], []
    for (first, second), difference in zip(panels, differences, strict=True):
        window = window_of_effects([first, second])
        draw = partial(_draw_difference, panel=first, difference=difference, scale=scale, window=window)
        maps = [_map(panel, scale, window) for panel in (first, second)]
        rows.append(Row(_label(first), [_thumbnail(first, window), *maps, Cell(window, draw)]))
        texts.append(difference_numbers(first, second, difference))
    models = [panel.model for panel in panels[0]]
    titles = ["Image", *models, f"{models[0]} \N{MINUS SIGN} {models[1]}"]
    shown = [*values_of(every), *(difference.values for difference in differences)]
    figure = _grid_figure(titles, rows, scale, shown, style)
    opening = f"Causal effect maps of {models[0]} and {models[1]} in {TASKS[every[0].task]}, and their difference."
    return [Drawing("", figure, "\n\n".join([caption(opening, scale, every).rstrip(), *texts]) + "\n")]


def _strip(panels: Panels, style: Style) -> list[Drawing]:
    """The strongest blocks of every map, and the effects of their single draws."""
    every = [panel for row in panels for panel in row]
    scale = style.scale_for(every)
    sheet = Sheet(style)
    limits = _limits_of_strips(every)
    top = 0.0
    for row in panels:
        window = window_of_effects(row)
        for panel in row:
            title = panel.model if len(panels) == 1 else f"{panel.model}, {_label(panel)}"
            map_cell = _map(panel, scale, window)
            last = panel is every[-1]
            top = draw_strip_row(sheet, top, panel, title, map_cell, limits, scale, last) + GAP
    height = top + GAP + draw_bar(sheet, top + GAP, scale, values_of(every))
    opening = (
        f"The strongest blocks in {TASKS[every[0].task]} and the effects of their draws (dots), with mean and 95 % "
        "interval (black)."
    )
    return [Drawing("", sheet.finish(height), caption(opening, scale, every))]


LAYOUTS: dict[str, Callable[[Panels, Style], list[Drawing]]] = {
    "comparison": _comparison,
    "single": _single,
    "zoom": _zoom,
    "difference": _difference,
    "strip": _strip,
}


def window_of_effects(panels: Sequence[Panel]) -> ROI:
    """Give the rectangle, in full-resolution pixels, of all blocks with an effect in any panel, and a block around."""
    first = panels[0]
    shown = first.map.effect_map.roi.copy()
    for panel in panels:
        shown |= panel.map.reach & (panel.map.values != 0)
    edges = []
    for axis, length in ((1, first.extent.height), (0, first.extent.width)):
        found = np.flatnonzero(shown.any(axis=axis))
        start, stop = max(int(found[0]) - 1, 0) * first.block, (int(found[-1]) + 2) * first.block
        edges.append((start, min(stop, length)))
    (top, bottom), (left, right) = edges
    return ROI(left, top, right - left, bottom - top)


def values_of(panels: Sequence[Panel]) -> list[NDArray[np.float64]]:
    """Give the effects, dB, that the maps of panels show."""
    return [panel.map.values for panel in panels]


def _draw_difference(axes: Axes, panel: Panel, difference: Difference, scale: Scale, window: ROI) -> None:
    draw_map(axes, panel, difference.values, scale, window)
    draw_hatching(axes, difference.undecided & _inside(difference.values.shape, panel, window), panel)
    draw_frame(axes, panel.roi)


def _inside(shape: tuple[int, ...], panel: Panel, window: ROI) -> NDArray[np.bool_]:
    """The blocks that a window shows."""
    inside = np.zeros(shape, dtype=bool)
    rows, columns = (slice(part.start // panel.block, -(-part.stop // panel.block)) for part in window.window)
    inside[rows, columns] = True
    return inside


def _grid_figure(
    titles: Sequence[str], rows: Sequence[Row], scale: Scale, shown: Sequence[NDArray[np.float64]], style: Style
) -> Figure:
    sheet = Sheet(style)
    top = draw_grid(sheet, titles, rows, scale) + 2 * GAP
    return sheet.finish(top + draw_bar(sheet, top, scale, shown))


def _photograph(panel: Panel, kind: str, window: ROI | None = None) -> Cell:
    """The ground truth or the degraded image, with the ROI."""
    shown = window or panel.extent

    def draw(axes: Axes) -> None:
        draw_photograph(axes, getattr(panel, kind), shown, panel.extent)
        draw_frame(axes, panel.roi)

    return Cell(shown, draw)


def _thumbnail(panel: Panel, window: ROI) -> Cell:
    """The whole ground truth, with the ROI and the frame of a window."""

    def draw(axes: Axes) -> None:
        draw_photograph(axes, panel.ground_truth, panel.extent, panel.extent)
        for colour, width in (("black", 1.6), ("white", 0.7)):
            draw_frame(axes, window, colour, width)
        draw_frame(axes, panel.roi)

    return Cell(panel.extent, draw)


def _map(panel: Panel, scale: Scale, window: ROI) -> Cell:
    def draw(axes: Axes) -> None:
        draw_map(axes, panel, panel.map.values, scale, window)

    return Cell(window, draw, panel)


def _label(panel: Panel) -> str:
    return PurePath(panel.image).stem


def _limits_of_strips(panels: Sequence[Panel]) -> tuple[float, float]:
    """The smallest and largest draw, dB, of the blocks that strips show."""
    shown = [panel.map.draws[place][panel.map.tried[place]] for panel in panels for place in panel.map.strongest(5)]
    values = np.concatenate([*shown, np.zeros(1)])
    return float(values.min()), float(values.max())
