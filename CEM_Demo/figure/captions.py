"""Captions with the numbers of a figure, to start from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from CEM_Demo.method.classes import BlockClass
from CEM_Demo.report.colours import COLOUR_MAPS, Scale
from CEM_Demo.report.differences import Difference
from CEM_Demo.report.panels import Panel

TASKS = {"SR": "super-resolution", "DN": "denoising", "DR": "deraining", "PAIR": "restoration"}


def caption(opening: str, scale: Scale, panels: Sequence[Panel]) -> str:
    """Compose a caption: what is shown, what the colors mean, and the numbers of every panel, one in a line."""
    helping, hurting = COLOUR_MAPS[scale.colour_map]
    meaning = (
        f"{helping.capitalize()} blocks help the network restore the region of interest (green frame), {hurting} ones "
        f"hurt, others do neither; colors end at an effect of {scale.bound:.2f} dB on the PSNR of the region."
    )
    lines = [
        f"{opening} {meaning} {MEANING_OF_PIES}",
        *(f"{name_of(panel)}: {numbers(panel)}" for panel in panels),
    ]
    return "\n\n".join(lines) + "\n"


MEANING_OF_PIES = (
    "Pies give the shares of blocks that help (those of the region are counted among them), hurt, and do neither."
)


def name_of(panel: Panel) -> str:
    """Name a panel in a sentence."""
    return f"{panel.model} on {panel.image}, region {panel.roi}"


def numbers(panel: Panel) -> str:
    """Say the numbers of a map: PSNR, counts, certified counts, the strongest blocks, draws."""
    effect_map, shown = panel.map.effect_map, panel.map
    counts = effect_map.counts
    parts = [
        f"PSNR of the region {panel.origin:.2f} dB",
        f"of {effect_map.effects.size} blocks {counts.positive - counts.roi} help and {counts.negative} hurt, "
        f"{shown.count(BlockClass.HELPS)} and {shown.count(BlockClass.HURTS)} of them certified, "
        f"{shown.count(BlockClass.UNDECIDED)} are undecided and {shown.count(BlockClass.OUT_OF_REACH)} out of reach",
    ]
    for extreme, word in ((effect_map.highest, "helping"), (effect_map.lowest, "hurting")):
        if extreme.effect:
            place = extreme.row, extreme.column
            parts.append(
                f"the most {word} block (row {extreme.row}, column {extreme.column}) has {extreme.effect:+.2f} dB"
                f"{interval(panel, place)} from {effect_map.interventions[place]} draws"
            )
    return "; ".join(parts) + "."


def interval(panel: Panel, place: tuple[int, int]) -> str:
    """Say the 95 % interval of a block's effect, where there is one."""
    low, high = panel.map.low[place], panel.map.high[place]
    return f" [{low:+.2f}, {high:+.2f}]" if np.isfinite(high - low) else ""


def difference_numbers(first: Panel, second: Panel, difference: Difference) -> str:
    """Say in how many blocks, and where most, two models differ."""
    certain, estimates = difference.certain, difference.comparison.difference
    text = (
        f"{first.model} minus {second.model} on {first.image}, region {first.roi}: {int(certain.sum())} blocks differ, "
        f"{int(difference.undecided.sum())} are undecided (hatched)"
    )
    if certain.any():
        sizes = np.where(certain, np.abs(difference.values), 0.0)
        place = row, column = divmod(int(sizes.argmax()), sizes.shape[1])
        ends = f"[{estimates.low[place]:+.2f}, {estimates.high[place]:+.2f}]"
        text += f"; the largest difference (row {row}, column {column}) is {difference.values[place]:+.2f} dB {ends}"
    return text + "."
