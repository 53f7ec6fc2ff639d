"""Find the convolutions of a graph, and make their output channels replaceable.

Behind every convolution, or behind the activation that alone reads it, stands a node of its own. It passes on what the
convolution gives, unless an intervention replaces some of the channels there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from CEM_Demo.errors import InputError
from CEM_Demo.inference.graph import Graph, Node, Value, renumbered
from CEM_Demo.inference.operators import ACTIVATIONS

CONVOLUTIONS = {"aten::conv2d", "aten::convolution", "aten::conv_transpose2d"}
ACTIVATION_NAMES = {f"aten::{name}" for name in ACTIVATIONS}


@dataclass(frozen=True, eq=False)
class Site:
    """One use of a convolution.

    Attributes:
        number: of the node at which interventions replace channels.
        convolution: number of the node that convolves.
        deleted: values that the channels have everywhere if the filters' weights and biases are zero, 1 x C x 1 x 1.
        others: numbers of the nodes that compute the same with other weights; none if there are no other weights.
    """

    number: int
    convolution: int
    deleted: Tensor
    others: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Layer:
    """A convolution, with all places where the network uses its weight.

    Attributes:
        name: of its weight's parameter, without ``.weight``.
        channels: number of its filters, which are its output channels.
        sites: its uses in the order of computation.
    """

    name: str
    channels: int
    sites: tuple[Site, ...]


@dataclass(frozen=True)
class SitedGraph:
    """A graph with a replaceable node behind every convolution; the layers are in the order of their first use."""

    graph: Graph
    layers: tuple[Layer, ...]


def with_sites(graph: Graph, other: Graph | None = None) -> SitedGraph:
    """Make the output channels of every convolution replaceable.

    Args:
        graph: of a network.
        other: of the same network with other weights; its filters can take the place of the network's.

    Raises:
        InputError: the two graphs are not alike.
    """
    if other is not None and not _are_alike(graph, other):
        raise InputError("the networks that exchange filters are not of the same architecture")
    convolution_at = _convolutions_by_site(graph)
    found: dict[tuple[Any, ...], list[Site]] = {}
    names: dict[tuple[Any, ...], str] = {}
    nodes: list[Node] = []
    numbers: dict[int, int] = {}
    for number, node in enumerate(graph.nodes):
        numbers[number] = len(nodes)
        nodes.append(renumbered(node, numbers))
        if number not in convolution_at:
            continue
        convolution = convolution_at[number]
        others = _compute_otherwise(nodes, graph, other, convolution, number, numbers) if other else ()
        site = Site(len(nodes), numbers[convolution], _deleted(graph, convolution, number), others)
        nodes.append(_do(nodes, numbers[number], others))
        numbers[number] = site.number
        weight = graph.nodes[graph.nodes[convolution].inputs[1]]
        assert weight.constant is not None
        # Two names of one tensor are one filter.
        key = (weight.constant.data_ptr(), tuple(weight.constant.shape))
        found.setdefault(key, []).append(site)
        names.setdefault(key, weight.parameter.removesuffix(".weight"))
    sited = Graph(tuple(nodes), numbers[graph.image], numbers[graph.output])
    return SitedGraph(
        sited, tuple(Layer(names[key], sites[0].deleted.shape[1], tuple(sites)) for key, sites in found.items())
    )


def _convolutions_by_site(graph: Graph) -> dict[int, int]:
    """Find the convolutions, by the number of the node that interventions stand behind."""
    readers: list[list[int]] = [[] for _ in graph.nodes]
    for number, node in enumerate(graph.nodes):
        for source in set(node.inputs):
            readers[source].append(number)
    found = {}
    for number, node in enumerate(graph.nodes):
        if _is_convolution(graph, node):
            alone = readers[number][0] if len(readers[number]) == 1 and number != graph.output else None
            activated = alone is not None and graph.nodes[alone].name in ACTIVATION_NAMES
            found[alone if alone is not None and activated else number] = number
    return found


def _is_convolution(graph: Graph, node: Node) -> bool:
    """Say whether a node convolves feature maps with weights that are parameters of the network."""
    if node.name not in CONVOLUTIONS or node.shape is None or len(node.shape) != 4 or node.constant is not None:
        return False
    return bool(graph.nodes[node.inputs[1]].parameter)


def _are_alike(graph: Graph, other: Graph) -> bool:
    kinds = [[(node.name, node.inputs, node.shape, node.parameter) for node in one.nodes] for one in (graph, other)]
    return kinds[0] == kinds[1]


def _do(nodes: list[Node], source: int, others: tuple[int, ...]) -> Node:
    """Make the node that passes on what ``source`` gives; interventions may take channels of the others instead."""
    inputs = (source, *others[-1:])
    arguments = {str(place): Value(number) for place, number in enumerate(inputs)}
    return Node("do", _pass_on, arguments, inputs, nodes[source].shape, dtype=nodes[source].dtype)


def _pass_on(**values: Any) -> Any:
    return values["0"]


def _compute_otherwise(
    nodes: list[Node], graph: Graph, other: Graph, convolution: int, site: int, numbers: dict[int, int]
) -> tuple[int, ...]:
    """Append nodes that compute the convolution, and the activation behind it, with the other weights."""
    added: list[int] = []
    own = dict(numbers)
    for number in dict.fromkeys((convolution, site)):
        node = graph.nodes[number]
        for source in node.inputs:
            if graph.nodes[source].constant is not None:
                own[source] = len(nodes)
                nodes.append(other.nodes[source])
        own[number] = len(nodes)
        added.append(len(nodes))
        nodes.append(renumbered(node, own))
    return tuple(added)


def _deleted(graph: Graph, convolution: int, site: int) -> Tensor:
    """Give what stands at a site, 1 x C x 1 x 1, where weights and bias of its convolution are zero."""
    node = graph.nodes[convolution]
    weight = graph.nodes[node.inputs[1]].constant
    assert weight is not None and node.shape is not None
    zeros = torch.zeros(1, node.shape[1], 1, 1, dtype=node.dtype, device=weight.device)
    if site == convolution:
        return zeros
    activation = graph.nodes[site]
    inputs = [zeros if source == convolution else graph.nodes[source].constant for source in activation.inputs]
    with torch.no_grad():
        return activation.compute(inputs)
