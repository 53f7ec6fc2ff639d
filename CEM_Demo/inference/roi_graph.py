"""Find the windows of feature maps that an intervention changes and the ROI needs, and what computing them costs.

What an intervention changes grows from layer to layer, and what the ROI needs shrinks towards the output. Only where
the two meet is there anything to compute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from CEM_Demo.inference.graph import Graph
from CEM_Demo.inference.operators import is_batchable, rules_of
from CEM_Demo.inference.rules import Rule
from CEM_Demo.inference.windows import Window, Windows, common, hull, no_windows, one_window, whole

SURVEYED_AT_ONCE = 4096


@dataclass(frozen=True)
class RoiGraph:
    """A graph seen from one ROI.

    Attributes:
        rules: the rules of the graph's nodes; None if a node is computed on whole maps.
        needed: for each node, the window on which the ROI depends.
        kept: for each node, the window (it may reach into the padding) that others gather from; None if they take
            all they need from what an intervention changed.
        batchable: whether every operator treats the images of a batch one by one.
        multiply_adds: the multiply-adds of each node on whole maps.
    """

    graph: Graph
    roi: Window
    rules: tuple[Rule | None, ...]
    needed: tuple[Windows, ...]
    kept: tuple[Window | None, ...]
    batchable: bool
    multiply_adds: tuple[float, ...]

    @property
    def is_local(self) -> bool:
        """Whether every operator has a rule, so that any window of the output can be computed by windows alone."""
        return all(
            rule is not None or node.constant is not None or number == self.graph.image
            for number, (node, rule) in enumerate(zip(self.graph.nodes, self.rules, strict=True))
        )


def graph_from_roi(graph: Graph, roi: Window) -> RoiGraph:
    """Follow ``roi``, a window of the output, back through the graph."""
    rules = rules_of(graph)
    needed, kept = _follow(graph, rules, roi)
    batchable = all(
        rule is not None or is_batchable(node, [graph.nodes[source] for source in node.inputs])
        for node, rule in zip(graph.nodes, rules, strict=True)
    )
    costs = tuple(_multiply_adds(graph, number, rule) for number, rule in enumerate(rules))
    return RoiGraph(graph, roi, rules, needed, kept, batchable, costs)


def from_another_roi(roi_graph: RoiGraph, roi: Window) -> RoiGraph:
    """Give the same graph, seen from another window of the output."""
    needed, kept = _follow(roi_graph.graph, roi_graph.rules, roi)
    return replace(roi_graph, roi=roi, needed=needed, kept=kept)


def _follow(
    graph: Graph, rules: tuple[Rule | None, ...], roi: Window
) -> tuple[tuple[Windows, ...], tuple[Window | None, ...]]:
    """Find what is needed of each node and what is kept of it; see :class:`RoiGraph`."""
    needed = [no_windows(1) for _ in graph.nodes]
    kept: list[Windows] = list(needed)
    needed[graph.output] = kept[graph.output] = one_window(roi)
    for number in range(len(graph.nodes) - 1, -1, -1):
        node, rule = graph.nodes[number], rules[number]
        if node.constant is not None or not needed[number].filled.all():
            continue
        for position, source in enumerate(node.inputs):
            window = input_window(graph, rule, position, source, needed[number])
            if window is None or graph.nodes[source].constant is not None:
                continue
            needed[source] = hull((needed[source], window.within(graph.nodes[source].size)))
            if not (rule and rule.is_local):
                kept[source] = hull((kept[source], window))
    return tuple(needed), tuple(window.box(0) if window.filled.all() else None for window in kept)


def input_window(graph: Graph, rule: Rule | None, position: int, source: int, output: Windows) -> Windows | None:
    """Give the windows of an input that a node reads for windows of its output; None for weights and the like."""
    node = graph.nodes[source]
    if rule is None:
        return whole(node.size, output.starts.shape[1]).only(output.filled) if node.constant is None else None
    window = rule.needs(position, output)
    return None if window is None else window.only(output.filled)


def work_windows(roi_graph: RoiGraph, changed: Windows) -> list[Windows]:
    """Find, for each node, the windows to compute when ``changed``, N windows of the image, are replaced."""
    return windows_behind(roi_graph, {roi_graph.graph.image: changed}, changed.starts.shape[1])


def windows_behind(roi_graph: RoiGraph, changed: Mapping[int, Windows], count: int) -> list[Windows]:
    """Find, for each node, the windows to compute when windows of some nodes are replaced.

    Args:
        changed: ``count`` windows of each of these nodes, by their numbers.
    """
    graph = roi_graph.graph
    work = [no_windows(count)] * len(graph.nodes)
    for number, (node, rule) in enumerate(zip(graph.nodes, roi_graph.rules, strict=True)):
        if number in changed:
            work[number] = changed[number].only(common(changed[number], roi_graph.needed[number]).filled)
            continue
        if node.constant is None:
            # Only what is needed can change anything else that is needed.
            sources = [(position, work[source]) for position, source in enumerate(node.inputs)]
            sources = [(position, window) for position, window in sources if window.filled.any()]
            if not sources:
                continue
            if rule is None:
                some = np.logical_or.reduce([window.filled for _, window in sources])
                work[number] = whole(node.size, count).only(some & roi_graph.needed[number].filled)
                continue
            changes = hull(
                rule.changes(position, window).within(node.size).only(window.filled) for position, window in sources
            )
            both = common(changes, roi_graph.needed[number])
            work[number] = both.only(both.filled)
    return work


def _multiply_adds(graph: Graph, number: int, rule: Rule | None) -> float:
    """Count the multiply-adds of a node on whole maps; without a rule, PyTorch counts them without computing.

    PyTorch counts only convolutions and matrix products; all else counts as zero.
    """
    node = graph.nodes[number]
    if node.constant is not None or number == graph.image or not node.inputs:
        return 0.0
    if rule is not None:
        return rule.multiply_adds * float(np.prod(node.size))
    sources = [graph.nodes[source] for source in node.inputs]
    if any(source.shape is None for source in sources):
        return 0.0
    inputs = [torch.empty(source.shape or (), dtype=source.dtype, device="meta") for source in sources]
    try:
        with FlopCounterMode(display=False) as counter:
            node.compute(inputs)
    except Exception:  # an operator may raise anything, or need values
        return 0.0
    return counter.get_total_flops() / 2


@dataclass(frozen=True)
class Survey:
    """What interventions on N blocks would take.

    Attributes:
        reached: N, whether each block can change the ROI.
        areas: for each node, the pixels to compute, summed over the blocks that can.
        largest_bytes: size of the largest value that is computed for any block.
    """

    reached: NDArray[np.bool_]
    areas: NDArray[np.int64]
    largest_bytes: int


def survey(roi_graph: RoiGraph, blocks: Windows) -> Survey:
    """Survey interventions on ``blocks``, N windows of the image, in parts, since there may be very many."""
    nodes = roi_graph.graph.nodes
    computed = [node.constant is None and number != roi_graph.graph.image for number, node in enumerate(nodes)]
    depths = [math.prod(node.shape or ()) // math.prod(node.size) for node in nodes]
    areas = np.zeros(len(nodes), np.int64)
    reached = np.zeros(blocks.starts.shape[1], bool)
    largest = 0
    for start in range(0, len(reached), SURVEYED_AT_ONCE):
        part = slice(start, start + SURVEYED_AT_ONCE)
        work = work_windows(roi_graph, Windows(blocks.starts[:, part], blocks.stops[:, part]))
        reached[part] = work[roi_graph.graph.output].filled
        for number in np.flatnonzero(computed):
            reaching = work[number].areas * reached[part]
            areas[number] += reaching.sum()
            largest = max(largest, int(reaching.max()) * depths[number])
    return Survey(reached, areas, 4 * largest)


@dataclass(frozen=True)
class Cost:
    """The mean work of an intervention, over all blocks of an image.

    Attributes:
        dense, incremental: multiply-adds of convolutions and matrix products.
        dense_values, incremental_values: values that the other operators write.
        reached: number of blocks that can change the ROI.
        blocks: number of all blocks.
        kept_bytes: memory for the activations of the baseline that incremental inference keeps.
    """

    dense: float
    incremental: float
    dense_values: float
    incremental_values: float
    reached: int
    blocks: int
    kept_bytes: int


def cost_of(roi_graph: RoiGraph, survey: Survey) -> Cost:
    """Compute the mean work of interventions that are spread evenly over the surveyed blocks."""
    dense = incremental = dense_values = incremental_values = 0.0
    blocks = len(survey.reached)
    for number, node in enumerate(roi_graph.graph.nodes):
        if node.constant is not None or number == roi_graph.graph.image:
            continue
        share = float(survey.areas[number] / blocks) / float(np.prod(node.size))
        values = float(np.prod(node.shape or (0,)))
        dense += roi_graph.multiply_adds[number]
        incremental += roi_graph.multiply_adds[number] * share
        dense_values += values
        incremental_values += values * share
    reached = int(survey.reached.sum())
    return Cost(dense, incremental, dense_values, incremental_values, reached, blocks, kept_bytes(roi_graph))


def kept_bytes(roi_graph: RoiGraph) -> int:
    """Count the memory for what is kept of the untouched image."""
    shapes = [
        (node.shape[1], *box.sides) if node.is_map else node.shape
        for node, box in zip(roi_graph.graph.nodes, roi_graph.kept, strict=True)
        if box is not None and node.shape is not None and node.constant is None
    ]
    return 4 * sum(math.prod(shape) for shape in shapes)
