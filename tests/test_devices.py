"""Both engines keep what they compute on the device that they are given.

This needs no GPU: fake tensors on a GPU compute nothing, but an operator whose inputs lie on two devices fails. The
device is the second GPU, so that tensors that go to the first by default are found, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from CEM_Demo.geometry import ROI
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.method.metric import squared_errors, to_uint8
from CEM_Demo.ModelZoo import build_network
from conftest import photograph

SECOND_GPU = torch.device("cuda", 1)
SIDE, BLOCK, DRAWS = 32, 8, 3


class ChannelAttention(nn.Module):
    """Every output pixel depends on the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        features = self.first(image)
        weights = torch.sigmoid(nn.functional.adaptive_avg_pool2d(features, 1))
        return image + self.last(features * weights)


class MadeOnTheCpu(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image + torch.zeros(1, 3, 1, 1)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "local": lambda: build_network("DnCNN", "DN"),
    "enlarging": lambda: build_network("EDSR-16-2", "SR"),
    "global": ChannelAttention,
    "recurrent": lambda: build_network("PReNet", "DR"),
}


def on_second_gpu(make: Callable[[], nn.Module]) -> nn.Module:
    with SECOND_GPU:
        net = make().eval()
    # Parameters of a module cannot be replaced by fake ones; these are already where they should be.
    net.to = lambda *_: net  # type: ignore[assignment,method-assign]
    return net


def engine_of(kind: str, net: nn.Module, scale: int) -> Any:
    image, roi = photograph(SIDE, SIDE + BLOCK), ROI.square(BLOCK * scale, BLOCK * scale, 16 * scale)
    if kind == "dense":
        return DenseInference(net, image, roi, SECOND_GPU)
    return IncrementalInference(net, image, roi, BLOCK, SECOND_GPU)


@pytest.mark.parametrize("kind", ["dense", "incremental"])
@pytest.mark.parametrize("network", NETWORKS)
def test_all_stays_on_the_device(network: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Fake tensors have no values that could be compared with the real network's.
    monkeypatch.setattr(IncrementalInference, "_check", lambda self, output: None)
    scale = 4 if network == "enlarging" else 1
    corners = np.repeat([[0, 0], [BLOCK, BLOCK], [SIDE - BLOCK, SIDE]], DRAWS, axis=0)
    blocks = np.zeros((len(corners), BLOCK, BLOCK, 3), np.uint8)
    with FakeTensorMode(allow_non_fake_inputs=True):
        engine = engine_of(kind, on_second_gpu(NETWORKS[network]), scale)
        assert engine.baseline().device == SECOND_GPU
        restored = engine.restore(corners, blocks)
        assert restored.device == SECOND_GPU
        assert restored.shape == (len(corners), 3, 16 * scale, 16 * scale)
        truth = torch.zeros(3, 16 * scale, 16 * scale, dtype=torch.uint8)
        assert squared_errors(to_uint8(restored), truth.to(restored.device)).device == SECOND_GPU


def test_a_mix_of_devices_would_be_found() -> None:
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        pytest.raises(RuntimeError, match="on the same device|two different devices"),
    ):
        engine_of("dense", on_second_gpu(MadeOnTheCpu), 1).baseline()
