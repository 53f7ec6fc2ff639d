"""What people marked beside what the map says, for the blocks that help and those that hurt."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from CEM_Demo.people.assessment import Marked
from CEM_Demo.report.panels import Panel

COLORS = {"helps": "Reds", "hurts": "Blues"}
ROI_COLOR = "#00a000"
PALE = 0.35


def draw(panel: Panel, marked: Mapping[str, Marked], title: str) -> Figure:
    """Draw a row for each kind of mark: the mean of the annotators' shares, and the map's effects of that sign."""
    figure = Figure(figsize=(8.4, 4.2 * len(marked)), layout="constrained")
    axes = figure.subplots(len(marked), 2, squeeze=False)
    for row, (kind, one) in zip(axes, marked.items(), strict=True):
        shares = np.where(one.roi, 0.0, one.shares.mean(axis=0))
        scores = np.where(one.roi, 0.0, one.scores)
        count = len(one.shares)
        people = "1 annotator" if count == 1 else f"{count} annotators"
        _show(row[0], panel, shares, 1.0, kind, f"what {people} say {kind}, share of the block")
        _show(row[1], panel, scores, max(float(scores.max()), 1e-6), kind, f"what {kind} {panel.model}, dB")
    figure.suptitle(title, fontsize=10)
    return figure


def _show(axes: Axes, panel: Panel, values: NDArray[np.float64], bound: float, kind: str, name: str) -> None:
    height, width = panel.ground_truth.shape[:2]
    backdrop = 255 - PALE * (255 - panel.ground_truth.mean(axis=2))
    axes.imshow(backdrop, cmap="gray", vmin=0, vmax=255)
    pixels = values.repeat(panel.block, axis=0).repeat(panel.block, axis=1)[:height, :width]
    picture = axes.imshow(pixels, cmap=COLORS[kind], vmin=0, vmax=bound, alpha=0.9 * (pixels > 0))
    axes.figure.colorbar(picture, ax=axes, shrink=0.7)
    roi = panel.roi
    axes.add_patch(
        Rectangle(
            (roi.left - 0.5, roi.top - 0.5), roi.width, roi.height, fill=False, edgecolor=ROI_COLOR, linewidth=1.5
        )
    )
    axes.set_title(name, fontsize=9)
    axes.set_axis_off()
