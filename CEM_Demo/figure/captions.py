"""Captions with the numbers of a figure, to start from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from CEM_Demo.figure.sections import Section
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.report.colours import COLOUR_MAPS
from CEM_Demo.report.differences import Difference
from CEM_Demo.report.lam_maps import lam_text
from CEM_Demo.report.panels import Panel
from CEM_Demo.results.lam_files import StoredLam

TASKS = {"SR": "super-resolution", "DN": "denoising", "DR": "deraining", "PAIR": "restoration"}


MEANING_OF_PIES = (
    "Pies give the shares of blocks that help (those of the region are counted among them), hurt, and do neither."
)
MEANING_OF_LAM = (
    "Local Attribution Maps (LAM; Gu and Dong, CVPR 2021) show which pixels of the input the details in the region "
    "come from, from white (none) to dark red (most), without saying whether they help or hurt."
)


def caption(sections: Sequence[Section]) -> str:
    """Compose the caption of a figure: what is shown, what the colors mean, and the numbers of every panel.

    The numbers of a panel are a paragraph of their own.
    """
    helping, hurting = COLOUR_MAPS[sections[0].scale.colour_map]
    openings = [
        f"{section.opening} The colors end at an effect of {section.scale.bound:.2f} dB on the PSNR of the region."
        for section in sections
    ]
    meaning = (
        f"{helping.capitalize()} blocks help the network restore the region of interest (green frame), {hurting} ones "
        "hurt, others do neither."
    )
    panels = [panel for section in sections for panel in section.panels]
    parts = [*openings, meaning, MEANING_OF_PIES, *([MEANING_OF_LAM] if any(panel.lam for panel in panels) else [])]
    numbers_of_panels = (f"{name_of(panel)}: {numbers(panel)}" for panel in panels)
    remarks = (remark for section in sections for remark in section.remarks)
    return "\n\n".join([" ".join(parts), *numbers_of_panels, *remarks]) + "\n"


def name_of(panel: Panel) -> str:
    """Name a panel in a sentence."""
    return f"{panel.model} on {panel.image}, region {panel.roi}"


def numbers(panel: Panel) -> str:
    """Say the numbers of a map: PSNR, counts, certified counts, the strongest blocks, draws, the diffusion index."""
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
    if isinstance(panel.lam, StoredLam):
        parts.append(f"LAM: {lam_text(panel.lam)}")
    elif panel.lam:
        parts.append(f"no LAM: {panel.lam.reason}")
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
