"""Export a network as a flat list of ATen operators, for one input size."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import OutputKind
from torch.utils import _pytree as pytree

from CEM_Demo.errors import InputError, brief
from CEM_Demo.inference.traces import without_traces

Shape = tuple[int, ...]

# Operators whose result depends on no value of their input, only on its shape and type.
SHAPE_ONLY = {
    f"aten::{name}"
    for name in (
        "zeros_like",
        "ones_like",
        "full_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "empty_like",
        "new_empty",
    )
}

# Operators that cut a tensor into a list of parts along one dimension.
SPLITS = {"aten.split.Tensor", "aten.split_with_sizes.default", "aten.chunk.default"}

# Operators that reinterpret memory, which needs tensors of one certain layout.
VIEWS = {"aten::view", "aten::_unsafe_view"}


@dataclass(frozen=True)
class Value:
    """A reference, among an operator's arguments, to what the node ``number`` computes."""

    number: int


@dataclass(frozen=True)
class Node:
    """One operator of a network, or the image, or a tensor that does not depend on the image.

    Attributes:
        name: name of the operator, such as ``aten::conv2d``; ``image`` or ``constant`` if nothing is computed.
        target: computes the node from its arguments.
        arguments: its arguments by the names of the operator's schema, defaults included; tensors are :class:`Value`.
        inputs: numbers of the nodes among the arguments, in their order.
        shape: shape for one image (leading dimension 1); None if the operator returns something other than a tensor.
        constant: the tensor, if it does not depend on the image.
        dtype: type of the tensor.
        parameter: name of the network's parameter or buffer that a constant is, or is computed from; else empty.
    """

    name: str
    target: Callable[..., Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[int, ...] = ()
    shape: Shape | None = None
    constant: Tensor | None = None
    dtype: torch.dtype = torch.float32
    parameter: str = ""

    @property
    def is_map(self) -> bool:
        """Whether it is a feature map of the image: 1 x C x H x W."""
        return self.shape is not None and len(self.shape) == 4 and self.shape[0] == 1 and 0 not in self.shape

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a feature map; everything else counts as one pixel, changed or not."""
        return (self.shape[2], self.shape[3]) if self.is_map and self.shape else (1, 1)

    def compute(self, inputs: list[Any]) -> Any:
        """Run the operator on values for :attr:`inputs`."""
        return self.target(**fill(self.arguments, inputs))


@dataclass(frozen=True)
class Graph:
    """The nodes in the order of computation; ``image`` and ``output`` are numbers of nodes."""

    nodes: tuple[Node, ...]
    image: int
    output: int


def fill(arguments: dict[str, Any], inputs: list[Any]) -> dict[str, Any]:
    """Give the arguments with their :class:`Value` references replaced, in order, by ``inputs``."""
    remaining = iter(inputs)
    return {name: _filled(argument, remaining) for name, argument in arguments.items()}


def _filled(argument: Any, remaining: Iterator[Any]) -> Any:
    # A nested function that calls itself would keep the inputs alive until the next garbage collection.
    if isinstance(argument, Value):
        return next(remaining)
    if isinstance(argument, (list, tuple)):
        return [_filled(item, remaining) for item in argument]
    return argument


def export_graph(net: nn.Module, height: int, width: int, device: torch.device) -> Graph:
    """Export ``net``, on ``device`` and in evaluation mode, for images of ``height`` x ``width``.

    Raises:
        InputError: torch.export cannot flatten the network, or it returns several tensors or draws random numbers.
    """
    image = torch.zeros(1, 3, height, width, device=device)
    try:
        with torch.no_grad(), without_traces(net):
            program = torch.export.export(net, (image,))
            if not all(_is_pure(traced) for traced in program.graph.nodes):
                # The empty table decomposes nothing; it makes in-place operators pure.
                program = program.run_decompositions({})
    except Exception as error:  # export may raise anything that the traced code raises
        raise InputError(f"torch.export cannot flatten {type(net).__name__}: {brief(error)}") from error
    name = type(net).__name__
    for traced in program.graph.nodes:
        _check_operator(traced, name)
    with torch.no_grad():
        return without_unused(_flatten(program, name))


def _check_operator(traced: fx.Node, name: str) -> None:
    """Raise InputError if a list of operators cannot stand for the network."""
    target = traced.target
    if isinstance(target, torch._ops.OpOverload):
        if _draws(target, _named_arguments(traced)):
            raise InputError(f"{name} draws random numbers ({target}); its operators cannot be run one by one")
        if target is torch.ops.aten.as_strided.default:
            raise InputError(f"{name} depends on how tensors lie in memory ({target}), and windows lie differently")
    elif traced.op == "get_attr" or isinstance(target, torch._ops.HigherOrderOperator):
        raise InputError(f"torch.export cannot flatten {name}: {target} has operators of its own")
    value = traced.meta.get("val")
    if isinstance(value, Tensor) and not all(isinstance(side, int) for side in value.shape):
        raise InputError(f"torch.export cannot flatten {name}: the size of the result of {target} depends on the image")


def _is_pure(traced: fx.Node) -> bool:
    """Say whether a traced call changes nothing in place."""
    return not (isinstance(traced.target, torch._ops.OpOverload) and traced.target._schema.is_mutable)


def _flatten(program: torch.export.ExportedProgram, name: str) -> Graph:
    signature = program.graph_signature
    tensors = {**program.constants, **program.state_dict}
    given = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    outputs = [spec.arg.name for spec in signature.output_specs if spec.kind == OutputKind.USER_OUTPUT]
    if len(outputs) != 1 or len(signature.user_inputs) != 1:
        raise InputError(f"{name} does not map one image to one image")
    nodes: list[Node] = []
    numbers: dict[str, int] = {}
    normalised: set[str] = set()
    for traced in program.graph.nodes:
        if traced.op == "output":
            continue
        if traced.op == "placeholder" and traced.name in given:
            node = constant_node(tensors[given[traced.name]].detach(), given[traced.name])
        elif traced.op == "placeholder":
            node = Node("image", torch.clone, shape=_shape(traced), dtype=_dtype(traced))
        else:
            if traced.target is operator.getitem and traced.args[0].name in normalised:
                numbers[traced.name] = numbers[traced.args[0].name]
                continue
            node = _operator(traced, numbers)
            if node.name == "aten::_native_batch_norm_legit_no_training":
                normalised.add(traced.name)
                node = _batch_norm(node, traced)
            node = _folded(node, nodes, traced)
        numbers[traced.name] = len(nodes)
        nodes.append(node)
    return Graph(tuple(nodes), numbers[signature.user_inputs[0]], numbers[outputs[0]])  # type: ignore[index]


def _named_arguments(traced: fx.Node) -> dict[str, Any]:
    """Give the arguments of an operator by the names of its schema, defaults included."""
    schema = traced.target._schema  # type: ignore[union-attr]
    arguments = {argument.name: argument.default_value for argument in schema.arguments}
    return arguments | dict(zip(arguments, traced.args, strict=False)) | dict(traced.kwargs)


def _draws(target: torch._ops.OpOverload, arguments: dict[str, Any]) -> bool:
    """Say whether an operator draws random numbers; dropout, in attention too, does so only in training."""
    may_draw = torch.Tag.nondeterministic_seeded in target.tags or "dropout" in f"{target} {list(arguments)}"
    training = arguments.get("train", arguments.get("training", True))
    return may_draw and bool(training) and arguments.get("p", arguments.get("dropout_p", 1)) != 0


def constant_node(tensor: Tensor, parameter: str = "") -> Node:
    """Make the node of a tensor that does not depend on the image; ``parameter`` is its name, if it has one."""
    shape = tuple(tensor.shape)
    return Node("constant", torch.clone, shape=shape, constant=tensor, dtype=tensor.dtype, parameter=parameter)


def _shape(traced: fx.Node) -> Shape | None:
    value = traced.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _dtype(traced: fx.Node) -> torch.dtype:
    value = traced.meta.get("val")
    return value.dtype if isinstance(value, Tensor) else torch.float32


def _operator(traced: fx.Node, numbers: dict[str, int]) -> Node:
    """Make the node of a traced call, with its arguments named by the operator's schema."""
    target = traced.target
    if target is operator.getitem and str(traced.args[0].target) in SPLITS:  # type: ignore[union-attr]
        arguments = _slice_of_split(traced)
        name, target = "aten::slice", torch.ops.aten.slice.Tensor
    elif target is operator.getitem:
        source, index = traced.args
        arguments = {"source": source, "index": index}
        name, target = "getitem", _item
    elif callable(target) and not isinstance(target, torch._ops.OpOverload):
        # This is arithmetic on numbers by Python's own functions, which take no names.
        arguments = {str(place): argument for place, argument in enumerate(traced.args)}
        name, target = f"python::{getattr(target, '__name__', target)}", partial(_call, target)
    else:
        name, arguments = target._schema.name, _named_arguments(traced)  # type: ignore[union-attr]
        if name in VIEWS:
            # A view needs one certain layout in memory, which windows do not have.
            arguments = {"self": arguments["self"], "shape": arguments["size"]}
            name, target = "aten::reshape", torch.ops.aten.reshape.default
    inputs: list[int] = []

    def referenced(argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            inputs.append(numbers[argument.name])
            return Value(numbers[argument.name])
        return argument

    arguments = pytree.tree_map(referenced, arguments, is_leaf=lambda leaf: isinstance(leaf, fx.Node))
    return Node(name, target, arguments, tuple(inputs), _shape(traced), dtype=_dtype(traced))  # type: ignore[arg-type]


def _call(function: Callable[..., Any], **arguments: Any) -> Any:
    """Call a function that takes no names, with its arguments in their order."""
    return function(*arguments.values())


def _slice_of_split(traced: fx.Node) -> dict[str, Any]:
    """Give the arguments of the slice that is one part of a split tensor."""
    split: Any = traced.args[0]
    index: Any = traced.args[1]
    dimension = split.kwargs.get("dim", split.args[2] if len(split.args) > 2 else 0)
    lengths = [part.shape[dimension] for part in split.meta["val"]]
    start = sum(lengths[:index])
    return {"self": split.args[0], "dim": dimension, "start": start, "end": start + lengths[index], "step": 1}


def _item(source: Any, index: int) -> Any:
    return source[index]


def _batch_norm(node: Node, traced: fx.Node) -> Node:
    """Keep only the normalized maps: in evaluation mode the other two results are empty."""

    def normalise(**arguments: Any) -> Tensor:
        return torch.ops.aten._native_batch_norm_legit_no_training.default(**arguments)[0]

    first = traced.meta["val"][0]
    return Node("aten::batch_norm", normalise, node.arguments, node.inputs, tuple(first.shape), dtype=first.dtype)


def _folded(node: Node, nodes: list[Node], traced: fx.Node) -> Node:
    """Compute the node at once if it does not depend on the image."""
    known = [nodes[number].constant for number in node.inputs]
    if node.name in SHAPE_ONLY:
        like = traced.meta["val"]
        blank = torch.zeros((), dtype=like.dtype, device=like.device)
        known = [blank.expand(nodes[number].shape or ()) for number in node.inputs]
    if node.shape is None or any(tensor is None for tensor in known):
        return node
    parameters = (nodes[number].parameter for number in node.inputs)
    return constant_node(node.compute(known), next(filter(None, parameters), ""))


def without_unused(graph: Graph) -> Graph:
    """Keep only the nodes that the output depends on, and the image; they are numbered anew."""
    used = {graph.output, graph.image}
    for number in range(len(graph.nodes) - 1, -1, -1):
        if number in used:
            used.update(graph.nodes[number].inputs)
    numbers = {old: new for new, old in enumerate(sorted(used))}
    nodes = tuple(renumbered(graph.nodes[number], numbers) for number in sorted(used))
    return Graph(nodes, numbers[graph.image], numbers[graph.output])


def renumbered(node: Node, numbers: Mapping[int, int]) -> Node:
    """Give a node that takes its inputs from other numbers; ``numbers`` has the new one of each."""
    arguments = pytree.tree_map(
        lambda leaf: Value(numbers[leaf.number]) if isinstance(leaf, Value) else leaf,
        node.arguments,
        is_leaf=lambda leaf: isinstance(leaf, Value),
    )
    return replace(node, arguments=arguments, inputs=tuple(numbers[number] for number in node.inputs))
