"""Local Attribution Maps: which input pixels the details in a window of the restored image come from.

Gu and Dong, "Interpreting Super-Resolution Networks with Local Attribution Maps", CVPR 2021, arXiv 2011.11036.

>>> from pathlib import Path
>>> from CEM_Demo.attribution import lam
>>> from CEM_Demo.geometry import ROI
>>> from CEM_Demo.images import read_image
>>> from CEM_Demo.ModelZoo import load_denoise_model

>>> network = load_denoise_model("DnCNN@Demo")  # or any module that maps N x 3 x H x W in 0..1 to images
>>> image = read_image(Path("CEM_Demo/test_images/Test1/demo_2.png"))[:24, :24]  # H x W x 3 uint8 RGB
>>> result = lam(network, image, ROI.square(8, 8, 8), scale=1)
>>> result.map.shape, result.map.dtype, float(result.map.max())
((24, 24), dtype('float32'), 1.0)
>>> result.figure().savefig("lam.png")  # doctest: +SKIP
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from CEM_Demo.attribution.blur_path import STEPS, Step, path_step, steps_that_change
from CEM_Demo.attribution.diffusion import (
    absolute_map,
    describe,
    diffusion_index,
    gini_coefficient,
    pixels_involved,
    signed_map,
)
from CEM_Demo.attribution.objective import Objective
from CEM_Demo.device import exact_arithmetic
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.lent_network import lent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Input pixels that go through a network at a time on a GPU. On a CPU images go one by one, which is faster there.
PIXELS_AT_A_TIME = 8 * 64 * 64


@dataclass(frozen=True)
class LocalAttribution:
    """The Local Attribution Map of one window.

    Attributes:
        image: the network's input, H x W x 3 uint8 RGB.
        roi: the window, in pixels of the output.
        scale: output pixels per input pixel, along a side.
        attribution: 3 x H x W float32, what each value of the input adds to the gradients in the window.
        objective: float64, the sum of gradient magnitudes in the window at the end of each step of the path; the last
            one is that of the image itself.
        restored: the network's output for the image, 3 x sH x sW float32, not clipped.
    """

    image: UInt8Image
    roi: ROI
    scale: int
    attribution: NDArray[np.float32]
    objective: NDArray[np.float64]
    restored: NDArray[np.float32]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input (pixels), on which the diffusion index depends."""
        return self.image.shape[0], self.image.shape[1]

    @cached_property
    def map(self) -> NDArray[np.float32]:
        """H x W, 0..1: the magnitude of the attribution summed over the channels, over its maximum, as published."""
        return absolute_map(self.attribution)

    @cached_property
    def signed(self) -> NDArray[np.float32]:
        """H x W, -1..1: the same with its sign; positive pixels add to the gradients in the window."""
        return signed_map(self.attribution)

    @cached_property
    def gini(self) -> float:
        """The Gini coefficient of the map, 0..1."""
        return gini_coefficient(self.map)

    @property
    def diffusion_index(self) -> float:
        """DI, 0..100: the wider the range of pixels, the larger. Compare it on one image only, see :attr:`size`."""
        return diffusion_index(self.map)

    @property
    def pixels(self) -> float:
        """The number of input pixels that DI stands for; it hardly depends on the size of the image."""
        return pixels_involved(self.map)

    def __str__(self) -> str:
        """The diffusion index with the size that it depends on."""
        return describe(self.diffusion_index, self.pixels, self.size)

    def figure(self, with_density: bool = False) -> Figure:
        """Draw the input with its window, the map, the map over the input, and the restored image in a row.

        Args:
            with_density: draw the kernel density of the map over the input as well. It smooths a few pixels into a
                wide area, and takes seconds.

        Raises:
            InputError: there is no density: the map is too large or too narrow for one.
        """
        from CEM_Demo.attribution.pictures import map_row

        return map_row(self.image, self.roi, self.scale, self.map, self.restored, str(self), with_density)


def lam(
    network: nn.Module, image: UInt8Image, roi: ROI, scale: int, device: torch.device | None = None
) -> LocalAttribution:
    """Return the Local Attribution Map of a window, as the authors' demonstration computes it.

    The gradients of the details in the window are summed along the path from the blurred image to the image. The
    network is left as it was found. Where it clips its output, LAM sees the clipped one, whose gradient is 0 there.

    Args:
        network: maps N x 3 x H x W in 0..1 (RGB) to N x 3 x sH x sW; autograd must be able to pass through it.
        image: the network's input, H x W x 3 uint8 RGB.
        roi: the window, in pixels of the output. Where it touches the right or bottom border, its last column or row
            counts only as the neighbor of the one before it, as published.
        scale: output pixels per input pixel, along a side.
        device: where to compute; None takes the device that the network is on.

    Raises:
        InputError: the image is not H x W x 3 uint8, the window leaves the output, the output has another size than
            ``scale`` says, no gradient passes through the network, or the attribution is zero everywhere.
    """
    _check(image, roi, scale)
    with exact_arithmetic(), lent(network, device) as (net, sample):
        attribution, objective, restored = _integrate(Objective(net, sample, roi, scale), image)
    if not attribution.sum(axis=0).any():
        raise InputError(
            f"the attribution of window {roi} is zero everywhere: the network's output is flat in it, or is the same "
            "for every input; choose another window"
        )
    return LocalAttribution(image, roi, scale, attribution, objective, restored)


def _check(image: UInt8Image, roi: ROI, scale: int) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        shape = " x ".join(map(str, image.shape))
        raise InputError(f"the image is {shape} {image.dtype}; LAM takes H x W x 3 uint8 RGB")
    if scale < 1:
        raise InputError(f"scale {scale} is none; give the output's side over the input's, 1 or more")
    height, width = image.shape[0] * scale, image.shape[1] * scale
    if roi.left < 0 or roi.top < 0 or roi.right > width or roi.bottom > height:
        raise InputError(f"window {roi} reaches out of the output of {width} x {height} pixels")
    if min(roi.width, roi.height) < 1 or roi.left > width - 2 or roi.top > height - 2:
        raise InputError(f"window {roi} holds no pixel with a neighbor on its right and below; choose a larger one")


def _integrate(
    objective: Objective, image: UInt8Image
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float32]]:
    """Sum the gradients times the changes of the path: the attribution, the objective along it, and the output."""
    unit = image.astype(np.float32) / np.float32(255)
    total: NDArray[np.float32] = np.zeros((3, *image.shape[:2]), dtype=np.float32)
    on_cpu = objective.sample.device.type == "cpu"
    values: list[float] = []
    undefined = 0
    for steps in _batches_of_steps(unit, 1 if on_cpu else max(1, PIXELS_AT_A_TIME // total[0].size)):
        found = objective.evaluate(np.stack([step.image for step in steps]))
        values.extend(found.values)
        undefined += int(np.isnan(found.gradients).sum())
        for gradient, step in zip(found.gradients, steps, strict=True):
            total += np.where(np.isnan(gradient), 0, gradient) * step.change
    if not (np.isfinite(total).all() and np.isfinite(values).all()):
        raise InputError("the network's output or its gradient is not finite, so its details have no attribution")
    if undefined:
        warnings.warn(f"{undefined} values of the network's gradients are NaN and count as 0", stacklevel=3)
    attribution: NDArray[np.float32] = total / np.float32(STEPS)
    return attribution, np.array(values), found.output.float().cpu().numpy()


def _batches_of_steps(image: NDArray[np.float32], size: int) -> Iterator[list[Step]]:
    last = steps_that_change()
    for first in range(1, last + 1, size):
        yield [path_step(image, number) for number in range(first, min(first + size, last + 1))]
