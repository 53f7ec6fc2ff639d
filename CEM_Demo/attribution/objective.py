"""What LAM attributes to the input: the details that a network restores in a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI


def sum_of_magnitudes(output: Tensor, roi: ROI) -> Tensor:
    """Sum the gradient magnitude of N x C x P x Q images over a window and the channels: N values.

    The gradient is that of forward differences, so a window that touches the right or bottom border has one column or
    row less, as published. Where the magnitude is 0, its derivative counts as 0. (The published code takes the root of
    the whole image, where one flat spot, inside the window or not, makes all gradients NaN that it reaches.)
    """
    around = output[..., roi.top : roi.bottom + 1, roi.left : roi.right + 1]
    here = around[..., :-1, :-1]
    squares = (here - around[..., 1:, :-1]) ** 2 + (here - around[..., :-1, 1:]) ** 2
    changing = squares != 0
    # Both are needed: the inner one keeps the derivative finite, the outer one makes the value 0.
    return torch.where(changing, torch.where(changing, squares, 1).sqrt(), 0).sum(dim=(1, 2, 3))


@dataclass(frozen=True)
class Evaluation:
    """The objective at N images.

    Attributes:
        values: N float64.
        gradients: N x 3 x H x W float32, the derivatives of each value by its own image.
        output: the network's output for the last image, on its device.
    """

    values: NDArray[np.float64]
    gradients: NDArray[np.float32]
    output: Tensor


@dataclass(frozen=True)
class Objective:
    """The sum of gradient magnitudes in a window of a network's output, as a function of the network's input.

    Attributes:
        net: in evaluation mode, with frozen weights.
        sample: a tensor of the device and type that ``net`` takes.
        roi: the window, in pixels of the output.
        scale: output pixels per input pixel, along a side.
    """

    net: nn.Module
    sample: Tensor
    roi: ROI
    scale: int

    def evaluate(self, images: NDArray[np.float32]) -> Evaluation:
        """Differentiate at N x 3 x H x W images, in halves where the device's memory does not hold all of them.

        Raises:
            InputError: the output is no image of the right size, or autograd cannot pass through the network.
        """
        inputs = torch.from_numpy(images).to(self.sample).requires_grad_()
        try:
            return self._differentiate(inputs)
        except torch.OutOfMemoryError:
            if len(images) == 1:
                raise
        except RuntimeError as error:
            self._run_without_gradients(inputs)  # raises again what has nothing to do with gradients
            raise InputError(_without_gradient(str(error).partition("\n")[0])) from error
        # This is no part of the handler, whose exception would keep the memory of the failed pass.
        first, second = (self.evaluate(half) for half in np.array_split(images, 2))
        values = np.concatenate([first.values, second.values])
        return Evaluation(values, np.concatenate([first.gradients, second.gradients]), second.output)

    def _differentiate(self, inputs: Tensor) -> Evaluation:
        # A copy, since autograd lets no network write into a leaf.
        output = self.net(inputs.clone())
        self._check(output, inputs)
        values = sum_of_magnitudes(output.to(torch.promote_types(output.dtype, torch.float32)), self.roi)
        if not values.requires_grad:
            raise InputError(_without_gradient("its output is detached from its input"))
        (gradients,) = torch.autograd.grad(values.sum(), inputs, allow_unused=True)
        if gradients is None:
            raise InputError(_without_gradient("its output does not depend on its input"))
        return Evaluation(
            values.detach().cpu().numpy().astype(np.float64),
            gradients.float().cpu().numpy(),
            output[-1].detach(),
        )

    def _check(self, output: Tensor, inputs: Tensor) -> None:
        if not isinstance(output, Tensor):
            raise InputError(f"the network returns a {type(output).__name__}, and LAM needs one that returns an image")
        count, _, height, width = inputs.shape
        expected = (count, 3, height * self.scale, width * self.scale)
        if tuple(output.shape) != expected:
            found, needed = (" x ".join(map(str, shape)) for shape in (output.shape, expected))
            raise InputError(
                f"the network returns {found} values, not {needed}: check the scale, which is {self.scale}"
            )

    def _run_without_gradients(self, inputs: Tensor) -> None:
        with torch.no_grad():
            self.net(inputs.detach().clone())


def _without_gradient(reason: str) -> str:
    return f"LAM needs a network that a gradient passes through, and none passes through this one: {reason}"
