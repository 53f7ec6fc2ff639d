"""Pictures of causal effect maps: overlay, colour bar, pie, ROI box."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from CEM_Demo.geometry import ROI
from CEM_Demo.images import ROI_COLOUR, UInt8Image, figure_bytes, with_roi_box
from CEM_Demo.method.effect_map import EffectMap
from CEM_Demo.report.colours import map_colours

BACKDROP_WEIGHT = 0.1
COLOURS = {"positive": "#c62f2d", "negative": "#2f52c6", "zero": "#d9d9d9"}


def enlarge_blocks(blocks: NDArray[np.uint8], side: int, height: int, width: int) -> UInt8Image:
    """Every block as ``side`` x ``side`` pixels; partial blocks at the border are cut."""
    return blocks.repeat(side, axis=0).repeat(side, axis=1)[:height, :width]


def overlay(
    effect_map: EffectMap, degraded: UInt8Image, roi: ROI, side: int, shape: tuple[int, int], bound: float
) -> UInt8Image:
    """The map over the faint degraded image, the ROI in green.

    Args:
        effect_map: the effects.
        degraded: the network's input; enlarged bicubically where it is smaller than the output.
        roi: in full-resolution pixels.
        side: of a block, in full-resolution pixels.
        shape: height and width of the full-resolution image.
        bound: dB at which the colours saturate.
    """
    height, width = shape
    colours = enlarge_blocks(map_colours(effect_map.outside_roi, bound), side, height, width)
    colours[roi.window] = ROI_COLOUR
    backdrop = np.asarray(Image.fromarray(degraded).resize((width, height), Image.Resampling.BICUBIC))
    blended = ((1 - BACKDROP_WEIGHT) * colours + BACKDROP_WEIGHT * backdrop).astype(np.uint8)
    return with_roi_box(blended, roi)


def colour_bar(effect_map: EffectMap, bound: float) -> bytes:
    """PNG of the colours from the lowest to the highest effect, labelled in dB."""
    lowest, highest = effect_map.lowest.effect, effect_map.highest.effect
    colours = map_colours(np.linspace(lowest, highest, 256)[None], bound)
    figure = Figure(figsize=(2.56, 0.42), dpi=200)
    axes = figure.add_axes((0.03, 0.55, 0.94, 0.42))
    axes.imshow(colours, aspect="auto", extent=(0, 1, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([])
    axes.text(0, -0.2, f"{lowest:.2f} dB", fontsize=6, ha="left", va="top")
    axes.text(1, -0.2, f"{highest:.2f} dB", fontsize=6, ha="right", va="top")
    return figure_bytes(figure)


def pie(effect_map: EffectMap) -> bytes:
    """PNG of the shares of helping, hurting and indifferent patches."""
    counts = effect_map.counts
    shares = {"positive": counts.positive, "negative": counts.negative, "zero": counts.zero}
    present = {name: count for name, count in shares.items() if count}
    figure = Figure(figsize=(2.56, 2.56), dpi=200)
    axes = figure.add_axes((0, 0.14, 1, 0.84))
    wedges, *_ = axes.pie(
        list(present.values()),
        colors=[COLOURS[name] for name in present],
        startangle=90,
        counterclock=False,
        radius=1.1,
        wedgeprops={"linewidth": 0.8, "edgecolor": "white"},
    )
    labels = [f"{name} {count / effect_map.effects.size:.1%}" for name, count in present.items()]
    figure.legend(
        wedges, labels, loc="lower center", ncols=3, fontsize=6, frameon=False, columnspacing=1, handlelength=1
    )
    return figure_bytes(figure)
