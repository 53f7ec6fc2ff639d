"""The plots of a study's page as SVG files: effects by distance from the ROI, PSNR against the shares of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from CEM_Demo.figure.saving import METADATA
from CEM_Demo.figure.sheet import drawing_with
from CEM_Demo.figure.style import Style
from CEM_Demo.study.measures import HELPING, HURTING, MEASURES, PSNR, Measure
from CEM_Demo.study.statistics import Estimate
from CEM_Demo.study.summary import Summary

SIZE = 9.5, 3.4  # inches
COLOURS = "tab10"
MARKERS = "osD^vPX*"


def draw_profiles(summary: Summary, block: int) -> bytes:
    """Draw the mean and the mean absolute effect of the rings around the ROI, with their intervals.

    Args:
        summary: of the study.
        block: side of a block, in full-resolution pixels.
    """
    with drawing_with(Style()):
        figure = Figure(figsize=SIZE, layout="constrained")
        for part, (axes, title) in enumerate(
            zip(figure.subplots(1, 2), ("mean effect (dB)", "mean absolute effect (dB)"), strict=True)
        ):
            for number, row in enumerate(summary.models):
                _draw_line(axes, [ring[part] for ring in row.profile], block, number, row.model)
            axes.axhline(0, color="0.6", linewidth=0.6)
            axes.set(xlabel="distance from the ROI (pixels, to the far side of the block)", ylabel=title)
        _add_legend(figure, len(summary.models))
        return _svg(figure)


def _draw_line(axes: Axes, estimates: Sequence[Estimate], block: int, number: int, model: str) -> None:
    distances = block * (1 + np.arange(len(estimates)))
    mean, low, high = ([getattr(one, part) for one in estimates] for part in ("mean", "low", "high"))
    axes.plot(distances, mean, label=model, marker=_marker(number), markersize=3, color=_colour(number))
    axes.fill_between(distances, low, high, color=_colour(number), alpha=0.15, linewidth=0)


def draw_scatter(summary: Summary) -> bytes:
    """Draw the PSNR of the ROI against the shares of blocks that help and hurt: each image small, means large."""
    with drawing_with(Style()):
        figure = Figure(figsize=SIZE, layout="constrained")
        for axes, share in zip(figure.subplots(1, 2), (HELPING, HURTING), strict=True):
            for number, row in enumerate(summary.models):
                _draw_points(axes, summary, share, number, row.model)
            axes.set(xlabel=share.heading, ylabel=PSNR.heading)
        _add_legend(figure, len(summary.models))
        return _svg(figure)


def _draw_points(axes: Axes, summary: Summary, share: Measure, number: int, model: str) -> None:
    points, means = summary.points[model], summary.models[number].estimates
    images = 100 * points[MEASURES.index(share)], points[MEASURES.index(PSNR)]
    colour, marker = _colour(number), _marker(number)
    axes.scatter(*images, s=10, alpha=0.45, color=colour, marker=marker, linewidths=0)
    centre = 100 * means[share.key].mean, means[PSNR.key].mean
    axes.scatter(*centre, s=60, label=model, color=colour, marker=marker, edgecolors="black", linewidths=0.8)


def _colour(number: int) -> tuple[float, float, float, float]:
    table = matplotlib.colormaps[COLOURS]
    return table(number % table.N)


def _marker(number: int) -> str:
    return MARKERS[number % len(MARKERS)]


def _add_legend(figure: Figure, models: int) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(models, 4), frameon=False)


def _svg(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="svg", metadata=METADATA["svg"])
    return buffer.getvalue()
