"""Inference with frozen statistics equals a dense run in which the same statistics are pinned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.inference.choice import choose_inference
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.inference.frozen import freeze, frozen_inference
from CEM_Demo.inference.gathering import gathering_nodes
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.ModelZoo.NN.imdn import IMDN, DistillationBlock
from CEM_Demo.ModelZoo.NN.layers import ChannelAttention, attend
from CEM_Demo.ModelZoo.NN.rcan import RCAN
from CEM_Demo.ModelZoo.NN.restormer import TransposedAttention
from CEM_Demo.ModelZoo.NN.rnan import NonLocal
from conftest import Tiny

CPU = torch.device("cpu")
SIDE, BLOCK = 24, 4
CORNERS = np.array([[0, 0], [8, 12], [8, 12], [20, 20], [10, 4], [23, 23]])


class Around(nn.Module):
    """Some layers between two convolutions."""

    def __init__(self, inner: nn.Module, width: int = 8) -> None:
        super().__init__()
        self.first, self.inner, self.last = nn.Conv2d(3, width, 3, padding=1), inner, nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(self.inner(self.first(x)))


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Pinned(TorchFunctionMode):
    """Keeps what some functions give for the first input, and gives it for all later ones."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names, self.kept, self.place = names, [], None

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        found = function(*arguments, **(named or {}))
        if getattr(function, "__name__", "") not in self.names:
            return found
        if self.place is None:
            self.kept.append(found)
            return found
        self.place += 1
        return self.kept[(self.place - 1) % len(self.kept)].expand_as(found)


