"""Draw the total, the frozen and the mediated map side by side, and how the effect is shared out by distance."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from CEM_Demo.figure.bars import draw_bar
from CEM_Demo.figure.drawing import INK, draw_map
from CEM_Demo.figure.grid import GAP
from CEM_Demo.figure.sheet import LINE, Sheet, drawing_with
from CEM_Demo.figure.style import FONT_SIZE, Style
from CEM_Demo.mediation.effects import Mediation
from CEM_Demo.report.colours import Scale
from CEM_Demo.report.panels import Panel

# Told apart by people who see red and green alike, and in print.
LINES = {"total": ("#111111", "-"), "frozen": ("#2f52c6", "--"), "mediated": ("#c62f2d", "-")}
PLOT_SHARE = 0.27  # of the width
TICKS = 3.2 * FONT_SIZE  # points left of a plot
LEAST_EFFECT = 1e-4  # dB, the lower end of the axis


def draw_paths(panel: Panel, mediation: Mediation, style: Style | None = None) -> Figure:
    """Draw the three maps in one scale of colors, and beside them the mean absolute effect and the share by distance.

    Colors saturate at the largest mediated effect, so that what is weak and far away can be seen; where the maps go
    beyond, the color bar says so.

    Args:
        panel: the pictures that belong to the maps.
        mediation: of the same model and ROI.
        style: width, font and colors; a bound of ``auto`` is the one above.
    """
    style = style or Style()
    maps = mediation.maps
    largest = float(np.abs(maps["mediated"]).max())
    scale = Scale(largest, style.colour_map) if style.colour_bound == "auto" and largest else style.scale_for([panel])
    with drawing_with(style):
        sheet = Sheet(style)
        width = ((1 - PLOT_SHARE) * sheet.width - TICKS - 3 * GAP) / 3
        height = width * panel.extent.height / panel.extent.width
        top = LINE + 1.5
        for number, (name, values) in enumerate(maps.items()):
            left = number * (width + GAP)
            title = f"{name} ({mediation.counts[name]} blocks)"
            sheet.write(left + width / 2, 0.78 * LINE, title, ha="center", va="baseline")
            draw_map(sheet.place_picture(left, top, width, height, panel.extent), panel, values, scale, panel.extent)
        left, wide = 3 * (width + GAP) + TICKS, PLOT_SHARE * sheet.width - 2
        half = (height - FONT_SIZE) / 2
        _draw_effects(sheet.place(left, top, wide, half), mediation)
        _draw_shares(sheet.place(left, top + half + FONT_SIZE, wide, half), mediation)
        sheet.write(left + wide / 2, 0.78 * LINE, "mean |effect| (dB), mediated share", ha="center", va="baseline")
        end = top + height + 2.5 * LINE
        return sheet.finish(end + draw_bar(sheet, end, scale, list(maps.values())))


def _draw_effects(axes: Axes, mediation: Mediation) -> None:
    """Draw the mean absolute effects of the three maps by distance, on a logarithmic axis."""
    rings = mediation.rings()
    middles = [ring.near + 0.5 for ring in rings]
    for name, (color, line) in LINES.items():
        values = [max(getattr(ring, name), LEAST_EFFECT) for ring in rings]
        axes.plot(middles, values, color=color, linestyle=line, linewidth=1.1, label=name)
    axes.set_yscale("log")
    axes.set_ylim(bottom=LEAST_EFFECT)
    axes.legend(frameon=False, fontsize=FONT_SIZE - 1.5, borderpad=0.1, labelspacing=0.15, handlelength=1.8)
    axes.tick_params(labelbottom=False, labelsize=FONT_SIZE - 1.5)
    axes.minorticks_off()
    _set_up(axes, mediation)


def _draw_shares(axes: Axes, mediation: Mediation) -> None:
    """Draw the mediated share by distance as bars."""
    for ring in mediation.rings():
        share = 0.0 if np.isnan(ring.share) else 100 * ring.share
        axes.bar(ring.near + 0.5, share, width=0.8, color=LINES["mediated"][0])
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 50, 100], ["0", "50", "100 %"])
    axes.set_xlabel("distance from the ROI (blocks)", fontsize=FONT_SIZE - 0.5, labelpad=2)
    axes.tick_params(labelsize=FONT_SIZE - 1.5)
    _set_up(axes, mediation)


def _set_up(axes: Axes, mediation: Mediation) -> None:
    last = mediation.rings()[-1].far if mediation.outside.any() else 1.0
    axes.set_xlim(0, last)
    axes.tick_params(color=INK)
    axes.spines[["top", "right"]].set_visible(False)
