"""Find the convolutions, linear layers and attention heads of a graph, and make what they give replaceable.

Behind every layer, or behind the activation that alone reads it, and behind every attention product of several heads
stands a node of its own. It passes on what it is given, unless an intervention replaces some of the channels there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from CEM_Demo.errors import InputError
from CEM_Demo.inference.graph import Graph, Node, Value, renumbered
from CEM_Demo.inference.heads import heads_in
from CEM_Demo.inference.layout import Layout
from CEM_Demo.inference.operators import ACTIVATIONS
from CEM_Demo.inference.weighted import channel_dimension

ACTIVATION_NAMES = {f"aten::{name}" for name in ACTIVATIONS}
# Its weights lie along dimension 1 of the values, whatever that is.
KEEPING_ZERO = {"aten::prelu"}
# What follows the name of a layer for the heads whose values it gives.
OF_HEADS = ".heads"
COLORS = 3


@dataclass(frozen=True, eq=False)
class Site:
    """One use of a layer.

    Attributes:
        number: of the node at which interventions replace channels.
        deleted: values that the channels have everywhere if the filters' weights and biases are zero, 1 x C x 1 x 1.
        others: numbers of the nodes that compute the same with other weights, of which the last gives what can stand
            at the site; none if there are no other weights.
        layout: where the channels lie in the node's value; None for feature maps.
    """

    number: int
    deleted: Tensor
    others: tuple[int, ...]
    layout: Layout | None

    def to_channels(self, value: Tensor) -> Tensor:
        """Lay the node's value out as N x C x h x w; N is 1 where the value is no feature map."""
        return value if self.layout is None else self.layout.to_channels(value)

    def to_value(self, channels: Tensor) -> Tensor:
        """Undo :meth:`to_channels`."""
        return channels if self.layout is None else self.layout.to_value(channels)


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution, a linear layer or the heads of attention, with all places where the network uses the weight.

    Attributes:
        name: of the weight's parameter, without ``.weight``; heads are named by the layer that gives their values, as
            in ``attn.qkv.heads``.
        channels: number of its filters, which are its output channels; of heads, their number.
        sites: its uses in the order of computation; a filter is one channel there, a head is as many as it has.
        gives_image: whether its channels are the colors of an image: they are a feature map of three channels, or no
            other layer stands between them and the output.
    """

    name: str
    channels: int
    sites: tuple[Site, ...]
    gives_image: bool = False


@dataclass(frozen=True)
class SitedGraph:
    """A graph with replaceable nodes; the layers are in the order of their first use."""

    graph: Graph
    layers: tuple[Layer, ...]


@dataclass(frozen=True, eq=False)
class Place:
    """Where a graph is to get a site.

    Attributes:
        path: numbers of the nodes from the one that applies a weight to the one that the site stands behind.
        filters: how many there are.
        layout: as of the site.
        ending: of the layer's name.
    """

    path: tuple[int, ...]
    filters: int
    layout: Layout | None
    ending: str = ""


def with_sites(graph: Graph, other: Graph | None = None) -> SitedGraph:
    """Make the output channels of every convolution and linear layer replaceable, and the heads of attention.

    Args:
        graph: of a network.
        other: of the same network with other weights; its filters can take the place of the network's.

    Raises:
        InputError: the two graphs are not alike.
    """
    if other is not None and not _are_alike(graph, other):
        raise InputError("the networks that exchange filters are not of the same architecture")
    places = _places(graph)
    found: dict[tuple[Any, ...], list[Site]] = {}
    named: dict[tuple[Any, ...], tuple[str, int]] = {}
    nodes: list[Node] = []
    numbers: dict[int, int] = {}
    for number, node in enumerate(graph.nodes):
        numbers[number] = len(nodes)
        nodes.append(renumbered(node, numbers))
        if number not in places:
            continue
        place = places[number]
        others = _compute_otherwise(nodes, graph, other, place, numbers) if other else ()
        site = Site(len(nodes), _deleted(graph, place), others, place.layout)
        nodes.append(_do(nodes, numbers[number], others, place.layout))
        numbers[number] = site.number
        weight = _weight(graph, place)
        assert weight.constant is not None
        # Two names of one tensor are one filter.
        key = (weight.constant.data_ptr(), tuple(weight.constant.shape), place.ending, place.filters)
        found.setdefault(key, []).append(site)
        named.setdefault(key, (weight.parameter.removesuffix(".weight") + place.ending, place.filters))
    sited = Graph(tuple(nodes), numbers[graph.image], numbers[graph.output])
    last = _last_sites(sited, {site.number for sites in found.values() for site in sites})
    return SitedGraph(sited, tuple(_layer(*named[key], tuple(sites), last) for key, sites in found.items()))


def _layer(name: str, channels: int, sites: tuple[Site, ...], last: set[int]) -> Layer:
    of_colors = channels == COLORS and all(site.layout is None for site in sites)
    is_last = any(site.number in last for site in sites)
    return Layer(name, channels, sites, not name.endswith(OF_HEADS) and (of_colors or is_last))


def _last_sites(graph: Graph, sites: set[int]) -> set[int]:
    """Find the sites between which and the output no other site stands."""
    found: set[int] = set()
    seen: set[int] = set()
    waiting = [graph.output]
    while waiting:
        number = waiting.pop()
        if number in sites:
            found.add(number)
        elif number not in seen:
            waiting.extend(graph.nodes[number].inputs)
        seen.add(number)
    return found


def _places(graph: Graph) -> dict[int, Place]:
    """Find where sites are to be, by the number of the node that interventions stand behind."""
    readers: list[list[int]] = [[] for _ in graph.nodes]
    for number, node in enumerate(graph.nodes):
        for source in set(node.inputs):
            readers[source].append(number)
    found = {
        number: Place(heads.path, heads.layout.groups, heads.layout, OF_HEADS)
        for number, heads in heads_in(graph).items()
    }
    for number, node in enumerate(graph.nodes):
        dimension = channel_dimension(graph, number)
        if dimension is None:
            continue
        assert node.shape is not None
        alone = readers[number][0] if len(readers[number]) == 1 and number != graph.output else None
        activated = alone is not None and graph.nodes[alone].name in ACTIVATION_NAMES
        path = (number, alone) if alone is not None and activated else (number,)
        found[path[-1]] = Place(path, node.shape[dimension], None if dimension == 1 else Layout(node.shape))
    return found


def _weight(graph: Graph, place: Place) -> Node:
    return graph.nodes[graph.nodes[place.path[0]].inputs[1]]


def _are_alike(graph: Graph, other: Graph) -> bool:
    kinds = [[(node.name, node.inputs, node.shape, node.parameter) for node in one.nodes] for one in (graph, other)]
    return kinds[0] == kinds[1]


def _do(nodes: list[Node], source: int, others: tuple[int, ...], layout: Layout | None) -> Node:
    """Make the node that passes on what ``source`` gives; interventions may take channels of the others instead."""
    inputs = (source, *others[-1:])
    arguments = {str(place): Value(number) for place, number in enumerate(inputs)}
    # Where channels do not lie as in feature maps, windows would cut them: there is no rule for such a node.
    name = "do" if layout is None else "do_whole"
    return Node(name, _pass_on, arguments, inputs, nodes[source].shape, dtype=nodes[source].dtype)


def _pass_on(**values: Any) -> Any:
    return values["0"]


def _compute_otherwise(
    nodes: list[Node], graph: Graph, other: Graph, place: Place, numbers: dict[int, int]
) -> tuple[int, ...]:
    """Append nodes that compute the path of a place with the other weights; attention weighs the values as it did."""
    added: list[int] = []
    own = dict(numbers)
    weighted = place.path[:1] if place.ending == OF_HEADS else place.path
    for number in place.path:
        node = graph.nodes[number]
        for source in node.inputs:
            if number in weighted and graph.nodes[source].constant is not None:
                own[source] = len(nodes)
                nodes.append(other.nodes[source])
        own[number] = len(nodes)
        added.append(len(nodes))
        nodes.append(renumbered(node, own))
    return tuple(added)


def _deleted(graph: Graph, place: Place) -> Tensor:
    """Give what stands at a site, 1 x C x 1 x 1, where weights and bias of its layer are zero."""
    last, weight = graph.nodes[place.path[-1]], _weight(graph, place).constant
    assert weight is not None and last.shape is not None
    channels = last.shape[1] if place.layout is None else place.layout.channels
    zeros = torch.zeros(1, channels, 1, 1, dtype=last.dtype, device=weight.device)
    if last.name not in ACTIVATION_NAMES - KEEPING_ZERO:
        return zeros
    inputs = [zeros if source == place.path[0] else graph.nodes[source].constant for source in last.inputs]
    with torch.no_grad():
        return last.compute(inputs)
