"""Keep no more of the untouched image than interventions on filters read.

Behind a layer of a transformer nearly everything changes, so what lies there need not be kept: it is computed anew.
Attention matrices would take most of the memory otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from CEM_Demo.inference.roi_graph import RoiGraph, input_window
from CEM_Demo.inference.sites import Layer
from CEM_Demo.inference.windows import Window, whole

# Sets of layers: bit i stands for layer i.
LayerSet = int


def keep_for_layers(roi_graph: RoiGraph, layers: Sequence[Layer]) -> RoiGraph:
    """Give the same graph, which keeps what interventions on some layers read, singly or jointly, and no more.

    A value is kept if a layer changes what reads it, but not all of the value, or if padding around it is read.
    """
    nodes = roi_graph.graph.nodes
    changed, changed_wholly = _changed(roi_graph, layers)
    read = {roi_graph.graph.output}.union(*(nodes[site.number].inputs for layer in layers for site in layer.sites))
    for number, node in enumerate(nodes):
        for position, source in enumerate(node.inputs):
            if changed[number] & ~changed_wholly[source] or _reads_padding(roi_graph, number, position):
                read.add(source)
    return replace(roi_graph, kept=tuple(box if number in read else None for number, box in enumerate(roi_graph.kept)))


def _reads_padding(roi_graph: RoiGraph, number: int, position: int) -> bool:
    """Say whether a node reads what lies around an input."""
    graph, rule, needed = roi_graph.graph, roi_graph.rules[number], roi_graph.needed[number]
    source = graph.nodes[number].inputs[position]
    if not needed.filled.all():
        return False
    window = input_window(graph, rule, position, source, needed)
    return window is not None and window.within(graph.nodes[source].size).box(0) != window.box(0)


def _changed(roi_graph: RoiGraph, layers: Sequence[Layer]) -> tuple[list[LayerSet], list[LayerSet]]:
    """Find, for each node, the layers that change it, and those that change every pixel of it."""
    nodes = roi_graph.graph.nodes
    changed, wholly = [0] * len(nodes), [0] * len(nodes)
    of_sites = {site.number: 1 << bit for bit, layer in enumerate(layers) for site in layer.sites}
    for number, node in enumerate(nodes):
        if not roi_graph.needed[number].filled.all():
            continue
        own = of_sites.get(number, 0)
        everything = roi_graph.needed[number].box(0) == Window(0, node.size[0], 0, node.size[1])
        changed[number], wholly[number] = own, own if everything else 0
        for position, source in enumerate(node.inputs):
            changed[number] |= changed[source]
            if everything and _spreads(roi_graph, number, position):
                wholly[number] |= wholly[source]
    return changed, wholly


def _spreads(roi_graph: RoiGraph, number: int, position: int) -> bool:
    """Say whether a node changes everywhere if one of its inputs does."""
    nodes, rule = roi_graph.graph.nodes, roi_graph.rules[number]
    if rule is None:
        return True
    node, source = nodes[number], nodes[nodes[number].inputs[position]]
    changes = rule.changes(position, whole(source.size, 1)).within(node.size)
    return changes.box(0) == whole(node.size, 1).box(0)
