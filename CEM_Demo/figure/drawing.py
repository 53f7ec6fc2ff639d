"""The parts of a figure: photographs, maps of vector blocks, Local Attribution Maps, pies."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from CEM_Demo.attribution.pictures import map_colors
from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image
from CEM_Demo.report.colours import Scale
from CEM_Demo.report.panels import Panel
from CEM_Demo.results.lam_files import StoredLam

FRAME = "#00b140"  # of the ROI: green that also shows on white paper
FRAME_WIDTH = 1.0  # points
OVERLAP = 1.0  # points
BACKDROP_WEIGHT = 0.1
NEITHER = "#d9d9d9"
INK = "#202020"
EDGE = "#c0c0c0"  # around what is white on white paper


def draw_photograph(axes: Axes, image: UInt8Image, window: ROI, extent: ROI) -> None:
    """Draw the part of an image that lies in ``window``, pixel for pixel.

    Args:
        axes: in full-resolution pixels.
        image: shows all of ``extent``, at any resolution.
        window, extent: in full-resolution pixels; ``window`` begins and ends between pixels of the image.
    """
    scale = extent.width // image.shape[1]
    rows, columns = (slice(part.start // scale, -(-part.stop // scale)) for part in window.window)
    cut = image[rows, columns]
    left, top = columns.start * scale, rows.start * scale
    sides = (left, left + cut.shape[1] * scale, top + cut.shape[0] * scale, top)
    limits = axes.axis()
    axes.imshow(cut, extent=sides, aspect="auto", interpolation="none")
    axes.axis(limits)


def draw_map(axes: Axes, panel: Panel, values: NDArray[np.float64], scale: Scale, window: ROI) -> None:
    """Draw the blocks of a map over the faint ground truth, with the restored ROI in a green frame.

    Args:
        axes: in full-resolution pixels.
        panel: whose map it is.
        values: rows x columns, dB; where they are zero, no block is drawn.
        scale: of the colors.
        window: the part of the image that is shown.
    """
    # Gray, so that no color of the photograph is taken for an effect.
    grey = panel.ground_truth.mean(axis=2, keepdims=True).repeat(3, axis=2)
    draw_photograph(axes, (255 - BACKDROP_WEIGHT * (255 - grey)).astype(np.uint8), window, panel.extent)
    drawn = values != 0
    corners = block_corners(drawn, panel)
    # Where two blocks meet, viewers would let the paper shine through; so each block goes on beneath the next ones.
    overlap = min(OVERLAP * _pixels_per_point(axes), panel.block / 2)
    polygons = [
        _with_overlap(box, overlap, drawn, place) for box, place in zip(corners, np.argwhere(drawn), strict=True)
    ]
    add_polygons(axes, polygons, scale.colours(values[drawn]))
    inside = panel.degraded if panel.restored is None else panel.restored
    draw_photograph(axes, inside, panel.roi, panel.extent)
    draw_frame(axes, panel.roi)


def draw_lam(axes: Axes, panel: Panel, window: ROI) -> None:
    """Draw the Local Attribution Map of a panel, pixel for pixel of the input, with the ROI in a green frame.

    Where there is no map, the axes say so.

    Args:
        axes: in full-resolution pixels.
        panel: whose map it is.
        window: the part of the image that is shown.
    """
    if isinstance(panel.lam, StoredLam):
        draw_photograph(axes, map_colors(panel.lam.map)[..., :3], window, panel.extent)
    else:
        middle = window.left + window.width / 2, window.top + window.height / 2
        axes.text(*middle, "no LAM", ha="center", va="center", color=INK)
    draw_frame(axes, window, EDGE, 0.5)
    draw_frame(axes, panel.roi)


def block_corners(chosen: NDArray[np.bool_], panel: Panel) -> list[tuple[int, int, int, int]]:
    """Give left, top, right and bottom of some blocks, row by row; those at the image's border may be partial."""
    width, height = panel.extent.width, panel.extent.height
    starts = np.argwhere(chosen) * panel.block
    return [
        (int(left), int(top), min(int(left) + panel.block, width), min(int(top) + panel.block, height))
        for top, left in starts
    ]


def add_polygons(axes: Axes, polygons: list[list[tuple[float, float]]], colours: UInt8Image) -> None:
    """Fill polygons, the later ones above the earlier ones, without edges."""
    axes.add_collection(
        PolyCollection(polygons, facecolors=colours.reshape(-1, 3) / 255, edgecolors="none", linewidths=0, snap=False),
        autolim=False,
    )


def draw_hatching(axes: Axes, chosen: NDArray[np.bool_], panel: Panel) -> None:
    """Draw diagonal lines over some blocks; they are lines of their own, so that all viewers show them alike."""
    lines: list[list[tuple[float, float]]] = []
    for left, top, right, bottom in block_corners(chosen, panel):
        across, down = (left + right) / 2, (top + bottom) / 2
        lines += [
            [(left, bottom), (right, top)],
            [(left, down), (across, top)],
            [(across, bottom), (right, down)],
        ]
    axes.add_collection(LineCollection(lines, colors="#606060", linewidths=0.35), autolim=False)


def draw_frame(axes: Axes, box: ROI, colour: str = FRAME, width: float = FRAME_WIDTH) -> None:
    """Draw a frame around a rectangle, given in full-resolution pixels."""
    axes.add_patch(
        Rectangle(
            (box.left, box.top), box.width, box.height, fill=False, edgecolor=colour, linewidth=width, clip_on=False
        )
    )


def draw_pie(axes: Axes, panel: Panel, scale: Scale) -> None:
    """Draw the published pie: the shares of helping (ROI blocks among them), hurting and indifferent blocks."""
    counts = panel.map.effect_map.counts
    helps, hurts = scale.colours(np.array([0.7, -0.7]) * scale.bound) / 255
    shares = [(counts.positive, helps), (counts.negative, hurts), (counts.zero, NEITHER)]
    present = [(count, colour) for count, colour in shares if count]
    axes.pie(
        [count for count, _ in present],
        colors=[colour for _, colour in present],
        startangle=90,
        counterclock=False,
        radius=1,
        wedgeprops={"linewidth": 0.3, "edgecolor": "white"},
    )
    axes.set(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05))


def _pixels_per_point(axes: Axes) -> float:
    figure = axes.get_figure(root=True)
    assert figure is not None
    points = axes.get_position().width * 72 * figure.get_size_inches()[0]
    return float(np.ptp(axes.get_xlim())) / points


def _with_overlap(
    box: tuple[int, int, int, int], overlap: float, drawn: NDArray[np.bool_], place: NDArray[np.int64]
) -> list[tuple[float, float]]:
    """The outline of a block, longer by ``overlap`` where its neighbors, of those ``drawn``, will be drawn over it."""
    row, column = place
    ahead = np.pad(drawn, (0, 1))[row : row + 2, column : column + 2]
    left, top, right, bottom = box
    wide, deep = right + overlap * ahead[0, 1], bottom + overlap * ahead[1, 0]
    corner = (wide, deep) if ahead.all() else (right, bottom)
    return [(left, top), (wide, top), (wide, bottom), corner, (right, deep), (left, deep)]
