"""The rules of the ATen operators; operators that are not listed are computed on whole maps."""

from __future__ import annotations

from collections.abc import Callable

from CEM_Demo.inference import rearranging, rules, sliding
from CEM_Demo.inference.graph import Graph, Node
from CEM_Demo.inference.rules import Rule, dimensions

ACTIVATIONS = (
    *("relu", "relu6", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"),
    *("sigmoid", "log_sigmoid", "hardsigmoid", "tanh", "hardtanh", "hardswish"),
)
POINTWISE = (
    *(*ACTIVATIONS, "erf"),
    *("clamp", "clamp_min", "clamp_max", "abs", "neg", "sign", "exp", "log", "sin", "cos"),
    *("sqrt", "rsqrt", "square", "pow", "reciprocal"),
    *("add", "sub", "rsub", "mul", "div", "addcmul", "addcdiv", "lerp", "maximum", "minimum"),
    *("gt", "ge", "lt", "le", "eq", "ne", "logical_not", "where", "masked_fill"),
    *("cat", "channel_shuffle", "batch_norm", "dropout", "feature_dropout"),
    *("clone", "copy", "contiguous", "alias", "detach", "to", "_to_copy", "type_as", "expand", "expand_as"),
)
ALONG_DIMENSIONS = ("mean", "sum", "var", "std", "amax", "amin", "softmax", "log_softmax", "linalg_vector_norm")
RESIZING = (
    *("upsample_nearest2d", "_upsample_nearest_exact2d", "upsample_bilinear2d", "upsample_bicubic2d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa"),
)

# Operators on values that lie otherwise than in feature maps, see :mod:`.feature_maps`.
ON_FEATURE_MAPS = "on_feature_maps"
LINEAR_ON_FEATURE_MAPS = "linear_on_feature_maps"

RULES: dict[str, Callable[[Node, list[Node]], Rule | None]] = {
    **dict.fromkeys(POINTWISE, rules.pointwise),
    **dict.fromkeys((*ALONG_DIMENSIONS, "glu", "narrow"), rules.along_channels),
    "do": rules.replaceable,
    **dict.fromkeys((ON_FEATURE_MAPS, LINEAR_ON_FEATURE_MAPS), rules.pixelwise),
    "repeat": rules.repeated_channels,
    **dict.fromkeys(("conv2d", "convolution"), sliding.convolution),
    "conv_transpose2d": sliding.transposed_convolution,
    "max_pool2d": sliding.largest,
    "avg_pool2d": sliding.average,
    "pixel_shuffle": rearranging.shuffled,
    "pixel_unshuffle": rearranging.unshuffled,
    "slice": rearranging.sliced,
    "slice_scatter": rearranging.written,
    "flip": rearranging.flipped,
    "roll": rearranging.rolled,
    **dict.fromkeys(("pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d"), rearranging.padded),
    **dict.fromkeys(RESIZING, rearranging.resized),
}

# Operators that are computed on whole maps, but treat each image of a batch on its own and take no batch size.
BATCHABLE = (
    *("adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "instance_norm", "group_norm"),
    *("slice", "slice_scatter", "flip", "roll"),
)


def _name(node: Node) -> str:
    return node.name.removeprefix("aten::")


def rules_of(graph: Graph) -> tuple[Rule | None, ...]:
    """Give a rule for each node of a graph; None if it is computed on whole maps or not computed at all."""
    return tuple(_rule_of(node, [graph.nodes[number] for number in node.inputs]) for node in graph.nodes)


def computed_whole(graph: Graph) -> list[int]:
    """Give the numbers of the nodes that are computed on whole maps, for want of a rule."""
    rules = enumerate(zip(rules_of(graph), graph.nodes, strict=True))
    return [
        number for number, (rule, node) in rules if not (rule or node.constant is not None or number == graph.image)
    ]


def _rule_of(node: Node, inputs: list[Node]) -> Rule | None:
    build = RULES.get(_name(node))
    if build is None or not node.is_map or not all(source.is_map for source in inputs if source.constant is None):
        return None
    return build(node, inputs)


def is_batchable(node: Node, inputs: list[Node]) -> bool:
    """Say whether an operator without a rule treats the images of a batch one by one."""
    if node.constant is not None or node.name == "image":
        return True
    if not all(source.is_map for source in (node, *inputs) if source.constant is None):
        return False
    if _name(node) in ALONG_DIMENSIONS:
        return 0 not in dimensions(node)
    return _name(node) in BATCHABLE
