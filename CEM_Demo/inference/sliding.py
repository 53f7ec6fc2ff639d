"""Rules of operators that slide a kernel over a map: convolutions, transposed convolutions, pooling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from CEM_Demo.inference.graph import Node
from CEM_Demo.inference.rules import Rule, Run, channels_last, cropped, scaled_rule
from CEM_Demo.inference.windows import Window


def _pair(value: Any) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else list(value)
    return (values[0], values[-1])


def _sliding(node: Node, kernel: Any, stride: Any, padding: Any, dilation: Any, prepare: Any, **options: float) -> Rule:
    """Make the rule of a kernel whose taps lie ``dilation`` apart; it moves by ``stride`` and starts in the padding."""
    step, before, apart = (np.array(_pair(value))[:, None] for value in (stride, padding, dilation))
    span = apart * (np.array(kernel)[:, None] - 1)
    return scaled_rule(
        lambda starts, stops: (-((span - starts - before) // step), (stops - 1 + before) // step + 1),
        lambda starts, stops: (starts * step - before, (stops - 1) * step - before + span + 1),
        prepare,
        **options,
    )


def convolution(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of a convolution; windows of the input hold their padding, so the kernel runs without any."""
    arguments = node.arguments
    if arguments.get("transposed"):
        return transposed_convolution(node, inputs)
    weight, bias, constant = _weights(node, inputs)
    if not constant:
        return None
    kernel, stride, dilation, groups = weight.shape[2:], arguments["stride"], arguments["dilation"], arguments["groups"]
    padding = arguments["padding"]
    if isinstance(padding, str):
        sides = zip(_pair(dilation), kernel, strict=True)
        padding = [apart * (taps - 1) // 2 if padding == "same" else 0 for apart, taps in sides]
    weight = channels_last(weight)

    def prepare(output: Window, boxes: list[Window]) -> Run:
        return lambda tensors: torch.conv2d(channels_last(tensors[0]), weight, bias, stride, 0, dilation, groups)

    return _sliding(node, kernel, stride, padding, dilation, prepare, multiply_adds=weight.numel())


def _weights(node: Node, inputs: list[Node]) -> tuple[Tensor, Tensor | None, bool]:
    """Give the weight, the bias, and whether both are independent of the image."""
    weight = inputs[1].constant
    bias = inputs[2].constant if len(inputs) > 2 else None
    known = weight is not None and (bias is not None or len(inputs) == 2)
    return weight if weight is not None else torch.empty(0), bias, known


def transposed_convolution(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of a transposed convolution: every input pixel adds its kernel to the output, ``stride`` apart.

    It is computed as a convolution for each of the ``stride`` x ``stride`` positions that an output pixel can have, and
    a pixel shuffle (Shi et al., CVPR 2016, section 3.2), which is several times faster than PyTorch's own on a CPU.
    """
    arguments = node.arguments
    weight, bias, constant = _weights(node, inputs)
    stride, padding, groups = _pair(arguments["stride"]), _pair(arguments["padding"]), arguments["groups"]
    if not constant or stride[0] != stride[1] or _pair(arguments["dilation"]) != (1, 1):
        return None
    factor = stride[0]
    before = np.array(padding)[:, None]
    phases = phase_kernels(weight, factor, groups)
    phase_bias = None if bias is None else bias.repeat_interleave(factor**2)
    sides, taps = (np.array(kernels.shape[2:])[:, None] for kernels in (weight, phases))

    def prepare(output: Window, boxes: list[Window]) -> Run:
        # This is the first pixel that all taps reach, in coordinates of the output.
        first = [(boxes[0][2 * axis] + int(taps[axis, 0]) - 1) * factor - padding[axis] for axis in (0, 1)]
        top, left = output.top - first[0], output.left - first[1]

        def run(tensors: list[Tensor]) -> Tensor:
            at_phases = torch.conv2d(channels_last(tensors[0]), phases, phase_bias, 1, 0, 1, groups)
            return cropped(torch.pixel_shuffle(at_phases, factor), top, left, output.sides)

        return run

    return scaled_rule(
        lambda starts, stops: (starts * factor - before, (stops - 1) * factor - before + sides),
        lambda starts, stops: ((starts + before) // factor - taps + 1, (stops - 1 + before) // factor + 1),
        prepare,
        multiply_adds=weight.numel() / factor**2,
    )


def phase_kernels(weight: Tensor, factor: int, groups: int) -> Tensor:
    """Make kernels whose convolution, with a pixel shuffle, equals a transposed convolution of stride ``factor``.

    Args:
        weight: C x D/groups x K x L, of the transposed convolution from C to D channels.

    Returns:
        D factor^2 x C/groups x ceil(K/factor) x ceil(L/factor).
    """
    height, width = (-(-side // factor) for side in weight.shape[2:])
    missing = (0, width * factor - weight.shape[3], 0, height * factor - weight.shape[2])
    filled = torch.nn.functional.pad(weight, missing)
    grouped = filled.unflatten(0, (groups, -1)).unflatten(-1, (width, factor)).unflatten(-3, (height, factor))
    # groups, C/groups, D/groups, height, row phase, width, column phase
    kernels = grouped.permute(0, 2, 4, 6, 1, 3, 5).flip(-1, -2)
    return channels_last(kernels.flatten(0, 3))


def largest(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of max pooling, in which the padding never wins."""
    arguments = node.arguments
    kernel, dilation = _pair(arguments["kernel_size"]), arguments["dilation"]
    stride = arguments["stride"] or kernel

    def prepare(output: Window, boxes: list[Window]) -> Run:
        return lambda tensors: torch.max_pool2d(tensors[0], kernel, stride, 0, dilation)

    return _sliding(node, kernel, stride, arguments["padding"], dilation, prepare, outside=-math.inf)


def average(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of mean pooling over a fixed number of pixels; means without padding need whole maps."""
    arguments = node.arguments
    kernel, padding = _pair(arguments["kernel_size"]), _pair(arguments["padding"])
    stride = arguments["stride"] or kernel
    if arguments["ceil_mode"] or (any(padding) and not arguments["count_include_pad"]):
        return None

    def prepare(output: Window, boxes: list[Window]) -> Run:
        divisor = arguments["divisor_override"]
        return lambda tensors: torch.nn.functional.avg_pool2d(tensors[0], kernel, stride, 0, divisor_override=divisor)

    return _sliding(node, kernel, stride, padding, 1, prepare)
