"""Find the values that a network gathers over the whole image: pooled statistics, and attention across positions.

The same network is traced for a taller and for a wider image. A value whose shape does not grow has gathered over all
rows or columns: a pooled mean, a deviation, a C x C attention matrix. A value that grows in two dimensions at once
pairs positions with positions: an attention matrix across the image. All else has its positions in one dimension each
way, as feature maps, tokens and windows have; an attention matrix inside windows is such a value, one for each window.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from CEM_Demo.errors import InputError
from CEM_Demo.inference.feature_maps import on_feature_maps
from CEM_Demo.inference.graph import Graph, Node, export_graph
from CEM_Demo.inference.operators import rules_of

# How much taller or wider (pixels): a multiple of 64 and 48, to multiples of whose parts networks pad their input.
FURTHER = 192
ATTENTION = "aten::scaled_dot_product_attention"
# Normalizations that compute the statistics of the image themselves, so that no node holds these.
NORMALIZATIONS = ("aten::instance_norm", "aten::group_norm")


def gathering_nodes(net: nn.Module, graph: Graph, device: torch.device) -> frozenset[int]:
    """Give the numbers of the nodes that gather over the whole image, or are computed from such nodes alone.

    Fused attention and normalization are among them if what they gather inside is of that kind, though their values
    are feature maps. What gathers into as many values as the image has, such as a Fourier transform, is not.

    Args:
        net: the network that ``graph`` was exported from, on ``device`` and in evaluation mode.

    Raises:
        InputError: torch.export cannot flatten the network for larger images, or flattens it in another way.
    """
    rules = rules_of(graph)
    computed = [number for number, node in enumerate(graph.nodes) if node.constant is None and number != graph.image]
    if all(rules[number] is not None for number in computed):
        return frozenset()  # every operator is local
    height, width = graph.nodes[graph.image].size
    sizes = (height + FURTHER, width), (height, width + FURTHER)
    larger = [_traced_alike(net, graph, *size, device) for size in sizes]
    found: set[int] = set()
    for number in computed:
        node, others = graph.nodes[number], [other.nodes[number] for other in larger]
        if node.name == ATTENTION:
            gathers = _attends_across([_nodes_at(graph, number), *(_nodes_at(other, number) for other in larger)])
        elif node.name in NORMALIZATIONS:
            gathers = bool(node.arguments.get("use_input_stats", True))
        else:
            # A slice of fixed size, which has a rule, gathers nothing.
            gathers = (rules[number] is None or not found.isdisjoint(node.inputs)) and not _has_positions(node, others)
        if gathers:
            found.add(number)
    return frozenset(found)


def _traced_alike(net: nn.Module, graph: Graph, height: int, width: int, device: torch.device) -> Graph:
    """Export the network for another size of images; raise InputError if other operators are found."""
    other = on_feature_maps(export_graph(net, height, width, device))
    if [node.name for node in other.nodes] != [node.name for node in graph.nodes]:
        raise InputError(
            f"paths: what {type(net).__name__} gathers over the image cannot be told, for its operators depend on the "
            "size of the image"
        )
    return other


def _has_positions(node: Node, others: Sequence[Node]) -> bool:
    """Say whether exactly one dimension grows with the image, each way; lists of tensors are left as they are."""
    return node.shape is None or all(_growing(node, other) == 1 for other in others)


def _growing(node: Node, other: Node) -> int:
    """Count the dimensions that are larger in the trace of a larger image."""
    return sum(first != second for first, second in zip(node.shape or (), other.shape or (), strict=True))


def _nodes_at(graph: Graph, number: int) -> tuple[Node, Node]:
    """Give the queries and the keys of fused attention."""
    arguments = graph.nodes[number].arguments
    return graph.nodes[arguments["query"].number], graph.nodes[arguments["key"].number]


def _attends_across(traces: Sequence[tuple[Node, Node]]) -> bool:
    """Say whether the matrix inside fused attention, queries x keys, gathers; the first trace is of the image."""
    matrices = [Node(ATTENTION, torch.clone, shape=_matrix_shape(*trace)) for trace in traces]
    return not _has_positions(matrices[0], matrices[1:])


def _matrix_shape(query: Node, key: Node) -> tuple[int, ...]:
    assert query.shape is not None and key.shape is not None
    return (*query.shape[:-1], key.shape[-2])
