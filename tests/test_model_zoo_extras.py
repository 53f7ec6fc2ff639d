"""Cases that the recorded ones at scale 4 do not show: other factors, numbered names, any size, shared parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from CEM_Demo.ModelZoo import SizeRequirement, build_network, checkpoints, entries, load_denoise_model
from CEM_Demo.ModelZoo.NN.rcan import PooledAttention
from CEM_Demo.ModelZoo.NN.san import SecondOrderAttention, covariance, square_root
from shared_material import GOLDEN_ZOO, SHARED, needs
from zoo_goldens import TOLERANCE, assert_outputs_are, assert_state_dict_is, relative_error

SCALABLE = ("SRCNN", "FSRCNN", "ESPCN-32-2", "DRRN", "EDSR", "MSRN", "RCAN", "SAN", "RNAN")
NUMBERED = ("EDSR-16-2", "FSRCNN-8-1", "ESPCN-32-2", "ESPCN-32-4", "ESPCN-32-8")
ALIGNED = [(task, entry.name) for entry in entries() for task in entry.tasks if entry.size != SizeRequirement()]


@needs(GOLDEN_ZOO)
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("name", SCALABLE)
def test_other_factors_equal_the_goldens(name: str, factor: int) -> None:
    net = build_network(name, "SR", factor).eval()
    case = f"{name}@factor{factor}"
    assert_state_dict_is(net, GOLDEN_ZOO / "extras" / "manifests" / "SR" / f"{case}.json.gz")
    assert_outputs_are(net, GOLDEN_ZOO / "extras" / "outputs" / "SR" / f"{case}.npz")


@needs(GOLDEN_ZOO)
@pytest.mark.parametrize("name", NUMBERED)
def test_numbered_names_equal_the_goldens(name: str) -> None:
    net = build_network(name, "SR").eval()
    assert_state_dict_is(net, GOLDEN_ZOO / "manifests" / "SR" / f"{name}.json.gz")
    assert_outputs_are(net, GOLDEN_ZOO / "outputs" / "SR" / f"{name}.npz")


@needs(GOLDEN_ZOO)
def test_published_weights_give_the_recorded_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MODEL_DIR", SHARED / "weights")
    golden = np.load(GOLDEN_ZOO / "extras" / "outputs" / "DN" / "DnCNN@dncnn_color_blind.npz")
    with torch.inference_mode():
        output = load_denoise_model("DnCNN")(torch.from_numpy(golden["x"]).float())
    assert relative_error(output, golden["y"]) <= TOLERANCE


@pytest.mark.parametrize(("name", "width"), [("ESPCN", 64), ("ESPCN-48-3", 48)])
def test_espcn_runs_at_any_width(name: str, width: int) -> None:
    net = build_network(name, "SR", factor=3)
    assert net.state_dict()["last_part.0.weight"].shape == (27, width, 3, 3)
    assert net(torch.rand(1, 3, 5, 8)).shape == (1, 3, 15, 24)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_carn_has_the_size_of_its_paper_less_the_other_scales(factor: int) -> None:
    net = build_network("CARN", "SR", factor)
    # Table 2 of the paper counts 1,592 thousand parameters with the upsamplers of all three scales.
    stages = {2: 64 * 9 * 256 + 256, 3: 64 * 9 * 576 + 576, 4: 2 * (64 * 9 * 256 + 256)}
    others = sum(stages.values()) - stages[factor]
    assert round((sum(weight.numel() for weight in net.parameters()) + others) / 1000) == 1592
    assert net(torch.rand(1, 3, 5, 8)).shape == (1, 3, 5 * factor, 8 * factor)


@pytest.mark.parametrize(("task", "name"), ALIGNED)
def test_networks_that_need_aligned_sides_take_any(task: str, name: str) -> None:
    net = build_network(name, task).eval()
    with torch.inference_mode():
        for height, width in ((1, 3), (19, 33)):
            output = net(torch.rand(1, 3, height, width))
            assert output.shape[-2] / height == output.shape[-1] / width
            assert output.isfinite().all()


def test_gates_of_windows_ignore_what_no_window_covers() -> None:
    attention = PooledAttention(16, torch.nn.AvgPool2d(4))
    features = torch.rand(1, 16, 7, 10)
    gates = attention.attention(features)
    assert gates.shape[-2:] == (1, 2)
    beyond = features.clone()
    beyond[..., 4:, :] = 0
    beyond[..., 8:] = 0
    torch.testing.assert_close(attention.attention(beyond), gates)
    halves = torch.cat((gates[..., :1].expand(-1, -1, 7, 5), gates[..., 1:].expand(-1, -1, 7, 5)), dim=-1)
    torch.testing.assert_close(attention(features), features * halves)


@pytest.mark.parametrize(("task", "name"), [("DN", "MPRNet"), ("DR", "MPRNet_DR")])
def test_mprnet_has_one_prelu(task: str, name: str) -> None:
    net = build_network(name, task)
    slopes = [value for value in net.state_dict(keep_vars=True).values() if value.shape == (1,)]
    assert len(slopes) == 55
    assert len({id(slope) for slope in slopes}) == 1


def test_only_the_deraining_mprnet_clips() -> None:
    far = 5 * torch.ones(1, 3, 8, 8)
    with torch.inference_mode():
        assert build_network("MPRNet_DR", "DR")(far).max() <= 1
        assert build_network("MPRNet", "DN")(far).max() > 1


def test_san_attends_to_the_covariance_of_the_centre_of_large_maps() -> None:
    attention = SecondOrderAttention(4, reduction=2)
    features = torch.randn(1, 4, 3, 1006)
    padded = F.pad(features[..., 3:1003], (3, 3), value=9.0)
    torch.testing.assert_close(attention.squeeze(padded), attention.squeeze(features))


def test_newton_schulz_iterations_give_the_square_root() -> None:
    matrix = covariance(torch.randn(2, 4, 50, 50, dtype=torch.float64))
    root = square_root(matrix, iterations=12)
    torch.testing.assert_close(root @ root, matrix)
