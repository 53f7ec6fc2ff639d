"""Rules of operators that move pixels: shuffles, crops, padding and resizing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CEM_Demo.inference.graph import Node
from CEM_Demo.inference.rules import Rule, Run, cropped, pointwise, scaled_rule
from CEM_Demo.inference.windows import Window, Windows


def shuffled(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of a pixel shuffle, which turns channels into pixels."""
    factor = node.arguments["upscale_factor"]

    def prepare(output: Window, boxes: list[Window]) -> Run:
        top, left = output.top - boxes[0].top * factor, output.left - boxes[0].left * factor
        return lambda tensors: cropped(torch.pixel_shuffle(tensors[0], factor), top, left, output.sides)

    return scaled_rule(
        lambda starts, stops: (starts * factor, stops * factor),
        lambda starts, stops: (starts // factor, -(-stops // factor)),
        prepare,
    )


def unshuffled(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of a pixel unshuffle, which turns pixels into channels."""
    factor = node.arguments["downscale_factor"]
    return scaled_rule(
        lambda starts, stops: (starts // factor, -(-stops // factor)),
        lambda starts, stops: (starts * factor, stops * factor),
        lambda output, boxes: lambda tensors: torch.pixel_unshuffle(tensors[0], factor),
    )


def _shifted(before: tuple[int, int], outside: float = 0.0) -> Rule:
    """Make the rule that puts rows and columns ``before`` the first ones; negative numbers cut them off."""
    shift = np.array(before)[:, None]
    return scaled_rule(
        lambda starts, stops: (starts + shift, stops + shift),
        lambda starts, stops: (starts - shift, stops - shift),
        lambda output, boxes: lambda tensors: tensors[0],
        outside=outside,
    )


def sliced(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of a slice: channels are cut pointwise, rows and columns by a shift or, with steps, by a table."""
    arguments = node.arguments
    axis = arguments["dim"] % 4 - 2
    if axis < 0:
        return pointwise(node, inputs) if axis == -1 else None
    taken = range(inputs[0].size[axis])[slice(arguments["start"], arguments["end"], arguments["step"])]
    if taken.step == 1:
        return _shifted((-taken.start, 0) if axis == 0 else (0, -taken.start))
    sources = [np.arange(side) for side in inputs[0].size]
    sources[axis] = np.array(taken)
    return _picked(inputs[0], sources)


def flipped(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of a flip, which mirrors rows or columns."""
    axes = {dimension % 4 - 2 for dimension in node.arguments["dims"]}
    if any(axis < 0 for axis in axes):
        return None
    sides = inputs[0].size
    return _picked(inputs[0], [np.arange(side)[:: -1 if axis in axes else 1] for axis, side in enumerate(sides)])


def rolled(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of a roll, which moves rows or columns around the border."""
    axes = [dimension % 4 - 2 for dimension in node.arguments["dims"]]
    if not axes or min(axes) < 0:
        return None
    sources = [np.arange(side) for side in inputs[0].size]
    for axis, shift in zip(axes, node.arguments["shifts"], strict=True):
        sources[axis] = np.roll(sources[axis], shift)
    return _picked(inputs[0], sources)


def padded(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of a padding of rows and columns with a constant or with pixels of the map."""
    pad = node.arguments["pad"] if "pad" in node.arguments else node.arguments["padding"]
    left, right, top, bottom, *further = [*pad, 0, 0, 0, 0][: max(4, len(pad))]
    if any(further):
        return None
    kind = {"aten::reflection_pad2d": "reflect", "aten::replication_pad2d": "replicate"}.get(node.name)
    kind = kind or node.arguments.get("mode", "constant")
    if kind == "constant":
        return _shifted((top, left), float(node.arguments["value"] or 0))
    mode: Any = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[kind]
    if min(left, right, top, bottom) < 0:
        return None
    sides = zip(inputs[0].size, ((top, bottom), (left, right)), strict=True)
    return _picked(inputs[0], [np.pad(np.arange(side), width, mode=mode) for side, width in sides])


@dataclass(frozen=True)
class Table:
    """The pixels of an input axis, ``first`` to ``last`` inclusive, that each pixel of an output axis reads."""

    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def changes(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> tuple[Any, Any]:
        """Give the output windows that read from input windows."""
        reading = (self.first < stops[:, None]) & (self.last >= starts[:, None])
        return _ends(reading)

    def needs(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> tuple[Any, Any]:
        """Give the input windows that output windows read."""
        pixels = np.arange(len(self.first))
        wanted = (pixels >= starts[:, None]) & (pixels < stops[:, None])
        some = wanted.any(axis=1)
        first = np.where(wanted, self.first, self.last.max()).min(axis=1)
        last = np.where(wanted, self.last, 0).max(axis=1)
        return np.where(some, first, 0), np.where(some, last + 1, 0)


def _ends(marked: NDArray[np.bool_]) -> tuple[Any, Any]:
    """Give the place of the first True of each row, and the place after the last."""
    some = marked.any(axis=1)
    length = marked.shape[1]
    return np.where(some, marked.argmax(axis=1), 0), np.where(some, length - marked[:, ::-1].argmax(axis=1), 0)


def _tabled(tables: list[Table], prepare: Any, multiply_adds: float = 0.0) -> Rule:
    """Make the rule of an operator that reads rows by the first table and columns by the second."""

    def both(name: str, window: Windows) -> Windows:
        ends = [getattr(table, name)(window.starts[axis], window.stops[axis]) for axis, table in enumerate(tables)]
        return Windows(np.stack([start for start, _ in ends]), np.stack([stop for _, stop in ends]))

    return Rule(
        lambda position, window: both("changes", window),
        lambda position, window: both("needs", window),
        prepare,
        multiply_adds,
    )


def _picked(source: Node, sources: list[NDArray[np.int64]]) -> Rule:
    """Make the rule of an operator whose output rows and columns are copies of the input's."""

    def prepare(output: Window, boxes: list[Window]) -> Run:
        rows = torch.from_numpy(sources[0][output.top : output.bottom] - boxes[0].top)
        columns = torch.from_numpy(sources[1][output.left : output.right] - boxes[0].left)

        def run(tensors: list[Tensor]) -> Tensor:
            device = tensors[0].device
            # In a view with the channels last, whole pixels are copied.
            pixels = tensors[0].permute(0, 2, 3, 1)
            taken = pixels.index_select(1, rows.to(device)).index_select(2, columns.to(device))
            return taken.permute(0, 3, 1, 2)

        return run

    return _tabled([Table(taken, taken) for taken in sources], prepare)


def resized(node: Node, inputs: list[Node]) -> Rule | None:
    """Make the rule of resizing: matrices, which the operator makes from unit rows, weigh rows, then columns."""
    factors = node.arguments.get("scale_factors") or (node.arguments.get("scales_h"), node.arguments.get("scales_w"))
    weights = [_weights(node, inputs[0].size[axis], node.size[axis], factors[axis]) for axis in (0, 1)]
    tables = [_support(matrix) for matrix in weights]
    if all(
        (table.first == table.last).all() and (matrix.max(dim=1)[0] == 1).all()
        for table, matrix in zip(tables, weights, strict=True)
    ):
        return _picked(inputs[0], [table.first for table in tables])

    def prepare(output: Window, boxes: list[Window]) -> Run:
        rows = weights[0][output.top : output.bottom, boxes[0].top : boxes[0].bottom]
        columns = weights[1][output.left : output.right, boxes[0].left : boxes[0].right].T.contiguous()

        def run(tensors: list[Tensor]) -> Tensor:
            device = tensors[0].device
            return torch.matmul(torch.matmul(rows.to(device), tensors[0]), columns.to(device))

        return run

    taps = sum(float((table.last - table.first + 1).mean()) for table in tables)
    return _tabled(tables, prepare, multiply_adds=taps * node.shape[1])  # type: ignore[index]


def _weights(node: Node, source: int, target: int, factor: float | None) -> Tensor:
    """Give the matrix, ``target`` x ``source``, that resizes one axis."""
    # The units are columns: PyTorch's antialiased operators err on maps that are one pixel wide.
    units = torch.eye(source)[None, :, None, :]
    operator = getattr(torch.ops.aten, node.name.split("::")[1]).default
    corners = [node.arguments["align_corners"]] if "align_corners" in node.arguments else []
    return operator(units, [1, target], *corners, 1.0, factor)[0, :, 0, :].T.contiguous()


def _support(matrix: Tensor) -> Table:
    used = matrix.numpy() != 0
    first, stop = _ends(used)
    return Table(first, np.maximum(stop - 1, first))
