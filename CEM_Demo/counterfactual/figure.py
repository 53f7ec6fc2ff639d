"""Before and after: the input with the edited blocks, the edited input, their difference, and the ROI restored."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from CEM_Demo.counterfactual.record import Counterfactual
from CEM_Demo.geometry import ROI
from CEM_Demo.images import PEAK, UInt8Image
from CEM_Demo.method.intervention import Pasted
from CEM_Demo.method.metric import to_picture
from CEM_Demo.run.experiment import Experiment

ROI_COLOR, EDIT_COLOR, NEAR_COLOR = "#00c000", "#e08000", "#ffffff"
GRAY = 128
# How many blocks are shown around the ROI and what is edited.
MARGIN = 2
# How many characters the figure is wide.
CHARACTERS = 110


def draw(experiment: Experiment, result: Counterfactual, edited: UInt8Image, title: str) -> Figure:
    """Draw a counterfactual.

    Args:
        experiment: one network on one ROI.
        result: what was found.
        edited: H x W x 3, the edited input.
        title: names the model and the image.
    """
    (roi,) = experiment.group.rois
    degraded, truth = experiment.scene.degraded, experiment.scene.ground_truth
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(2, 3)
    first = ", first draw" if result.fresh and result.quantifier == "mean" else ""
    scale, side = experiment.scene.scale, experiment.grid.block
    inner = ROI(roi.left // scale, roi.top // scale, -(-roi.width // scale), -(-roi.height // scale))
    blocks = [ROI.square(block.column * side, block.row * side, side) for block in result.blocks]
    near = reduce(ROI.hull_with, blocks, inner).grown(MARGIN * side, *degraded.shape[:2])
    difference, times = _difference(degraded, edited)
    _show(axes[0, 0], degraded, "input, edited blocks outlined")
    _show(axes[0, 1], edited[near.window], f"edited input{first}, the dotted part")
    _show(axes[0, 2], difference[near.window], f"edited minus input{times}, around gray")
    for place, of in zip(axes[0], (ROI(0, 0, 0, 0), near, near), strict=True):
        _outline(place, replace(inner, left=inner.left - of.left, top=inner.top - of.top), ROI_COLOR)
    for block in blocks:
        _outline(axes[0, 0], block, EDIT_COLOR)
    _outline(axes[0, 0], near, NEAR_COLOR, linestyle=":")
    for place, (name, image) in zip(axes[1], {"before": degraded, f"after{first}": edited}.items(), strict=False):
        restored, psnr = _restore(experiment, image)
        _show(place, restored, f"ROI restored {name}, {psnr:.2f} dB")
    _show(axes[1, 2], truth[roi.window], "ROI, ground truth")
    figure.suptitle(f"{title}\n{fill(result.sentence, CHARACTERS)}", fontsize=10)
    return figure


def _restore(experiment: Experiment, image: UInt8Image) -> tuple[UInt8Image, float]:
    """The restored ROI of an input, h x w x 3, and its PSNR in dB."""
    pasted = Pasted(np.zeros((1, 2), np.int64), image[None])
    (restored,) = experiment.group.inference.restore(pasted.corners, pasted.pixels)
    return to_picture(restored), float(experiment.measure_pasted(pasted)[0][0])


def _difference(before: UInt8Image, after: UInt8Image) -> tuple[UInt8Image, str]:
    """The difference of two images around gray, and how it is enlarged where it is small, as an adversary's is."""
    difference = after.astype(np.int16) - before
    times = max(1, (GRAY - 1) // max(1, int(np.abs(difference).max())))
    return np.clip(times * difference + GRAY, 0, PEAK).astype(np.uint8), f", times {times}" if times > 1 else ""


def _show(axes: Axes, image: UInt8Image, name: str) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_title(name, fontsize=9)
    axes.set_axis_off()


def _outline(axes: Axes, box: ROI, color: str, linestyle: str = "-") -> None:
    # Pixels lie around whole numbers.
    corner = box.left - 0.5, box.top - 0.5
    axes.add_patch(
        Rectangle(corner, box.width, box.height, fill=False, edgecolor=color, linewidth=1.2, linestyle=linestyle)
    )
