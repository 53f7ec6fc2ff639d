"""Compile and run the steps of one block's interventions: gather windows, run operators, free what is done."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from CEM_Demo.inference.graph import Graph, Node
from CEM_Demo.inference.roi_graph import RoiGraph, input_window
from CEM_Demo.inference.rules import Run
from CEM_Demo.inference.windows import Window, Windows, one_window

NOWHERE = Window(0, 0, 0, 0)

Values = list[Any]
Gather = Callable[[Values, int], Any]


@dataclass(frozen=True)
class Step:
    """Computes the value ``number`` from what ``gathers`` collect; the values ``done`` are not read after it."""

    number: int
    gathers: list[Gather]
    run: Run
    done: list[int]


@dataclass(frozen=True)
class Steps:
    """The steps that turn the changed block of an image into the changed ROI.

    Attributes:
        block: the part of the image that is replaced.
        take_roi: collects the ROI when the steps are done.
        bytes: how much the largest step reads and writes for one image.
    """

    block: Window
    steps: list[Step]
    take_roi: Gather
    bytes: int

    def __call__(self, blocks: Tensor, graph: Graph, note: Callable[[int, Tensor], None] | None = None) -> Tensor:
        """Compute the ROI, N x 3 x R x R, for N x 3 x h x w pixels that replace the block.

        ``note`` gets the number and the value of each node as soon as it is computed.
        """
        values: Values = [None] * len(graph.nodes)
        values[graph.image] = blocks
        return self.run(values, len(blocks), {}, note)

    def run(
        self,
        values: Values,
        count: int,
        instead: Mapping[int, Run],
        note: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        """Compute the ROI for ``count`` interventions.

        Args:
            values: a place for each node's value; those that replace a node's window are there.
            count: how many interventions there are.
            instead: for some nodes, by number, what computes them in place of their operators.
            note: as above.
        """
        for step in self.steps:
            run = instead.get(step.number, step.run)
            values[step.number] = run([gather(values, count) for gather in step.gathers])
            if note:
                note(step.number, values[step.number])
            for number in step.done:
                values[number] = None
        return self.take_roi(values, count)


def compile_steps(roi_graph: RoiGraph, kept: Values, work: list[Windows]) -> Steps:
    """Compile the steps for interventions on one block that reaches the ROI.

    Args:
        kept: what is kept of the baseline, see :func:`run_whole`.
        work: a single window for each node, which is to be computed, see :func:`work_windows`.
    """
    graph = roi_graph.graph
    running = [number for number, window in enumerate(work) if window.filled[0] and number != graph.image]
    last_use = {source: number for number in running for source in graph.nodes[number].inputs}
    steps = []
    largest = 0
    for number in running:
        node, rule = graph.nodes[number], roi_graph.rules[number]
        windows = [
            input_window(graph, rule, position, source, work[number]) for position, source in enumerate(node.inputs)
        ]
        gathers = [
            _gather(roi_graph, kept, source, work[source], window, rule.outside if rule else 0.0)
            for source, window in zip(node.inputs, windows, strict=True)
        ]
        boxes = [NOWHERE if window is None else window.box(0) for window in windows]
        run = rule.prepare(work[number].box(0), boxes) if rule else node.compute
        done = [source for source in set(node.inputs) if last_use[source] == number and source != graph.output]
        steps.append(Step(number, gathers, run, done))
        values = [_values(graph.nodes[source], box) for source, box in zip(node.inputs, boxes, strict=True)]
        largest = max(largest, sum(values) + _values(node, work[number].box(0)))
    take_roi = _gather(roi_graph, kept, graph.output, work[graph.output], one_window(roi_graph.roi), 0.0)
    return Steps(work[graph.image].box(0), steps, take_roi, 4 * largest)


def _values(node: Node, box: Window) -> int:
    """Count the numbers that a window of a node holds for one image."""
    return node.shape[1] * math.prod(box.sides) if node.is_map and node.shape else math.prod(node.shape or ())


def _gather(
    roi_graph: RoiGraph, kept: Values, source: int, work: Windows, wanted: Windows | None, outside: float
) -> Gather:
    """Make a function that collects a window of a node's value: the baseline, overlaid with what changed."""
    node = roi_graph.graph.nodes[source]
    baseline = kept[source]
    if wanted is None:
        return lambda values, count: baseline
    box, changed = wanted.box(0), work.box(0)
    if not node.is_map and node.constant is None:
        return (lambda values, count: baseline) if changed.empty else (lambda values, count: values[source])
    shared = changed.meet(box)
    if shared.empty:
        unchanged = _filled_outside(_part(roi_graph, baseline, source, box), box, node.size, outside)
        return lambda values, count: unchanged.expand(count, -1, -1, -1)
    if changed == box:
        return lambda values, count: values[source]
    if shared == box:
        inner = (..., *box.slices(changed))
        return lambda values, count: values[source][inner]
    around = _filled_outside(_part(roi_graph, baseline, source, box), box, node.size, outside)
    target, origin = (..., *shared.slices(box)), (..., *shared.slices(changed))

    def paste(values: Values, count: int) -> Tensor:
        window = torch.empty(
            (count, *around.shape[1:]), dtype=around.dtype, device=around.device, memory_format=torch.channels_last
        )
        window.copy_(around)
        window[target] = values[source][origin]
        return window

    return paste


def _part(roi_graph: RoiGraph, baseline: Tensor, source: int, box: Window) -> Tensor:
    """Give the window ``box`` of the baseline, or of a tensor that is broadcast to feature maps."""
    if roi_graph.graph.nodes[source].constant is None:
        kept = roi_graph.kept[source]
        assert kept is not None, "nothing gathers from what is not kept"
        return baseline[(..., *box.slices(kept))]
    constant = baseline[(None,) * (4 - baseline.ndim)]
    return constant[..., box.top : box.bottom, box.left : box.right]


def _filled_outside(window: Tensor, box: Window, size: tuple[int, int], outside: float) -> Tensor:
    """Fill the window ``box`` with ``outside`` where it leaves a map of ``size``."""
    inside = box.meet(Window(0, size[0], 0, size[1]))
    if outside == 0 or inside == box:
        return window
    filled = torch.full_like(window, outside)
    if not inside.empty:
        part = (..., *inside.slices(box))
        filled[part] = window[part]
    return filled
