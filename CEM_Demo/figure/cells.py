"""The pictures of a figure: photographs with the ROI, maps, and the part of the image that they show."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from CEM_Demo.figure.drawing import draw_frame, draw_hatching, draw_lam, draw_map, draw_photograph
from CEM_Demo.figure.grid import Cell
from CEM_Demo.geometry import ROI
from CEM_Demo.report.colours import Scale
from CEM_Demo.report.differences import Difference
from CEM_Demo.report.panels import Panel
from CEM_Demo.results.lam_files import StoredLam


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


def photograph_cell(panel: Panel, kind: str, window: ROI | None = None) -> Cell:
    """The ground truth or the degraded image, with the ROI."""
    shown = window or panel.extent

    def draw(axes: Axes) -> None:
        draw_photograph(axes, getattr(panel, kind), shown, panel.extent)
        draw_frame(axes, panel.roi)

    return Cell(shown, draw)


def thumbnail_cell(panel: Panel, window: ROI) -> Cell:
    """The whole ground truth, with the ROI and the frame of a window."""

    def draw(axes: Axes) -> None:
        draw_photograph(axes, panel.ground_truth, panel.extent, panel.extent)
        for colour, width in (("black", 1.6), ("white", 0.7)):
            draw_frame(axes, window, colour, width)
        draw_frame(axes, panel.roi)

    return Cell(panel.extent, draw)


def map_cell(panel: Panel, scale: Scale, window: ROI) -> Cell:
    """The causal effect map."""
    draw = partial(draw_map, panel=panel, values=panel.map.values, scale=scale, window=window)
    return Cell(window, draw, panel)


def lam_cell(panel: Panel, window: ROI) -> Cell:
    """The Local Attribution Map, with its diffusion index beneath."""
    note = f"DI {panel.lam.numbers.diffusion_index:.2f}" if isinstance(panel.lam, StoredLam) else ""
    return Cell(window, partial(draw_lam, panel=panel, window=window), note=note)


def difference_cell(panel: Panel, difference: Difference, scale: Scale, window: ROI) -> Cell:
    """The difference of two models' effects, hatched where the draws leave it open; ``panel`` is the first model's."""

    def draw(axes: Axes) -> None:
        draw_map(axes, panel, difference.values, scale, window)
        draw_hatching(axes, difference.undecided & _inside(difference.values.shape, panel, window), panel)
        draw_frame(axes, panel.roi)

    return Cell(window, draw)


def _inside(shape: tuple[int, ...], panel: Panel, window: ROI) -> NDArray[np.bool_]:
    """The blocks that a window shows."""
    inside = np.zeros(shape, dtype=bool)
    rows, columns = (slice(part.start // panel.block, -(-part.stop // panel.block)) for part in window.window)
    inside[rows, columns] = True
    return inside
