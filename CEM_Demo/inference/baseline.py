"""Run the untouched image through the network, and keep the output and what interventions gather from.

The image goes through at once if the memory allows. Otherwise it goes in strips of rows, each with as much of the image
around it as it depends on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from CEM_Demo.inference.graph import Node
from CEM_Demo.inference.network_memory import Halving
from CEM_Demo.inference.roi_graph import RoiGraph, from_another_roi
from CEM_Demo.inference.rules import channels_last
from CEM_Demo.inference.window_steps import Values, compile_steps
from CEM_Demo.inference.windows import Window

Note = Callable[[int, Tensor], None]


def run_whole(roi_graph: RoiGraph, image: Tensor, note: Note | None = None) -> tuple[Tensor, Values]:
    """Run the graph on an image; give the output, and for each node what is kept of its value.

    Args:
        image: 1 x 3 x H x W float32.
        note: gets the number and the value of each node as soon as it is computed.
    """
    nodes = roi_graph.graph.nodes
    last_use = {source: number for number, node in enumerate(nodes) for source in node.inputs}
    values: Values = [node.constant for node in nodes]
    kept: Values = [node.constant for node in nodes]
    for number, (node, box) in enumerate(zip(nodes, roi_graph.kept, strict=True)):
        if number == roi_graph.graph.image:
            values[number] = image
        elif node.constant is None:
            values[number] = node.compute([values[source] for source in node.inputs])
            if note:
                note(number, values[number])
        if box is not None and node.constant is None:
            kept[number] = _windowed(values[number], _everything(node), box) if node.is_map else values[number]
        for source in {*node.inputs, number}:
            if last_use.get(source, -1) <= number and source != roi_graph.graph.output:
                values[source] = None
    return values[roi_graph.graph.output], kept


def run_in_strips(roi_graph: RoiGraph, image: Tensor, halving: Halving) -> tuple[Tensor, Values]:
    """Do what :func:`run_whole` does, to rounding, in strips of as many rows of the output as ``halving`` allows.

    This works only for networks that have a rule for every operator, see :attr:`RoiGraph.is_local`.
    """
    graph = roi_graph.graph
    roi, kept = run_cone(roi_graph, image)
    # The output is allocated first: what is kept from strip to strip would fragment the heap.
    output = roi.new_empty((*roi.shape[:2], *graph.nodes[graph.output].size))

    def restore_strip(rows: slice) -> None:
        output[..., rows, :] = _compute(_strip(roi_graph, rows), image)

    halving(restore_strip, output.shape[2])
    # Interventions change this ROI, which was computed along with what they gather from.
    output[(..., *roi_graph.roi.slices(_everything(graph.nodes[graph.output])))] = roi
    return output, kept


def run_cone(roi_graph: RoiGraph, image: Tensor) -> tuple[Tensor, Values]:
    """Compute the ROI alone, from the part of the image that it depends on; give it, and what is kept of each node.

    This works only for networks that have a rule for every operator, see :attr:`RoiGraph.is_local`.
    """
    graph = roi_graph.graph
    kept: Values = [node.constant for node in graph.nodes]
    box = roi_graph.kept[graph.image]
    if box is not None:
        kept[graph.image] = _windowed(image, _everything(graph.nodes[graph.image]), box)

    def keep(number: int, value: Tensor) -> None:
        box = roi_graph.kept[number]
        if box is not None:
            kept[number] = _windowed(value, roi_graph.needed[number].box(0), box)

    return _compute(roi_graph, image, keep), kept


def run_noting(roi_graph: RoiGraph, image: Tensor, note: Note) -> Tensor:
    """Compute the ROI from the image alone, and keep nothing; ``note`` is as for :func:`run_whole`.

    In networks that have a rule for every operator, it gets the windows on which the ROI depends, else whole values.
    """
    if roi_graph.is_local:
        return _compute(roi_graph, image, note)
    nodes = roi_graph.graph.nodes
    output, _ = run_whole(replace(roi_graph, kept=(None,) * len(nodes)), image, note)
    return output[(..., *roi_graph.roi.slices(_everything(nodes[roi_graph.graph.output])))]


def rows_in_strip(roi_graph: RoiGraph, share: float) -> int:
    """Find how many rows of the output depend on a ``share`` of the image; at least as many as lie around them."""
    graph = roi_graph.graph
    image_rows, output_rows = graph.nodes[graph.image].size[0], graph.nodes[graph.output].size[0]
    middle = _strip(roi_graph, slice(output_rows // 2, output_rows // 2 + 1)).needed[graph.image].box(0)
    around = middle.sides[0]
    # Strips much thinner than what they need around them would compute most of that again and again.
    rows = max(int(share * image_rows) - around, around)
    return max(1, rows * output_rows // image_rows)


def _strip(roi_graph: RoiGraph, rows: slice) -> RoiGraph:
    return from_another_roi(
        roi_graph, Window(rows.start, rows.stop, 0, roi_graph.graph.nodes[roi_graph.graph.output].size[1])
    )


def _compute(roi_graph: RoiGraph, image: Tensor, note: Note | None = None) -> Tensor:
    """Compute the window of the output that ``roi_graph`` is seen from, from the image alone."""
    graph = roi_graph.graph
    blank: Values = [node.constant for node in graph.nodes]
    for number, (node, box) in enumerate(zip(graph.nodes, roi_graph.kept, strict=True)):
        if node.constant is None and node.shape and box is not None:
            # What lies around a map takes no memory: a single zero is expanded.
            zero = image.new_zeros((), dtype=node.dtype)
            blank[number] = zero.expand(1, node.shape[1], *box.sides)
    steps = compile_steps(roi_graph, blank, list(roi_graph.needed))
    return steps(image[(..., *steps.block.slices(_everything(graph.nodes[graph.image])))], graph, note)


def _everything(node: Node) -> Window:
    return Window(0, node.size[0], 0, node.size[1])


def _windowed(value: Tensor, of: Window, box: Window) -> Tensor:
    """Copy the window ``box`` of a feature map, channels last; it is zero outside ``of``, which ``value`` covers."""
    inside = box.meet(of)
    window = channels_last(value.new_zeros(1, value.shape[1], *box.sides))
    if not inside.empty:
        window[(..., *inside.slices(box))] = value[(..., *inside.slices(of))]
    return window
