"""Incremental inference equals dense inference, for random networks and for those of the zoo."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from CEM_Demo.geometry import ROI
from CEM_Demo.inference.choice import choose_inference
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.method.metric import psnr, squared_errors, to_uint8
from CEM_Demo.ModelZoo import build_network
from random_networks import RandomNetwork, networks
from shared_material import GOLDEN_ZOO, needs

CPU = torch.device("cpu")
HEIGHT, WIDTH = 40, 48


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def assert_equals_dense(net: nn.Module, image: np.ndarray, roi: ROI, block: int, corners: np.ndarray) -> None:
    """Check that both inferences agree, and that what is out of reach stays as it was, bit for bit."""
    blocks = np.random.default_rng(1).integers(0, 256, (len(corners), block, block, 3), dtype=np.uint8)
    incremental, dense = IncrementalInference(net, image, roi, block, CPU), DenseInference(net, image, roi, CPU)
    assert torch.equal(incremental.baseline(), dense.baseline())
    expected, found = dense.restore(corners, blocks), incremental.restore(corners, blocks)
    scale = dense.baseline().abs().max()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(scale))
    truth = torch.from_numpy(photograph(roi.height, roi.width, seed=2)).permute(2, 0, 1)
    decibels = [psnr(squared_errors(to_uint8(out), truth).numpy(), truth.numel()) for out in (found, expected)]
    assert np.abs(decibels[0] - decibels[1]).max() <= 0.002
    untouched = incremental.baseline()[(..., *roi.window)]
    for reached, restored in zip(incremental.reaches(corners), found, strict=True):
        assert reached or torch.equal(restored, untouched)


# Examples are not shrunk: a network is drawn by its seed, and no seed is simpler than another.
@settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(network=networks(), data=st.data())
def test_random_networks(network: RandomNetwork, data: st.DataObject) -> None:
    height, width = network.height, network.width
    output_height, output_width = network.output_size
    side = data.draw(st.integers(1, min(output_height, output_width, 8)), "side of the ROI")
    top = data.draw(st.integers(0, output_height - side), "top of the ROI")
    left = data.draw(st.integers(0, output_width - side), "left of the ROI")
    block = data.draw(st.integers(1, 7), "block")
    some = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    corners = np.array([*data.draw(st.lists(some, min_size=1, max_size=3), "corners"), (0, 0), (0, 0)])
    assert_equals_dense(network, photograph(height, width), ROI.square(left, top, side), block, corners)


LOCAL = [("SR", name) for name in ("SRCNN", "FSRCNN", "ESPCN", "LapSRN", "CARN", "EDSR-16-4", "SRResNet", "PAN")]
LOCAL += [("SR", "RFDN"), ("DN", "DnCNN"), ("DN", "IRCNN"), ("DN", "FFDNet"), ("DN", "SRResNet_DN"), ("DR", "PReNet")]
GLOBAL = [("SR", "IMDN")]


@needs(GOLDEN_ZOO)
@pytest.mark.parametrize(("task", "name"), LOCAL + GLOBAL)
def test_networks_of_the_zoo(task: str, name: str) -> None:
    net = seeded(build_network(name, task))
    scale = 4 if task == "SR" else 1
    corners = np.array([[0, 0], [10, 20], [10, 20], [35, 45], [25, 30], [15, 0], [20, 45], [5, 25]])
    assert_equals_dense(net, photograph(HEIGHT, WIDTH), ROI.square(20 * scale, 12 * scale, 8 * scale), 5, corners)


def seeded(net: nn.Module) -> nn.Module:
    """Build a network with the weights of the recorded outputs, which neither fade out nor explode."""
    spec = importlib.util.spec_from_file_location("seed_weights", Path(GOLDEN_ZOO) / "seed_weights.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.seed_weights(net)
    return net.eval()


BOUNDS = [("DN", "DnCNN", 2195, 100), ("DR", "SRResNet_DR", 636, 196), ("SR", "SRResNet", 21.4, 992)]
BOUNDS += [("SR", "EDSR", 16.5, 992), ("DR", "PReNet", 73, 552)]


@pytest.mark.parametrize(("task", "name", "bound", "reached"), BOUNDS)
def test_predicted_cost_of_the_demos(task: str, name: str, bound: float, reached: int) -> None:
    scale = 4 if task == "SR" else 1
    image = photograph(256 // scale, 256 // scale)
    net = build_network(name, task, scale).eval()
    cost = IncrementalInference(net, image, ROI.square(96, 152, 32), 8 // scale, CPU).predicted_cost
    assert cost.dense / cost.incremental == pytest.approx(bound, rel=0.01)
    assert cost.blocks == 1024
    assert cost.reached == reached


def test_reach_of_dncnn_is_its_receptive_field() -> None:
    roi = ROI.square(96, 152, 32)
    incremental = IncrementalInference(build_network("DnCNN", "DN").eval(), photograph(256, 256), roi, 8, CPU)
    reach = 20
    for row, column in ((152 - reach - 8, 96), (152 + 32 + reach, 96), (160, 96 - reach - 8), (160, 96 + 32 + reach)):
        assert not incremental.reaches(np.array([[row, column]]))[0]
        nearer = np.array([[row + np.sign(160 - row), column + np.sign(104 - column) * (row == 160)]])
        assert incremental.reaches(nearer)[0]


class Reads(nn.Module):
    """An operator that torch.export cannot flatten: the data decide what is computed."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.mean() > 0.5 else x


def test_choice() -> None:
    image, roi = photograph(64, 64), ROI.square(24, 24, 8)
    local, spread = build_network("IRCNN", "DN").eval(), build_network("RIDNet", "DN").eval()

    def kind(net: nn.Module, asked: str = "auto") -> str:
        (shared,) = choose_inference(net, image, [roi], 8, CPU, asked)
        return shared.inference.kind

    assert kind(local) == "incremental"
    assert kind(local, "dense") == "dense"
    assert kind(spread) == "dense"
    assert kind(spread, "incremental") == "incremental"
    assert kind(Reads()) == "dense"
