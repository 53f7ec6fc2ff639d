"""The layouts of figures: which pictures stand where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from CEM_Demo.errors import InputError
from CEM_Demo.figure.bars import draw_bar, draw_lam_bar
from CEM_Demo.figure.captions import TASKS, caption, difference_numbers
from CEM_Demo.figure.cells import (
    difference_cell,
    lam_cell,
    map_cell,
    photograph_cell,
    thumbnail_cell,
    window_of_effects,
)
from CEM_Demo.figure.grid import GAP, Cell, Row, draw_grid
from CEM_Demo.figure.sections import Group, Section
from CEM_Demo.figure.sheet import Sheet, drawing_with
from CEM_Demo.figure.strips import draw_strip_row
from CEM_Demo.figure.style import Style
from CEM_Demo.geometry import ROI
from CEM_Demo.report.colours import Scale
from CEM_Demo.report.differences import paired_difference
from CEM_Demo.report.panels import Panel

BETWEEN = 3 * GAP  # points between sections


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


def draw_figures(groups: Sequence[Group], layout: str, style: Style) -> list[Drawing]:
    """Draw the figures of a layout.

    Args:
        groups: what stands beneath each other, each with columns and a color bar of its own.
        layout: one of ``LAYOUTS``.
        style: width, font, colors.

    Raises:
        InputError: there is no such layout, it takes another number of models, or the font is not installed.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout: {layout!r} is not one of {', '.join(LAYOUTS)}")
    with drawing_with(style):
        sections = [section for group in groups for section in LAYOUTS[layout](group, style)]
        names = dict.fromkeys(section.name for section in sections)
        return [_drawing([section for section in sections if section.name == name], style) for name in names]


def _drawing(sections: Sequence[Section], style: Style) -> Drawing:
    sheet = Sheet(style)
    bottom = -BETWEEN  # so that the first section begins at the top
    for section in sections:
        bottom = section.draw(sheet, bottom + BETWEEN)
    return Drawing(sections[0].name, sheet.finish(bottom), caption(sections))


def _comparison(group: Group, style: Style) -> list[Section]:
    """Ground truth, input and the maps of all models, a row for each ROI."""
    extents = [row[0].extent for row in group.rows]
    photographs = [[photograph_cell(row[0], "ground_truth"), photograph_cell(row[0], "degraded")] for row in group.rows]
    opening = "ground truth with the region of interest, input, and a map for each model."
    return [_side_by_side(group, style, ["Ground truth", "Input"], photographs, extents, opening)]


def _zoom(group: Group, style: Style) -> list[Section]:
    """The maps cut to the blocks that have effects, and where that cut lies in the image."""
    windows = [window_of_effects(row) for row in group.rows]
    photographs = [
        [thumbnail_cell(row[0], window), photograph_cell(row[0], "degraded", window)]
        for row, window in zip(group.rows, windows, strict=True)
    ]
    opening = "ground truth with the part that is shown (white frame), input, and a map for each model."
    return [_side_by_side(group, style, ["Image", "Input"], photographs, windows, opening)]


def _side_by_side(
    group: Group,
    style: Style,
    titles: Sequence[str],
    photographs: Sequence[Sequence[Cell]],
    windows: Sequence[ROI],
    opening: str,
) -> Section:
    """Photographs and the maps of all models, a row for each ROI, which shows its window of the image."""
    scale, with_lam = style.scale_for(group.panels), _has_lam(group.panels)
    rows = [
        Row(_label(group, row[0]), [*cells, *_map_cells(row, scale, window, with_lam)])
        for row, cells, window in zip(group.rows, photographs, windows, strict=True)
    ]
    titles = [*titles, *_map_titles(group.rows[0], with_lam)]
    draw = _grid_with_bar(titles, rows, scale, values_of(group.panels), with_lam)
    opening = f"Causal effect maps in {TASKS[group.panels[0].task]}: {opening}"
    return Section("", draw, opening, scale, group.panels)


def _single(group: Group, style: Style) -> list[Section]:
    """A figure for every map."""
    sections = []
    for panel in group.panels:
        scale, with_lam = style.scale_for([panel]), _has_lam([panel])
        rows = [Row("", _map_cells([panel], scale, panel.extent, with_lam))]
        draw = _grid_with_bar(_map_titles([panel], with_lam), rows, scale, values_of([panel]), with_lam)
        name = f"{panel.model}_{PurePath(panel.image).stem}_{panel.roi}"
        opening = f"Causal effect map of {panel.model} in {TASKS[panel.task]}."
        sections.append(Section(name, draw, opening, scale, [panel]))
    return sections


