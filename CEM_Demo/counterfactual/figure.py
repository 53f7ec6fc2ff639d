"""Before and after: the input with the edited blocks, the edited input, their difference, and the ROI restored."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from CEM_Demo.counterfactual.record import Counterfactual
from CEM_Demo.images import PEAK, UInt8Image
from CEM_Demo.method.intervention import Pasted
from CEM_Demo.method.metric import to_picture
from CEM_Demo.run.experiment import Experiment

ROI_COLOR, EDIT_COLOR = "#00c000", "#e08000"
GRAY = 128


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
    draw_shown = ", first draw" if result.fresh and result.quantifier == "mean" else ""
    inputs = {
        "input, edited blocks outlined": degraded,
        f"edited input{draw_shown}": edited,
        "edited minus input, around gray": _difference(degraded, edited),
    }
    for place, (name, image) in zip(axes[0], inputs.items(), strict=True):
        _show(place, image, name)
        scale = experiment.scene.scale
        _outline(place, roi.left / scale, roi.top / scale, roi.width / scale, roi.height / scale, ROI_COLOR)
    for block in result.blocks:
        side = experiment.grid.block
        _outline(axes[0, 0], block.column * side, block.row * side, side, side, EDIT_COLOR)
    for place, (name, image) in zip(axes[1], {"before": degraded, "after": edited}.items(), strict=False):
        restored, psnr = _restore(experiment, image)
        _show(place, restored, f"ROI restored {name}, {psnr:.2f} dB")
    _show(axes[1, 2], truth[roi.window], "ROI, ground truth")
    figure.suptitle(f"{title}\n{result.sentence}", fontsize=10)
    return figure


def _restore(experiment: Experiment, image: UInt8Image) -> tuple[UInt8Image, float]:
    """The restored ROI of an input, h x w x 3, and its PSNR in dB."""
    pasted = Pasted(np.zeros((1, 2), np.int64), image[None])
    (restored,) = experiment.group.inference.restore(pasted.corners, pasted.pixels)
    return to_picture(restored), float(experiment.measure_pasted(pasted)[0][0])


def _difference(before: UInt8Image, after: UInt8Image) -> UInt8Image:
    return np.clip(after.astype(np.int16) - before + GRAY, 0, PEAK).astype(np.uint8)


def _show(axes: Axes, image: UInt8Image, name: str) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_title(name, fontsize=9)
    axes.set_axis_off()


def _outline(axes: Axes, left: float, top: float, width: float, height: float, color: str) -> None:
    # Pixels lie around whole numbers.
    axes.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=color, linewidth=1.2))
