"""What a network takes, gives and keeps is found out before it runs, and nothing is left behind in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

import strangers
from CEM_Demo.config.model_sources import parse_model
from CEM_Demo.errors import InputError
from CEM_Demo.explain import Explanation, explain
from CEM_Demo.explain import Settings as Choices
from CEM_Demo.inference.benchmark import _network
from CEM_Demo.inference.graph import export_graph
from CEM_Demo.inference.network_memory import forward_bytes
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.ModelZoo import Checkpoint, Entry, build_network, find, load_network, register
from CEM_Demo.ModelZoo.checkpoints import read_state_dict
from CEM_Demo.networks.fitting import fit, prepare_network
from CEM_Demo.networks.loading import resolve
from CEM_Demo.networks.probing import Facts, examine, probe
from CEM_Demo.networks.randomness import seeded
from CEM_Demo.tasks import Degradation
from conftest import ROI_OF_TESTS, Tiny, photograph

CPU = torch.device("cpu")
BANK = PatchBank(np.random.RandomState(2).randint(0, 256, (20, 8, 8, 3)).astype(np.uint8))
QUICK = {"coarse_num": 1, "fine_num": 1, "tol": 90.0, "bank": BANK, "device": "cpu"}


def map_of(network: Callable[[Tensor], Any], **choices: Any) -> Explanation:
    return explain(network, photograph(32, 40), ROI_OF_TESTS, Degradation("DN"), Choices(**QUICK | choices))


def random_image(count: int = 1, side: int = 24) -> Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(0))


KEEPERS = [
    strangers.TensorAttribute,
    strangers.BuffersInForward,
    strangers.MasksBySize,
    strangers.MasksInACache,
    strangers.Counting,
    strangers.WithHooks,
]


@pytest.mark.parametrize("look", [forward_bytes, lambda net, *sides: export_graph(net, *sides, CPU)])
@pytest.mark.parametrize("kind", KEEPERS, ids=lambda kind: kind.__name__)
def test_no_trace_of_a_tensor_without_values_is_left(kind: type[nn.Module], look: Callable[..., Any]) -> None:
    strangers.cached_checkerboard.cache_clear()
    net, image = kind().eval(), random_image()
    before = {name: id(value) for name, value in vars(net).items()}
    try:
        look(net, 24, 24)
    except InputError as refusal:
        assert "torch.export cannot flatten" in str(refusal)
    assert {name: id(value) for name, value in vars(net).items()} == before
    with torch.inference_mode():
        output = net(image)
    assert not isinstance(output, FakeTensor)
    assert output.isfinite().all()


@pytest.mark.parametrize("kind", [strangers.ItemOfBatch, strangers.Branching, strangers.WithNumPy])
def test_memory_is_measured_where_it_cannot_be_counted(kind: type[nn.Module]) -> None:
    counted = forward_bytes(strangers.Stranger(), 256, 192)
    assert forward_bytes(kind(), 256, 192) == pytest.approx(counted, rel=0.5)


def test_the_facts_are_found() -> None:
    def facts(kind: type[nn.Module]) -> Facts:
        with seeded(0):
            return examine(kind().eval())

    assert facts(strangers.Squares).size.square
    assert facts(strangers.OneSize).size.maximum == 64
    assert facts(strangers.WholeWindows).size.multiple == 8
    assert facts(strangers.WideReflection).size.minimum == 21
    assert facts(strangers.Grey).channels == 1
    assert facts(strangers.OnBytes).values == (0, 255)
    assert facts(strangers.OnSigned).values == (-1, 1)
    assert facts(strangers.Half).single_precision
    assert facts(strangers.Noisy).draws and facts(strangers.ActiveDropout).draws
    for mixing in (strangers.ItemOfBatch, strangers.Branching, strangers.BatchStatistics, strangers.TrainingBatchNorm):
        assert facts(mixing).one_by_one, mixing
    for plain in (strangers.TensorAttribute, strangers.TimeSteps, strangers.Counting, strangers.Deformable):
        assert facts(plain) == Facts(3, 1, facts(plain).size)


def test_a_bounded_residual_is_not_taken_for_another_range() -> None:
    """The residual vanishes on larger and larger values, which does not show what the network is meant for."""
    with seeded(0):
        found = probe(strangers.BatchStatistics().eval())
    assert found.values == (0, 1) and found.likely_values == (0, 255)


@pytest.mark.parametrize("kind", [strangers.BatchStatistics, strangers.MeanOfBatch, strangers.ItemOfBatch])
def test_a_batch_comes_out_as_its_images_alone(kind: type[nn.Module]) -> None:
    net = kind().eval()
    prepared, images = prepare_network(net, "DN", 1), random_image(3) * torch.tensor([0.1, 0.5, 1]).view(3, 1, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(prepared(images), torch.cat([net(image) for image in images.split(1)]))
        assert not torch.allclose(net(images), prepared(images), atol=1e-4)


def test_a_network_that_draws_is_refused_or_draws_the_same_in_every_pass() -> None:
    net, images = strangers.Noisy().eval(), random_image(count=2)
    with pytest.raises(InputError, match="the network: it draws random numbers.*allow_random: 1"):
        map_of(net)
    prepared = prepare_network(net, "DN", 1, random_seed=3)
    state = torch.get_rng_state()
    with torch.inference_mode():
        both, last = prepared(images), prepared(images[1:])
    assert torch.equal(both[1:], last)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(prepare_network(net, "DN", 1, random_seed=4)(images), both)
    one, other = (map_of(net, allow_random=True, batch_size=size) for size in (1, 5))
    np.testing.assert_array_equal(one.effects, other.effects)
    with pytest.raises(InputError, match="draws random numbers"):
        map_of(net, allow_random=True, inference="incremental")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: net,
        nn.DataParallel,
        lambda net: net.forward,
        lambda net: lambda image: {"aside": image, "image": [net(image)]},
        torch.jit.script,
        lambda net: torch.jit.trace(net, random_image()),
        lambda net: torch.compile(net),
    ],
    ids=["module", "DataParallel", "method", "dictionary", "scripted", "traced", "compiled"],
)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_any_callable_is_explained(wrap: Callable[[nn.Module], Callable[[Tensor], Any]]) -> None:
    net = Tiny().eval()
    expected = map_of(net, inference="dense")
    found = map_of(wrap(net))
    assert found.origin == pytest.approx(expected.origin, abs=2e-3)
    np.testing.assert_allclose(found.effects, expected.effects, atol=5e-3)


def test_a_failing_network_is_named_with_its_line() -> None:
    with pytest.raises(InputError, match=r"the network: it fails: .*\(strangers\.py, line \d+\)"):
        map_of(strangers.OnCuda() if not torch.cuda.is_available() else FailsAlways())


class FailsAlways(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return strangers.rearrange(x, "n c -> c n")


def test_a_torchscript_file_runs_where_it_is_named_as_code(tmp_path: Path) -> None:
    net = Tiny().eval()
    for kind, program in (("scripted", torch.jit.script(net)), ("traced", torch.jit.trace(net, random_image()))):
        torch.jit.save(program, tmp_path / f"{kind}.pt")
        with pytest.raises(InputError, match=r"TorchScript program.*name it as code, \{code: mine.pt\}"):
            resolve(parse_model(str(tmp_path / f"{kind}.pt")), "DN", 1)
        model = resolve(parse_model({"code": str(tmp_path / f"{kind}.pt")}), "DN", 1)
        with torch.inference_mode():
            torch.testing.assert_close(model.load()(random_image(2)), net(random_image(2)))
    (tmp_path / "empty.pt").write_text("no program")
    with pytest.raises(InputError, match="not a TorchScript file"):
        resolve(parse_model({"code": str(tmp_path / "empty.pt")}), "DN", 1)
    with pytest.raises(ValueError, match="a TorchScript file needs none"):
        parse_model({"code": "mine.pt", "weights": "mine.pth"})


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_checkpoints_of_wrapped_networks_and_other_precisions_load(
    tmp_path: Path, prefix: str, dtype: torch.dtype
) -> None:
    state = build_network("EDSR-8-2", "SR", 2).state_dict()
    torch.save({prefix + key: value.to(dtype) for key, value in state.items()}, tmp_path / "mine.pth")
    assert list(read_state_dict(tmp_path / "mine.pth")) == list(state)
    net = resolve(parse_model(str(tmp_path / "mine.pth")), "SR", 2).load()
    assert {weight.dtype for weight in net.parameters()} == {torch.float32}
    assert net(random_image()).shape == (1, 3, 48, 48)


def test_plain_functions_are_models_of_a_config() -> None:
    code = Path(strangers.__file__)
    for name in ("plain_function", "makes_function"):
        net = resolve(parse_model(f"{code}:{name}"), "DN", 1).load()
        assert net(random_image(2)).shape == (2, 3, 24, 24)
    with pytest.raises(InputError, match="not a torch.nn.Module, so it takes no weights"):
        resolve(parse_model({"code": f"{code}:plain_function", "weights": str(code)}), "DN", 1)


@pytest.mark.usefixtures("tiny_model")
def test_networks_of_scale_one_load_at_the_scale_that_is_asked_for() -> None:
    assert load_network("Tiny", "SR", 4)(random_image(side=8)).shape == (1, 3, 32, 32)
    assert _network("SR", "SRResNet_mix", 4)(random_image(side=8)).shape == (1, 3, 32, 32)
    assert load_network("Tiny", "DN")(random_image(side=8)).shape == (1, 3, 8, 8)
    prepared = fit(load_network("Tiny", "DN"), Facts(3, 1, find("Tiny", "DN").size), scale=4)
    with torch.inference_mode():
        torch.testing.assert_close(load_network("Tiny", "SR", 4)(random_image()), prepared(random_image()))


@pytest.mark.parametrize("name", ["EDSR-8-2", "MSRN", "RCAN", "SAN", "RNAN", "CSNLN"])
def test_networks_for_grey_images_take_them(name: str) -> None:
    with torch.device("meta"):
        net = build_network(name, "SR", 4, num_channels=1)
        assert net(torch.empty(1, 1, 48, 48)).shape == (1, 1, 192, 192)


@pytest.mark.usefixtures("tiny_model")
def test_entries_may_be_registered_again_and_come_together() -> None:
    def define(seed: int) -> Entry:
        class Mine(nn.Module):
            """Defined anew by each run of a notebook's cell."""

            number = seed

        return Entry("Mine", ("DN",), Mine, "my paper", {"Base": Checkpoint("mine.pth")}, scale=1)

    register([define(1)])
    register([define(2)])
    assert find("Mine", "DN").build.number == 2  # type: ignore[attr-defined]
    other = Entry("Mine", ("DN",), Tiny, "another paper", scale=1)
    with pytest.raises(ValueError, match="already has an entry Mine"):
        register([Entry("First", ("DN",), Tiny, "mine", scale=1), other])
    with pytest.raises(NotImplementedError):
        find("First", "DN")
