"""Which nodes of a graph apply the weights of a layer: convolutions and linear layers."""

from __future__ import annotations

from CEM_Demo.inference.graph import Graph
from CEM_Demo.inference.operators import LINEAR_ON_FEATURE_MAPS

CONVOLUTIONS = {"aten::conv2d", "aten::convolution", "aten::conv_transpose2d", "torchvision::deform_conv2d"}
LINEAR = "aten::linear"
# All that applies the weights of a layer to the pixels of feature maps.
TO_PIXELS = {*CONVOLUTIONS, LINEAR_ON_FEATURE_MAPS}


def channel_dimension(graph: Graph, number: int) -> int | None:
    """Give the dimension of a node's value along which the output channels of its layer lie.

    Returns:
        1 for a layer on feature maps, -1 for a linear layer on other values, None for a node that is neither, or whose
        weights are no parameters of the network.
    """
    node = graph.nodes[number]
    if node.constant is not None or node.shape is None or node.name not in {*TO_PIXELS, LINEAR}:
        return None
    if not graph.nodes[node.inputs[1]].parameter:
        return None
    if node.name == LINEAR:
        return -1 if len(node.shape) > 1 else None
    return 1 if len(node.shape) == 4 else None
