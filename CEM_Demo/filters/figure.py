"""The filters of one network on one ROI in a figure: map, sorted effects, joint curves, and cards of the strongest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import NDArray

from CEM_Demo.filters.cards import PATCHES, Card
from CEM_Demo.filters.effects import FilterEffects
from CEM_Demo.filters.joint import BOTTOM, RANDOM, TOP, JointCurve
from CEM_Demo.images import UInt8Image
from CEM_Demo.report.colours import COLOUR_BOUND, map_colours

WIDTH = 12.0  # inches
ROW = 0.16  # inches, of a layer
LEAST_MAP, MOST_MAP = 1.6, 8.0  # inches
CARD_COLUMNS = 4
MOST_NAMES = 42
ABSENT = 225  # gray level of channels that a layer does not have
DEAD = 245
HELPS, HURTS, GRAY = "#c62f2d", "#2f52c6", "#7a7a7a"
STYLES = {TOP: (HELPS, "-", "help most"), RANDOM: (GRAY, ":", "random, same layers"), BOTTOM: (HURTS, "-", "hurt most")}


def draw(
    effects: FilterEffects, joint: Mapping[str, JointCurve], cards: Sequence[Card], task: str, title: str
) -> Figure:
    """Draw the figure.

    Args:
        effects: of single filters.
        joint: what sets of filters cost at once, by their names.
        cards: of the strongest filters.
        task: whose colors are used.
        title: stands above.
    """
    map_height = float(np.clip(ROW * len(effects.layers) + 0.8, LEAST_MAP, MOST_MAP))
    card_rows = -(-len(cards) // CARD_COLUMNS)
    heights = [map_height, 2.8, 1.25 * card_rows + 0.4]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=10)
    grid = figure.add_gridspec(3, 1, height_ratios=heights)
    of_map, of_curves, of_cards = (figure.add_subfigure(grid[row]) for row in range(3))
    _draw_map(of_map.subplots(), effects, COLOUR_BOUND[task])
    sorted_effects, of_sets = of_curves.subplots(1, 2)
    _draw_sorted(sorted_effects, effects)
    _draw_joint(of_sets, joint)
    _draw_cards(of_cards, effects, cards, card_rows)
    return figure


def _draw_map(axes: Axes, effects: FilterEffects, bound: float) -> None:
    table, dead = effects.in_layers(effects.mean()), effects.in_layers(effects.dead.astype(float))
    colors = map_colours(np.nan_to_num(table), bound)
    colors[dead == 1] = DEAD
    colors[np.isnan(table)] = ABSENT
    axes.imshow(colors, aspect="auto", interpolation="nearest")
    step = -(-len(effects.layers) // MOST_NAMES)
    places = range(0, len(effects.layers), step)
    axes.set_yticks(list(places), [effects.layers[place].name for place in places], fontsize=6)
    axes.set_xlabel("channel", fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    axes.set_title(
        f"effect of each filter ({effects.first}): red helps, blue hurts, saturated at {bound:g} dB; "
        "light gray is dead, dark gray does not exist",
        fontsize=8,
    )


def _draw_sorted(axes: Axes, effects: FilterEffects) -> None:
    shown = np.sort(effects.mean()[~effects.dead])[::-1]
    places = np.arange(1, len(shown) + 1)
    axes.fill_between(places, shown.clip(min=0), color=HELPS, step="mid", linewidth=0)
    axes.fill_between(places, shown.clip(max=0), color=HURTS, step="mid", linewidth=0)
    # A few strong filters would hide all others.
    axes.set_yscale("symlog", linthresh=effects.criteria.tol or 0.01)
    _set_up(axes, "single effects, sorted; dead filters left out", "filters", "effect (dB)")


def _draw_joint(axes: Axes, joint: Mapping[str, JointCurve]) -> None:
    for name, (color, line, label) in STYLES.items():
        curve = joint[name]
        if not curve.points:
            continue
        spread = np.array([np.std(samples) for samples in curve.effects])
        axes.plot(curve.points, curve.means, line, color=color, marker="o", markersize=3, label=label)
        axes.fill_between(curve.points, curve.means - spread, curve.means + spread, color=color, alpha=0.15)
        if curve.summed and name == TOP:
            axes.plot(curve.points, curve.summed, "--", color=color, linewidth=0.8, label="their effects summed")
    if axes.lines:
        axes.set_xscale("log", base=2)
        # Sums grow without bounds; they may leave the plot.
        highest = max(max(curve.means, default=0) for curve in joint.values())
        if highest > 0:
            axes.set_ylim(top=1.4 * highest)
        axes.legend(fontsize=7, frameon=False)
    _set_up(axes, "filters replaced at once", "filters", "lost by the ROI (dB)")


def _set_up(axes: Axes, title: str, across: str, up: str) -> None:
    axes.axhline(0, color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.set_title(title, fontsize=8)
    axes.set_xlabel(across, fontsize=8)
    axes.set_ylabel(up, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_cards(part: SubFigure, effects: FilterEffects, cards: Sequence[Card], rows: int) -> None:
    if not rows:
        return
    part.suptitle(
        "strongest filters: activation on the image where the ROI depends on it, and the patches of other images "
        "that excite the filter most",
        fontsize=8,
    )
    grid = part.subplots(rows, 2 * CARD_COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    mean = effects.mean()
    for place, card in enumerate(cards):
        row, column = divmod(place, CARD_COLUMNS)
        activation, patches = grid[row, 2 * column : 2 * column + 2]
        color = HELPS if mean[card.number] > 0 else HURTS
        activation.set_title(f"{effects.name_of(card.number)}", fontsize=6, color=color)
        patches.set_title(f"{mean[card.number]:+.3f} dB", fontsize=6, color=color)
        _draw_card(activation, patches, card)


def _draw_card(activation: Axes, patches: Axes, card: Card) -> None:
    activation.imshow(card.activation, cmap="gray")
    if card.patches:
        patches.imshow(_mosaic(card.patches))


def _mosaic(patches: Sequence[UInt8Image]) -> UInt8Image:
    """Lay the patches out two by two, white between them and where there are fewer."""
    side = max(max(patch.shape[:2]) for patch in patches)
    columns = 2
    mosaic: NDArray[np.uint8] = np.full((-(-PATCHES // columns) * (side + 1), columns * (side + 1), 3), 255, np.uint8)
    for place, patch in enumerate(patches):
        top, left = (index * (side + 1) for index in divmod(place, columns))
        mosaic[top : top + patch.shape[0], left : left + patch.shape[1]] = patch
    return mosaic
