"""Let operators on rearranged values, such as channels last or lists of pixels, count as operators on feature maps.

Many networks normalize or mix channels on values of 1 x H x W x C or 1 x HW x C, which they permute or reshape from
feature maps and back. Nothing moves there but the dimensions, so windows of feature maps are followed through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from CEM_Demo.inference.arrangement import OF_MAPS, Arrangement
from CEM_Demo.inference.graph import Graph, Node, Shape, Value, renumbered, without_unused
from CEM_Demo.inference.operators import (
    ACTIVATIONS,
    ALONG_DIMENSIONS,
    LINEAR_ON_FEATURE_MAPS,
    ON_FEATURE_MAPS,
    POINTWISE,
    computed_whole,
)

# These treat dimension 1 as that of the channels, or lay values out anew.
NOT_PIXELWISE = {"batch_norm", "prelu", "cat", "channel_shuffle", "feature_dropout", "expand", "expand_as"}
PIXELWISE = {*POINTWISE} - NOT_PIXELWISE
# These act along one dimension, and keep it.
ALONG_ONE = {"softmax", "log_softmax", "cat", "glu", "slice", "narrow"}
REDUCING = {*ALONG_DIMENSIONS} - ALONG_ONE
WEIGHTED = {"linear", "layer_norm"}


@dataclass
class _Anew:
    """A graph that is written anew.

    Attributes:
        nodes: so far.
        values: by its number in the old graph, the node that computes a value as it was.
        maps: by the same number, the node of the feature map that holds the values, and how they lie.
    """

    nodes: list[Node] = field(default_factory=list)
    values: dict[int, int] = field(default_factory=dict)
    maps: dict[int, tuple[int, Arrangement]] = field(default_factory=dict)

    def append(self, node: Node) -> int:
        """Append a node; give its number."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def value(self, number: int, old: Node) -> int:
        """Give the node that computes an old node's value, which is made where there is none yet."""
        if number not in self.values:
            place, arrangement = self.maps[number]
            arguments = {"feature_map": Value(place)}
            node = Node("aten::permute", arrangement.of_map, arguments, (place,), old.shape, dtype=old.dtype)
            self.values[number] = self.append(node)
        return self.values[number]


def on_feature_maps(graph: Graph) -> Graph:
    """Give a graph that computes the same, with as many operators on feature maps as can be.

    It is the same graph if nothing is gained by it.
    """
    anew = _Anew()
    for number, node in enumerate(graph.nodes):
        if not _follow(anew, graph, number):
            sources = {source: anew.value(source, graph.nodes[source]) for source in node.inputs}
            anew.values[number] = anew.append(renumbered(node, sources))
            if node.is_map and node.constant is None:
                anew.maps[number] = anew.values[number], OF_MAPS
    output = anew.value(graph.output, graph.nodes[graph.output])
    found = without_unused(Graph(tuple(anew.nodes), anew.values[graph.image], output))
    return found if len(computed_whole(found)) < len(computed_whole(graph)) else graph


def _follow(anew: _Anew, graph: Graph, number: int) -> bool:
    """Take a node for one on feature maps; say whether it is one, and not one as it stands."""
    node = graph.nodes[number]
    sources = [source for source in node.inputs if graph.nodes[source].constant is None]
    if not sources or node.shape is None or any(source not in anew.maps for source in sources):
        return False
    place, arrangement = anew.maps[sources[0]]
    if len(node.inputs) == 1 and (after := arrangement.after(node, anew.nodes[place].shape or ())):
        anew.maps[number] = place, after
        before = {source: anew.value(source, graph.nodes[source]) for source in sources}
        if after != OF_MAPS:
            # Whoever reads it as it is gets it as before.
            anew.values[number] = anew.append(renumbered(node, before))
        elif node.name in ("aten::permute", "aten::transpose"):
            anew.values[number] = place
        else:
            # Reshaping lays values out as its shape says, on which the rounding of a convolution depends.
            anew.values[number] = anew.append(_laid_out(node, place))
            anew.maps[number] = anew.values[number], OF_MAPS
        return True
    if arrangement == OF_MAPS or any(anew.maps[source][1] != arrangement for source in sources):
        return False
    if not _is_pixelwise(node, arrangement, [graph.nodes[source] for source in node.inputs]):
        return False
    anew.maps[number] = anew.append(_on_feature_maps(anew, node, arrangement, set(sources))), arrangement
    return True


def _laid_out(node: Node, place: int) -> Node:
    """Make the node that lays a feature map out row by row."""
    arguments = {"self": Value(place), "memory_format": torch.contiguous_format}
    target = torch.ops.aten.contiguous.default
    return Node("aten::contiguous", target, arguments, (place,), node.shape, dtype=node.dtype)


def _is_pixelwise(node: Node, arrangement: Arrangement, inputs: Sequence[Node]) -> bool:
    """Say whether each pixel of what a node gives depends on the same pixel of its inputs, which are alike, alone."""
    name, channels = node.name.removeprefix("aten::"), arrangement.channels
    shape, arguments = node.shape or (), node.arguments
    pixels = [
        [side for place, side in enumerate(one.shape or ()) if place != channels]
        for one in (node, *inputs)
        if one.constant is None
    ]
    if any(other != pixels[0] for other in pixels) or len(shape) != len(arrangement.axes):
        return False
    if name in WEIGHTED:
        return channels == len(shape) - 1 and len(arguments.get("normalized_shape", [channels])) == 1
    if any(one.constant is not None and not _is_of_channels(one.shape or (), len(shape), channels) for one in inputs):
        return False
    along = arguments.get("dim")
    acts_along = [along] if isinstance(along, int) else along or []
    on_channels = [place % len(shape) for place in acts_along] == [channels]
    reduces = name in REDUCING and on_channels and arguments.get("keepdim", False)
    return name in PIXELWISE or name in ALONG_ONE and on_channels or reduces


def _is_of_channels(shape: Shape, dimensions: int, channels: int) -> bool:
    """Say whether a constant is broadcast along all of so many dimensions but the channels."""
    return all(side == 1 or place - len(shape) + dimensions == channels for place, side in enumerate(shape))


def _on_feature_maps(anew: _Anew, node: Node, arrangement: Arrangement, of_maps: set[int]) -> Node:
    """Make the node on feature maps that computes the same."""
    places = [anew.maps[source][0] if source in of_maps else anew.values[source] for source in node.inputs]
    which = [source in of_maps for source in node.inputs]
    size = anew.nodes[places[which.index(True)]].size
    shape = (1, (node.shape or ())[arrangement.channels], *size)
    arguments = {str(place): Value(number) for place, number in enumerate(places)}
    is_activation = node.name.removeprefix("aten::") in ACTIVATIONS
    name = LINEAR_ON_FEATURE_MAPS if node.name == "aten::linear" else node.name if is_activation else ON_FEATURE_MAPS
    return Node(name, partial(_compute, node, arrangement, which), arguments, tuple(places), shape, dtype=node.dtype)


def _compute(node: Node, arrangement: Arrangement, of_maps: list[bool], **values: Tensor) -> Tensor:
    """Arrange the feature maps among the values as the node has them, compute it, and undo that."""
    inputs = list(values.values())
    size = inputs[of_maps.index(True)].shape[-2:]
    arranged = [arrangement.of_map(value) if is_map else value for value, is_map in zip(inputs, of_maps, strict=True)]
    return arrangement.to_map(node.compute(arranged), size)
