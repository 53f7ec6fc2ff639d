"""The curves of one map with their baselines, in one figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from CEM_Demo.faithfulness.assessment import Faithfulness
from CEM_Demo.faithfulness.curves import GREEDY, MAP, NEAREST, RANDOM, Curve, Family


@dataclass(frozen=True)
class Style:
    """How a curve is drawn."""

    color: str
    line: str = "-"
    width: float = 1.5


# Told apart by people who see red and green alike, and in print.
STYLES = {
    MAP: Style("#c62f2d", width=2.2),
    NEAREST: Style("#2f52c6", "--"),
    RANDOM: Style("#7a7a7a", ":"),
    GREEDY: Style("#111111", "-.", 1.0),
}
OTHER = Style("#2a8f5b", "--", 1.0)
LABELS = {MAP: "in the map's order", NEAREST: "nearest to the ROI first", RANDOM: "random order", GREEDY: "greedy"}


def draw(result: Faithfulness, title: str) -> Figure:
    """Draw deletion, deletion of what hurts, and insertion side by side; bands are standard errors over the draws."""
    panels: list[tuple[str, Family | None, float]] = [
        ("helping blocks replaced, best first", result.deletion, 0.0),
        ("hurting blocks replaced, worst first", result.hurting_deletion, 0.0),
        ("all blocks replaced, helping ones put back", result.insertion, result.all_replaced.mean),
    ]
    figure = Figure(figsize=(12, 4), layout="constrained")
    for axes, (name, family, begin) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        _set_up(axes, name, result.origin)
        if family is None:
            axes.text(0.5, 0.5, "the map shows none", ha="center", transform=axes.transAxes, fontsize=9)
            continue
        for order, curve in family.curves.items():
            _draw_curve(axes, order, curve, result.origin, begin)
    if result.deletion or result.hurting_deletion:
        fullest = figure.axes[0 if result.deletion else 1]
        handles, labels = fullest.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8, frameon=False)
    figure.suptitle(f"{title}\n{result.sentence}", fontsize=10)
    return figure


def _draw_curve(axes: Axes, order: str, curve: Curve, origin: float, begin: float) -> None:
    points = [0, *curve.points]
    values = origin - np.array([begin, *curve.means])
    errors = np.array([0, *curve.standard_errors])
    style = STYLES.get(order, OTHER)
    axes.plot(
        points,
        values,
        label=LABELS.get(order, f"{order}, highest first"),
        color=style.color,
        linestyle=style.line,
        linewidth=style.width,
        marker="o",
        markersize=2.5,
    )
    axes.fill_between(points, values - errors, values + errors, color=style.color, alpha=0.15, linewidth=0)


def _set_up(axes: Axes, name: str, origin: float) -> None:
    axes.axhline(origin, color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.annotate("untouched", (1, origin), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=7)
    axes.set_title(name, fontsize=9)
    axes.set_xlabel("blocks")
    axes.set_ylabel("PSNR of the ROI (dB)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(y=0.08)
    axes.spines[["top", "right"]].set_visible(False)