def _difference(group: Group, style: Style) -> list[Section]:
    """Two models and the paired difference of their effects; where the draws leave it open, it is hatched."""
    models = [panel.model for panel in group.rows[0]]
    if len(models) != 2:
        raise InputError(f"layout: a difference is between two models, not {len(models)}; choose two with --models")
    differences = [paired_difference(first, second) for first, second in group.rows]
    scale = style.scale_for(group.panels, max(difference.largest for difference in differences))
    rows, remarks = [], []
    for (first, second), difference in zip(group.rows, differences, strict=True):
        window = window_of_effects([first, second])
        maps = [map_cell(panel, scale, window) for panel in (first, second)]
        cells = [thumbnail_cell(first, window), *maps, difference_cell(first, difference, scale, window)]
        rows.append(Row(_label(group, first), cells))
        remarks.append(difference_numbers(first, second, difference))
    titles = ["Image", *models, f"{models[0]} \N{MINUS SIGN} {models[1]}"]
    shown = [*values_of(group.panels), *(difference.values for difference in differences)]
    draw = _grid_with_bar(titles, rows, scale, shown)
    task = TASKS[group.panels[0].task]
    opening = f"Causal effect maps of {models[0]} and {models[1]} in {task}, and their difference."
    return [Section("", draw, opening, scale, group.panels, remarks)]


def _strip(group: Group, style: Style) -> list[Section]:
    """The strongest blocks of every map, and the effects of their single draws."""
    scale, limits = style.scale_for(group.panels), _limits_of_strips(group.panels)

    def draw(sheet: Sheet, top: float) -> float:
        for row in group.rows:
            window = window_of_effects(row)
            for panel in row:
                label, last = _label(group, panel), panel is group.panels[-1]
                title = f"{panel.model}, {label}" if label else panel.model
                cell = map_cell(panel, scale, window)
                top = draw_strip_row(sheet, top, panel, title, cell, limits, scale, last) + GAP
        return draw_bar(sheet, top + GAP, scale, values_of(group.panels))

    opening = (
        f"The strongest blocks in {TASKS[group.panels[0].task]} and the effects of their draws (dots), with mean and "
        "95 % interval (black)."
    )
    return [Section("", draw, opening, scale, group.panels)]


LAYOUTS: dict[str, Callable[[Group, Style], list[Section]]] = {
    "comparison": _comparison,
    "single": _single,
    "zoom": _zoom,
    "difference": _difference,
    "strip": _strip,
}


def values_of(panels: Sequence[Panel]) -> list[NDArray[np.float64]]:
    """Give the effects, dB, that the maps of panels show."""
    return [panel.map.values for panel in panels]


def _has_lam(panels: Sequence[Panel]) -> bool:
    return any(panel.lam is not None for panel in panels)


def _map_titles(panels: Sequence[Panel], with_lam: bool) -> list[str]:
    return [title for panel in panels for title in (panel.model, f"LAM of {panel.model}")[: 1 + with_lam]]


def _map_cells(panels: Sequence[Panel], scale: Scale, window: ROI, with_lam: bool) -> list[Cell]:
    """The map of each panel and, in a figure that has any, its Local Attribution Map beside it."""
    return [
        cell for panel in panels for cell in (map_cell(panel, scale, window), lam_cell(panel, window))[: 1 + with_lam]
    ]


def _grid_with_bar(
    titles: Sequence[str],
    rows: Sequence[Row],
    scale: Scale,
    shown: Sequence[NDArray[np.float64]],
    with_lam: bool = False,
) -> Callable[[Sheet, float], float]:
    """Give what draws rows of pictures with the color bar of their effects, and one of LAM, beneath."""

    def draw(sheet: Sheet, top: float) -> float:
        bottom = draw_bar(sheet, draw_grid(sheet, top, titles, rows, scale) + 2 * GAP, scale, shown)
        return draw_lam_bar(sheet, bottom + 2 * GAP) if with_lam else bottom

    return draw


def _label(group: Group, panel: Panel) -> str:
    """Name a row: by its group, and where there are several, by its image."""
    parts = [group.label, PurePath(panel.image).stem if len(group.rows) > 1 else ""]
    return ", ".join(filter(None, parts))


def _limits_of_strips(panels: Sequence[Panel]) -> tuple[float, float]:
    """The smallest and largest draw, dB, of the blocks that strips show."""
    shown = [panel.map.draws[place][panel.map.tried[place]] for panel in panels for place in panel.map.strongest(5)]
    values = np.concatenate([*shown, np.zeros(1)])
    return float(values.min()), float(values.max())
