"""Rules of operators: which windows they change, which they need, and how they run on them.

A function of a node and its inputs makes the rule for the node (see :mod:`.operators`); it returns None if the node is
better computed on whole maps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from CEM_Demo.inference.graph import Node, Shape, Value
from CEM_Demo.inference.windows import Window, Windows

Run = Callable[[list[Tensor]], Tensor]


@dataclass(frozen=True)
class Rule:
    """How one node treats windows of its inputs; an input is named by its position among ``Node.inputs``.

    Attributes:
        changes: (position, changed windows of that input) -> windows of the output that can change.
        needs: (position, windows of the output) -> windows of that input that are read, which may reach into the
            padding; None for an input that is read whole (weights).
        prepare: (output box, a box for each input) -> a function from the inputs' windows (channels last, a leading
            batch dimension) to the output's.
        multiply_adds: multiply-adds per pixel of the output, for one image.
        outside: value of the padding that ``needs`` may reach into.
        is_local: whether output windows equal the windows of the only input, pixel by pixel.
    """

    changes: Callable[[int, Windows], Windows]
    needs: Callable[[int, Windows], Windows | None]
    prepare: Callable[[Window, list[Window]], Run]
    multiply_adds: float = 0.0
    outside: float = 0.0
    is_local: bool = False


def dimensions(node: Node) -> set[int]:
    """Give the dimensions, out of four, that an operator acts along."""
    found = node.arguments.get("dim")
    if found is None:
        return {0, 1, 2, 3}
    return {dimension % 4 for dimension in (found if isinstance(found, list | tuple) else [found])}


def caller(node: Node, replaced: dict[str, Any] | None = None) -> Run:
    """Make a function from a node's inputs to its output, with some arguments replaced by others."""
    arguments = {**node.arguments, **(replaced or {})}
    names = list(arguments)
    if len(node.inputs) == 1 and isinstance(arguments[names[0]], Value):
        others = {name: arguments[name] for name in names[1:]}
        first = names[0]
        return lambda inputs: node.target(**{first: inputs[0]}, **others)
    return Node(node.name, node.target, arguments, node.inputs).compute


def image_size(shape: Shape | None) -> tuple[int, int]:
    """Give the rows and columns of a tensor that broadcasts against feature maps."""
    rows, columns = ((1, 1) + (shape or ()))[-2:]
    return rows, columns


WEIGHTED = {"aten::prelu", "aten::batch_norm"}


def pointwise(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of operators whose pixels depend on the inputs' same pixels; one row or column is broadcast."""
    if node.name == "aten::cat" and node.arguments["dim"] % 4 != 1:
        return None
    if node.name in WEIGHTED and any(source.constant is None for source in inputs[1:]):
        return None
    if node.arguments.get("training"):
        return None  # a batch norm that uses the statistics of the batch itself
    sizes = [image_size(source.shape) for source in inputs]
    spread = [np.array([side == 1 < full for side, full in zip(size, node.size, strict=True)]) for size in sizes]

    def changes(position: int, window: Windows) -> Windows:
        along, full = spread[position][:, None], np.array(node.size)[:, None]
        return Windows(np.where(along, 0, window.starts), np.where(along, full, window.stops))

    def needs(position: int, window: Windows) -> Windows | None:
        source = inputs[position]
        if position and node.name in WEIGHTED or not source.shape:
            return None
        along = spread[position][:, None] & window.filled
        return Windows(np.where(along, 0, window.starts), np.where(along, 1, window.stops))

    def prepare(output: Window, boxes: list[Window]) -> Run:
        if node.name in ("aten::expand", "aten::expand_as"):
            channels, sides = node.shape[1], output.sides  # type: ignore[index]
            return lambda tensors: tensors[0].expand(-1, channels, *sides)
        return caller(node)

    is_unary = len(inputs) == 1 or node.name in WEIGHTED
    return Rule(changes, needs, prepare, is_local=is_unary and not spread[0].any())


def pixelwise(node: Node, inputs: list[Node]) -> Rule:
    """Make the rule of operators that read the same pixels of feature maps, and all of their weights."""
    constants = [source.constant for source in inputs]
    return Rule(
        lambda position, window: window,
        lambda position, window: window if constants[position] is None else None,
        lambda output, boxes: caller(node),
        # Of all that are constant, the matrices alone are multiplied with.
        multiply_adds=sum(float(one.numel()) for one in constants if one is not None and one.ndim == 2),
        is_local=constants.count(None) == 1,
    )


def replaceable(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of a node whose channels interventions replace; what it passes on otherwise is kept for that."""
    rule = pointwise(node, inputs)
    return rule and replace(rule, is_local=False)


def along_channels(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of operators that are pointwise if they act along the channels alone."""
    return pointwise(node, inputs) if dimensions(node) == {1} else None


def repeated_channels(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of a repetition along the channels alone."""
    counts = node.arguments["repeats"]
    return pointwise(node, inputs) if len(counts) == 4 and counts[0] == counts[2] == counts[3] == 1 else None


def scaled_rule(
    changes: Callable[[Any, Any], tuple[Any, Any]],
    needs: Callable[[Any, Any], tuple[Any, Any]],
    prepare: Callable[[Window, list[Window]], Run],
    **options: float,
) -> Rule:
    """Make a rule from functions (starts, stops) -> (starts, stops) of the first input; other inputs are weights."""
    return Rule(
        lambda position, window: Windows(*changes(window.starts, window.stops)),
        lambda position, window: None if position else Windows(*needs(window.starts, window.stops)),
        prepare,
        **options,  # type: ignore[arg-type]
    )


def cropped(tensor: Tensor, top: int, left: int, sides: tuple[int, int]) -> Tensor:
    """Cut out the part of a feature map that starts at ``top``, ``left``."""
    return tensor[..., top : top + sides[0], left : left + sides[1]]


def channels_last(tensor: Tensor) -> Tensor:
    """Lay a tensor out with the channels last, which is fastest for convolutions of small windows."""
    return tensor.contiguous(memory_format=torch.channels_last)