def photograph(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def windows_of(x: Tensor) -> Tensor:
    """Attend inside windows of 4 x 4 pixels."""
    tokens = x.unflatten(3, (-1, 4)).unflatten(2, (-1, 4)).permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(0, 2)
    attended = (tokens @ tokens.mT).softmax(-1) @ tokens
    parts = attended.unflatten(0, (1, x.shape[2] // 4, x.shape[3] // 4)).unflatten(3, (4, 4))
    return parts.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def normalized(x: Tensor) -> Tensor:
    """Normalize as instance and group normalization do, with statistics that can be pinned."""
    for groups in (x.shape[1], 2):
        parts = x.unflatten(1, (groups, -1))
        mean = parts.mean((2, 3, 4), keepdim=True)
        deviation = ((parts - mean).square().mean((2, 3, 4), keepdim=True) + 1e-5).sqrt()
        x = ((parts - mean) / deviation).flatten(1, 2)
    return x


def matrix_attention(x: Tensor) -> Tensor:
    positions = x.flatten(2).transpose(1, 2)
    return ((positions @ positions.mT).softmax(-1) @ positions).transpose(1, 2).unflatten(2, x.shape[2:])


CHANNEL_ATTENTION: dict[str, Callable[[], nn.Module]] = {
    "channel attention": lambda: Around(nn.Sequential(ChannelAttention(16), DistillationBlock(16)), width=16),
    "RCAN": lambda: RCAN(scale=1, width=16, groups=2, depth=2),
    "IMDN": lambda: IMDN(scale=1, width=16),
}


def build(kind: str) -> tuple[nn.Module, nn.Module, tuple[str, ...], bool]:
    """Give a network, one that computes the same, the functions of the latter to pin, and whether the rest is local."""
    torch.manual_seed(0)
    if kind in CHANNEL_ATTENTION:
        net = CHANNEL_ATTENTION[kind]()
        for name, weights in net.named_parameters():
            if "conv_du" in name:
                weights.data.mul_(4)  # seeded gates are close to constant
        return net, net, ("sigmoid",), True
    if kind == "channels x channels, normalization":
        attention = TransposedAttention(8, 2)
        net = Around(nn.Sequential(attention, nn.InstanceNorm2d(8), nn.GroupNorm(2, 8)))
        other = Around(nn.Sequential(attention, Apply(normalized)))
        names = ("softmax", "mean", "sqrt")
    else:
        non_local = NonLocal(8, 4)
        net = Around(nn.Sequential(non_local, Apply(lambda x: attend(x, x, x))))
        other = Around(nn.Sequential(non_local, Apply(matrix_attention)))
        names = ("softmax",)
    other.first, other.last = net.first, net.last
    return net, other, names, kind != "positions x positions"


SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("RCAN", "IMDN")]
KINDS = ["channel attention", "channels x channels, normalization", "positions x positions", *SLOW]


@pytest.mark.parametrize("kind", KINDS)
def test_the_frozen_network_is_a_dense_run_with_pinned_statistics(kind: str) -> None:
    net, other, names, local = build(kind)
    image, blocks = photograph(), np.random.default_rng(1).integers(0, 256, (6, BLOCK, BLOCK, 3), dtype=np.uint8)
    roi = ROI.square(8, 8, 8)
    (group,) = choose_inference(net, image, [roi], BLOCK, CPU, "dense")
    frozen = frozen_inference(net, image, group, BLOCK, CPU)
    assert isinstance(frozen, IncrementalInference)
    assert frozen.roi_graph.is_local == local
    dense = DenseInference(other, image, roi, CPU)
    with Pinned(*names) as pinned:
        untouched = dense.baseline()
        pinned.place = 0
        expected = dense.restore(CORNERS, blocks)
    torch.testing.assert_close(frozen.baseline(), untouched, rtol=0, atol=1e-5)
    found, total = frozen.restore(CORNERS, blocks), group.inference.restore(CORNERS, blocks)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (total - expected).abs().max() > 10 * (found - expected).abs().max()


@pytest.mark.parametrize("net", [Tiny(), Around(Apply(windows_of))])
def test_a_local_network_gathers_nothing_and_is_its_own_frozen_network(net: nn.Module) -> None:
    (group,) = choose_inference(net, photograph(), [ROI.square(8, 8, 8)], BLOCK, CPU, "incremental")
    assert frozen_inference(net, photograph(), group, BLOCK, CPU) is group.inference


def test_freezing_nothing_changes_no_bit() -> None:
    torch.manual_seed(0)
    engine = IncrementalInference(Tiny(), photograph(), ROI.square(8, 8, 8), BLOCK, CPU)
    frozen = engine.with_graph(freeze(engine.roi_graph.graph, frozenset(), lambda _: {}))
    blocks = photograph(1)[None, :BLOCK, :BLOCK].repeat(len(CORNERS), axis=0)
    assert torch.equal(frozen.restore(CORNERS, blocks), engine.restore(CORNERS, blocks))


def test_a_frozen_mean_has_a_closed_form() -> None:
    image, roi = photograph(), ROI.square(8, 8, 8)
    net = Apply(lambda x: 0.7 * x + 0.3 * x.mean((2, 3), keepdim=True))
    (group,) = choose_inference(net, image, [roi], BLOCK, CPU, "dense")
    frozen = frozen_inference(net, image, group, BLOCK, CPU)
    blocks = photograph(1)[None, :BLOCK, :BLOCK].repeat(len(CORNERS), axis=0)
    for corner, block, found in zip(CORNERS, blocks, frozen.restore(CORNERS, blocks), strict=True):
        pasted = image.copy()
        room = pasted[corner[0] : corner[0] + BLOCK, corner[1] : corner[1] + BLOCK]
        room[:] = block[: room.shape[0], : room.shape[1]]
        expected = (0.7 * pasted[roi.window] + 0.3 * image.mean((0, 1))) / 255
        np.testing.assert_allclose(found.permute(1, 2, 0), expected, atol=1e-6)
    assert isinstance(frozen, IncrementalInference)
    # Only the blocks that overlap the ROI reach it: 8 pixels of 24, in blocks of 4.
    assert frozen.reached_blocks.sum() == 4


class BySize(nn.Module):
    """Pools the image, with one more operator if it is tall."""

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean((2, 3), keepdim=True)
        return x * (gate.sigmoid() if x.shape[2] > 100 else gate)


def test_operators_that_depend_on_the_size_are_refused() -> None:
    (group,) = choose_inference(BySize(), photograph(), [ROI.square(8, 8, 8)], BLOCK, CPU, "dense")
    with pytest.raises(InputError, match="what BySize gathers over the image cannot be told"):
        frozen_inference(BySize(), photograph(), group, BLOCK, CPU)


class Gathering(nn.Module):
    """Gathers in three ways, and takes a border of fixed size, which gathers nothing."""

    def forward(self, x: Tensor) -> Tensor:
        strip = x * x.mean(2, keepdim=True)
        columns = (x.transpose(2, 3) @ x).softmax(-1) @ x.transpose(2, 3)
        grid = F.interpolate(F.adaptive_avg_pool2d(x, 4), x.shape[2:])
        return strip + columns.transpose(2, 3) + grid + torch.cat((x[:, :, :1], x[:, :, :-1]), dim=2)


def test_what_gathers_is_told_by_what_does_not_grow_with_the_image() -> None:
    graph = IncrementalInference(Gathering(), photograph(), ROI.square(8, 8, 8), BLOCK, CPU).roi_graph.graph
    found = sorted(graph.nodes[number].name for number in gathering_nodes(Gathering(), graph, CPU))
    assert found == ["aten::adaptive_avg_pool2d", "aten::matmul", "aten::mean", "aten::softmax"]
