"""Freeze what a network gathers over the whole image at its value for the untouched input; all else stays live.

This is the controlled direct effect of mediation analysis, with the network as the known causal graph: pooled means
and deviations, the gates that channel attention makes of them, and attention matrices across the image are constants,
and the values that they weigh still change. What is left of most networks is local, so that interventions on it are
restored in small windows, and blocks out of its reach have no effect at all.

With an attention matrix across positions (positions x positions), every output still reads the values of all
positions. Such a network stays global when its matrices are frozen; it is computed on whole maps, and only what the
matrices themselves carry counts as frozen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.baseline import run_whole
from CEM_Demo.inference.choice import RoiGroup
from CEM_Demo.inference.gathering import ATTENTION, NORMALIZATIONS, gathering_nodes
from CEM_Demo.inference.graph import Graph, Node, Value, constant_node, without_unused
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.inference.interface import Inference
from CEM_Demo.inference.windows import Window

# Operators that keep the order of the values, and change only how they are arranged into dimensions.
ARRANGING = {"aten::flatten", "aten::unflatten", "aten::reshape", "aten::contiguous", "aten::clone", "aten::alias"}


def frozen_inference(
    net: nn.Module, degraded: UInt8Image, group: RoiGroup, block: int, device: torch.device
) -> Inference:
    """Build the inference that restores the same ROIs with all that the network gathers over the image frozen.

    Args:
        net: maps N x 3 x H x W to N x 3 x sH x sW, float32 in 0..1.
        degraded: H x W x 3 uint8 RGB.
        group: the ROIs, and the inference of the network as it is.
        block: side of a block in pixels of the input.

    Returns:
        The inference of ``group`` itself if the network gathers nothing over the whole image.

    Raises:
        InputError: torch.export cannot flatten the network, or it does so in another way for larger images.
    """
    engine = group.inference
    if not isinstance(engine, IncrementalInference):
        engine = IncrementalInference(net, degraded, group.hull, block, device)
    graph = engine.roi_graph.graph
    gathering = gathering_nodes(net, graph, device)
    if not gathering:
        return group.inference
    with torch.inference_mode():
        return engine.with_graph(freeze(graph, gathering, partial(_values_of, engine)))


def _values_of(engine: IncrementalInference, wanted: set[int]) -> dict[int, Tensor]:
    """Run the untouched image through the network, and give the values of the nodes that are ``wanted``."""
    nodes = engine.roi_graph.graph.nodes
    boxes = tuple(Window(0, node.size[0], 0, node.size[1]) for node in nodes)
    kept = tuple(box if number in wanted else None for number, box in enumerate(boxes))
    _, values = run_whole(replace(engine.roi_graph, kept=kept), engine.image)
    return {number: values[number] for number in wanted}


def freeze(graph: Graph, gathering: frozenset[int], values_of: Callable[[set[int]], Mapping[int, Tensor]]) -> Graph:
    """Give the graph in which the nodes ``gathering`` have their values for the untouched image.

    Args:
        gathering: see :func:`~CEM_Demo.inference.gathering.gathering_nodes`.
        values_of: computes the values of nodes for the untouched image, given their numbers.
    """
    fused = {number for number in gathering if graph.nodes[number].name in (ATTENTION, *NORMALIZATIONS)}
    live = [node for number, node in enumerate(graph.nodes) if number not in gathering]
    # Of what gathers, only that is needed which something live reads.
    read = {source for node in live for source in node.inputs} | {graph.output}
    wanted = (read & gathering - fused) | {source for number in fused for source in graph.nodes[number].inputs}
    values = values_of(wanted)
    nodes = list(graph.nodes)
    for number in gathering:
        if number in fused:
            nodes[number] = _frozen_inside(nodes[number], values)
        elif number in values:
            nodes[number] = constant_node(values[number])
    _mix_channels(nodes)
    return without_unused(replace(graph, nodes=tuple(nodes)))


def _frozen_inside(node: Node, values: Mapping[int, Tensor]) -> Node:
    """Make the node of fused attention or normalization whose matrix or statistics are constants."""
    given = [values[number] for number in node.inputs]
    if node.name == ATTENTION:
        source = node.arguments["value"].number
        return _of_one_input(node, "aten::matmul", partial(torch.matmul, _attention_matrix(node, given)), source)
    source = node.inputs[0]
    shift, scale = _normalization(node, given)
    return _of_one_input(node, "aten::mul", partial(_scaled, shift, scale), source)


def _of_one_input(node: Node, name: str, function: Callable[[Tensor], Tensor], source: int) -> Node:
    return replace(
        node,
        name=name,
        target=lambda self: function(self),
        arguments={"self": Value(source)},
        inputs=(source,),
    )


def _attention_matrix(node: Node, given: list[Tensor]) -> Tensor:
    """Compute the matrix inside fused attention, queries x keys, by attending to the unit vectors."""
    keys = given[1]
    units = torch.eye(keys.shape[-2], dtype=keys.dtype, device=keys.device).expand(*keys.shape[:-1], -1)
    return node.compute([*given[:2], units, *given[3:]])


def _normalization(node: Node, given: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Give the shift and the scale, 1 x C x 1 x 1, that a normalization applies to the untouched image's values."""
    features = given[0]
    groups = node.arguments.get("num_groups", features.shape[1])
    parts = features.reshape(1, groups, -1)
    means = parts.mean(dim=2).repeat_interleave(features.shape[1] // groups, dim=1)
    variances = parts.var(dim=2, correction=0).repeat_interleave(features.shape[1] // groups, dim=1)
    scale = (variances + node.arguments["eps"]).rsqrt()
    named = dict(zip([name for name, value in node.arguments.items() if isinstance(value, Value)], given, strict=True))
    scale = scale * named.get("weight", 1.0)
    shift = named.get("bias", 0.0) - means * scale
    return shift[..., None, None], scale[..., None, None]


def _scaled(shift: Tensor, scale: Tensor, values: Tensor) -> Tensor:
    return torch.addcmul(shift, values, scale)


def _mix_channels(nodes: list[Node]) -> None:
    """Turn products of a frozen channels x channels matrix with all pixels into convolutions of one pixel.

    Between a feature map and the product, and between that and the next feature map, values may only be rearranged.
    The product's node becomes the weights, and the node of the next feature map becomes the convolution.
    """
    readers: dict[int, list[int]] = {}
    for number, node in enumerate(nodes):
        for source in node.inputs:
            readers.setdefault(source, []).append(number)
    for number, node in enumerate(nodes):
        if node.name != "aten::matmul" or len(node.inputs) != 2 or nodes[node.inputs[0]].constant is None:
            continue
        matrix, source, target = nodes[node.inputs[0]].constant, node.inputs[1], number
        while nodes[source].name in ARRANGING:
            source = nodes[source].inputs[0]
        while len(readers.get(target, ())) == 1 and nodes[readers[target][0]].name in ARRANGING:
            target = readers[target][0]
        assert matrix is not None
        if _is_mixing(matrix, nodes[source], node, nodes[target]):
            groups = math.prod(matrix.shape[:-2])
            nodes[number] = constant_node(matrix.reshape(-1, matrix.shape[-1], 1, 1))
            nodes[target] = _pixelwise_convolution(nodes[target], source, number, groups)


def _is_mixing(matrix: Tensor, source: Node, product: Node, target: Node) -> bool:
    """Say whether the product mixes the channels of one feature map into another, pixel by pixel."""
    if not (source.is_map and target.is_map) or source.size != target.size or source.shape is None:
        return False
    channels = source.shape[1], (target.shape or ())[1]
    rows, columns = (math.prod(matrix.shape[:-1]), math.prod(matrix.shape[:-2]) * matrix.shape[-1])
    pixels = (product.shape or ())[-1]
    return channels == (columns, rows) and pixels == math.prod(source.size)


def _pixelwise_convolution(target: Node, source: int, weight: int, groups: int) -> Node:
    arguments = {
        "input": Value(source),
        "weight": Value(weight),
        "bias": None,
        "stride": [1, 1],
        "padding": [0, 0],
        "dilation": [1, 1],
        "groups": groups,
    }
    operator = torch.ops.aten.conv2d.default
    return replace(target, name="aten::conv2d", target=operator, arguments=arguments, inputs=(source, weight))
