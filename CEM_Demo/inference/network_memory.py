"""Estimate how much memory a network takes, and continue in smaller parts if there is too little."""

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from CEM_Demo.errors import InputError
from CEM_Demo.inference.traces import without_traces

CONVOLUTIONS = {torch.ops.aten.convolution, torch.ops.aten._convolution, torch.ops.aten.conv2d}
Result = TypeVar("Result")

# The side (pixels) of the image on which a network is measured; it holds whole windows of all usual sizes.
MEASURED_SIDE = 128
# Convolutions on CPUs copy their maps into blocks of this many channels.
CHANNELS_PER_BLOCK = 16


def forward_bytes(net: nn.Module, height: int, width: int) -> int:
    """Estimate the memory that one image of ``height`` x ``width`` takes in ``net``, apart from its weights.

    Nothing is computed: the network runs on shapes alone, and the tensors that are alive at a time are added up. A
    network whose forward asks for values, as ``.item()`` does, is measured on a small image instead.
    """
    try:
        # The network's weights and other tensors count as shapes too, wherever they are.
        with without_traces(net), FakeTensorMode(allow_non_fake_inputs=True):
            return _most_alive(net, height, width)
    except Exception:  # a network may raise anything
        rows, columns = min(height, MEASURED_SIDE), min(width, MEASURED_SIDE)
        return math.ceil(_most_alive(net, rows, columns) * (height * width) / (rows * columns))


def _most_alive(net: nn.Module, height: int, width: int) -> int:
    device = next((weight.device for weight in net.parameters()), torch.device("cpu"))
    with torch.no_grad(), _Alive() as alive:
        net(torch.zeros(1, 3, height, width, device=device))
    return alive.most


class _Alive(TorchDispatchMode):
    """Adds up the tensors that are alive at a time, and what convolutions need meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self.now
        result = function(*args, **(kwargs or {}))
        for value in pytree.tree_leaves(result):
            if isinstance(value, Tensor):
                self._note(value.untyped_storage())
        if function.overloadpacket in CONVOLUTIONS:
            self.most = max(self.most, before + _copies(args[0], args[1], result))
        self.most = max(self.most, self.now)
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.now += size
        weakref.finalize(storage, self._drop, size)

    def _drop(self, size: int) -> None:
        self.now -= size


def _copies(source: Tensor, weight: Tensor, result: Tensor) -> int:
    """Count what a convolution takes: its output, and copies of input or output in another layout."""
    if math.prod(weight.shape[2:]) == 1:
        return _bytes(result)
    blocked = _bytes(result, CHANNELS_PER_BLOCK)
    return blocked + max(_bytes(result), _bytes(source, CHANNELS_PER_BLOCK))


def _bytes(tensor: Tensor, multiple: int = 1) -> int:
    """Count the bytes of a feature map whose channels are filled up to a multiple."""
    channels = -(-tensor.shape[1] // multiple) * multiple
    return tensor.element_size() * tensor.numel() // max(1, tensor.shape[1]) * channels


class Halving:
    """Runs work in parts, and halves their size whenever the device's memory does not suffice.

    It warns about this only once.
    """

    def __init__(self, device: torch.device, most: int | None = None) -> None:
        """Begin with parts of at most ``most`` things."""
        self.device = device
        self.most = most
        self._warned = False

    def __call__(self, run: Callable[[slice], Result], count: int) -> list[Result]:
        """Call ``run`` on parts of ``count`` things.

        Raises:
            InputError: not even one thing fits into the memory.
        """
        outputs: list[Result] = []
        done = 0
        while done < count:
            size = min(count - done, self.most or count)
            try:
                outputs.append(run(slice(done, done + size)))
                done += size
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # This is outside the handler, which would keep the failed part's tensors alive.
            if size == 1:
                raise no_memory(self.device)
            self.most = (size + 1) // 2
            self.give_way()
        return outputs

    def give_way(self) -> None:
        """Free the device's memory that is not in use, and warn once."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if not self._warned:
            self._warned = True
            warnings.warn(f"out of memory on {self.device}: continuing in smaller parts", stacklevel=3)


def no_memory(device: torch.device) -> InputError:
    """Make the error for when nothing smaller is left to try."""
    return InputError(f"out of memory on {device}: this network and image need more; try another device or image")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Say whether the error of a backend means that the device has too little memory."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in said or "out of memory" in said
