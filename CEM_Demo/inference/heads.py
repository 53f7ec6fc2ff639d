"""Find the heads of attention in a graph, by following channels from the layer that gives the values.

Whether a dimension of an attention product counts heads, windows or images cannot be read from its shape. So the
channels of the layer are numbered, and the numbers are sent through all that only moves values about. Entries of the
product whose values come from the same channels are the same head in several windows; entries whose values come from
channels of their own are different heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from CEM_Demo.inference.gathering import ATTENTION
from CEM_Demo.inference.graph import Graph
from CEM_Demo.inference.layout import Layout
from CEM_Demo.inference.weighted import channel_dimension

PRODUCTS = {"aten::matmul", "aten::bmm"}
SOFTMAX = "aten::softmax"
# Operators that only move values about, or put zeros around them.
MOVING = {
    f"aten::{name}"
    for name in (
        *("reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous", "clone", "alias"),
        *("permute", "transpose", "mT", "t", "slice", "narrow", "select", "unbind", "roll", "flip", "unfold", "im2col"),
        *("pad", "constant_pad_nd", "expand"),
    )
} | {"getitem"}
# What may lie between the softmax and the product.
BEHIND_SOFTMAX = MOVING | {"aten::dropout", "aten::to", "aten::_to_copy"}


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads of one attention product.

    Attributes:
        path: numbers of the nodes from the layer that gives the values to the product.
        layout: of what the product gives; its groups are the heads, in the order of their channels in the layer.
    """

    path: tuple[int, ...]
    layout: Layout


def heads_in(graph: Graph) -> dict[int, Heads]:
    """Find the attention products of several heads, by their nodes' numbers.

    A product counts if it is fused attention, or has a softmax on one side, and if its values come from a convolution
    or a linear layer through operators that only move them about.
    """
    found = {}
    for number in range(len(graph.nodes)):
        values = _values_of(graph, number)
        path = None if values is None else _path_from_layer(graph, values)
        heads = path and _heads(graph, (*path, number))
        if heads:
            found[number] = heads
    return found


def _values_of(graph: Graph, number: int) -> int | None:
    """Give the number of the values that an attention product weighs; None for any other node."""
    node = graph.nodes[number]
    if node.constant is not None:
        return None
    if node.name == ATTENTION:
        return int(node.arguments["value"].number)
    if node.name not in PRODUCTS:
        return None
    weights = [_is_softmax(graph, source) for source in node.inputs]
    return node.inputs[weights.index(False)] if sorted(weights) == [False, True] else None


def _is_softmax(graph: Graph, number: int) -> bool:
    while graph.nodes[number].name in BEHIND_SOFTMAX:
        number = graph.nodes[number].inputs[0]
    return graph.nodes[number].name == SOFTMAX


def _path_from_layer(graph: Graph, number: int) -> tuple[int, ...] | None:
    """Give the nodes from a layer to ``number``, which only move what it gives; None if there is more to it."""
    path = [number]
    while channel_dimension(graph, path[0]) is None:
        node = graph.nodes[path[0]]
        if node.name not in MOVING or len(node.inputs) != 1:
            return None
        path.insert(0, node.inputs[0])
    return tuple(path)


def _heads(graph: Graph, path: tuple[int, ...]) -> Heads | None:
    shape, values = graph.nodes[path[-1]].shape, graph.nodes[path[-2]].shape
    if shape is None or values is None or len(shape) < 3 or shape[:-2] != values[:-2]:
        return None
    matrices = _numbered_channels(graph, path).flatten(0, -3)  # entries x rows x columns
    for along, positions in ((-1, -2), (-2, -1)):
        channels = matrices.amax(dim=positions)
        if not ((matrices == channels.unsqueeze(positions)) | (matrices == 0)).all():
            continue
        of_heads, head_of = channels.unique(dim=0, return_inverse=True)
        sizes = head_of.bincount()
        is_apart = len(of_heads.unique()) == of_heads.numel() and bool(of_heads.min() > 0)
        if len(of_heads) > 1 and is_apart and bool((sizes == sizes[0]).all()):
            return Heads(path, Layout(shape, along, len(of_heads), head_of.argsort(stable=True)))
    return None


def _numbered_channels(graph: Graph, path: tuple[int, ...]) -> Tensor:
    """Give the values of a product with the number of the layer's channel in place of each, from one; padding is 0."""
    layer = graph.nodes[path[0]]
    dimension, weight = channel_dimension(graph, path[0]), graph.nodes[layer.inputs[1]].constant
    assert dimension is not None and layer.shape is not None and weight is not None
    shape = [1] * len(layer.shape)
    shape[dimension] = -1
    numbers = torch.arange(1, layer.shape[dimension] + 1, dtype=torch.float32, device=weight.device)
    found = numbers.reshape(shape).expand(layer.shape)
    with torch.no_grad():
        for number in path[1:-1]:
            found = graph.nodes[number].compute([found])
    return found
