"""Models that the zoo does not list: checkpoint files, known by their keys and shapes, and the user's own code."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from CEM_Demo.command_line import read_config
from CEM_Demo.config.model_sources import parse_model
from CEM_Demo.errors import InputError
from CEM_Demo.ModelZoo import MODEL_DIR, build_network, checkpoints, entries, load_network
from CEM_Demo.ModelZoo import __main__ as zoo_table
from CEM_Demo.ModelZoo.checkpoints import sha256_of
from CEM_Demo.ModelZoo.entries import edsr_training
from CEM_Demo.ModelZoo.NN.edsr import EDSR
from CEM_Demo.ModelZoo.NN.fsrcnn import FSRCNN
from CEM_Demo.ModelZoo.NN.rcan import RetrainedRCAN
from CEM_Demo.ModelZoo.NN.srresnet import SRResNet
from CEM_Demo.ModelZoo.NN.swinir import SwinIR
from CEM_Demo.ModelZoo.padding import padded_sides
from CEM_Demo.ModelZoo.registry import SizeRequirement
from CEM_Demo.networks.fitting import remarks
from CEM_Demo.networks.identification import complete_arguments, identify
from CEM_Demo.networks.loading import Model, resolve
from CEM_Demo.networks.probing import Facts, find_size
from conftest import BUNDLED, run_main, write_config
from shared_material import SHARED, needs

PUBLISHED = [
    ("SR", "RFDN", "RFDN_AIM.pth"),
    ("SR", "PAN", "PANx4_DF2K.pth"),
    ("DN", "DnCNN", "dncnn_color_blind.pth"),
    ("DN", "FFDNet", "ffdnet_color.pth"),
    ("DR", "PReNet", "PReNet6.pth"),
]

# Different networks with the same keys and shapes.
POOLINGS = ["RCAN_pooling4", "RCAN_pooling16", "RCAN_pooling2x2", "RCAN_pooling3x3"]

MY_NET = """\
import torch
from torch import nn
from torch.nn import functional as F

from my_layers import convolution


class MyNet(nn.Module):
    \"\"\"Shallow features, two residual blocks on half the size, sub-pixel upsampling.\"\"\"

    def __init__(self, scale=2, width=6):
        super().__init__()
        self.scale = scale
        self.head = convolution(3, width)
        self.down = nn.Conv2d(width, width, 2, stride=2)
        self.blocks = nn.ModuleList(convolution(width, width) for _ in range(2))
        self.up = nn.ConvTranspose2d(width, width, 2, stride=2)
        self.tail = nn.Sequential(convolution(width, 3 * scale**2), nn.PixelShuffle(scale))

    def forward(self, image):
        shallow = self.head(image)
        features = self.down(shallow)
        for block in self.blocks:
            features = features + F.relu(block(features))
        residual = self.tail(shallow + self.up(features))
        enlarged = F.interpolate(image, scale_factor=self.scale, mode="nearest")
        return {"features": features, "image": enlarged + 0.2 * residual}


def broken(scale=2):
    return [scale][7]


def in_bytes():
    return InBytes()


class InBytes(nn.Module):
    def forward(self, image):
        return 255 * image


class Grey(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image):
        return self.layer(image)


class Cropping(nn.Module):
    def forward(self, image):
        return image[..., 3:-3, 3:-3]


class Failing(nn.Module):
    def forward(self, image):
        raise RuntimeError("not today")


class Hoarding(nn.Module):
    passes = 0

    def forward(self, image):
        self.passes += 1
        return image / self.passes


class Noisy(nn.Module):
    def forward(self, image):
        return image + 0.1 * torch.randn_like(image)


class Wordy(nn.Module):
    def forward(self, image):
        return image, "and so on"


class LossLast(nn.Module):
    def forward(self, image):
        return {"image": image, "loss": image.mean()}


class Leveled(nn.Module):
    def forward(self, image, level):
        return image * level
"""
MY_LAYERS = """\
from torch import nn


def convolution(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1)
"""


@pytest.fixture
def my_net(tmp_path: Path) -> Path:
    """Write a user's file that imports the file beside it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "my_layers.py").write_text(MY_LAYERS)
    (folder / "my_net.py").write_text(MY_NET)
    return folder / "my_net.py"


def found(given: str | dict[str, Any], task: str = "SR", scale: int | None = None) -> Model:
    return resolve(parse_model(given), task, scale or (4 if task == "SR" else 1))


def assert_same_outputs(net: nn.Module, expected: nn.Module) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, 19, 22)
    with torch.inference_mode():
        assert torch.equal(net(image), expected(image))


@pytest.mark.parametrize(("task", "name"), BUNDLED)
def test_bundled_checkpoints_are_known_by_their_content(tmp_path: Path, task: str, name: str) -> None:
    shutil.copy(MODEL_DIR / f"{name}-Demo.pth", tmp_path / "mine.pth")
    model = found(str(tmp_path / "mine.pth"), task)
    assert_same_outputs(model.load(), load_network(f"{name}@Demo", task))
    assert model.provenance()["checkpoint_sha256"] == sha256_of(MODEL_DIR / f"{name}-Demo.pth")


@needs(SHARED / "weights")
@pytest.mark.parametrize(("task", "name", "file"), PUBLISHED)
def test_published_checkpoints_are_known_by_their_content(
    task: str, name: str, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MODEL_DIR", SHARED / "weights")
    assert_same_outputs(found(str(SHARED / "weights" / file), task).load(), load_network(name, task))


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.name)
def test_every_network_of_the_zoo_is_known_by_its_keys_and_shapes(entry: Any) -> None:
    task = entry.tasks[0]
    scale = 4 if task == "SR" else 1
    with torch.device("meta"):
        state = build_network(entry.name, task, scale).state_dict()
    if entry.name in POOLINGS:
        with pytest.raises(InputError, match=f"say which by model: one of {', '.join(POOLINGS)}"):
            identify(state, scale, task)
    match = identify(state, scale, task, entry.name if entry.name in POOLINGS else None)
    assert match is not None and match.listed
    assert match.entry.build == entry.build
    assert match.entry.size == entry.size
    assert match.arguments == complete_arguments(entry, entry.scale or scale)


@pytest.mark.parametrize(
    ("net", "scale", "name"),
    [
        (EDSR(3, width=8, depth=3), 3, "EDSR-8-3"),
        (FSRCNN(2, features=9, width=5, depth=1), 2, "FSRCNN-5-1 (features 9)"),
        (SRResNet(2, width=8, depth=3), 2, "SRResNet (width 8, depth 3)"),
        (SRResNet(3, width=8, depth=1), 3, "SRResNet (width 8, depth 1)"),
        (RetrainedRCAN(3, width=32, groups=2, depth=3, gated=1), 3, None),
        (SwinIR(2, width=24, heads=3, groups=2, depth=3), 2, "SwinIR (width 24, heads 3, groups 2, depth 3)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_other_members_of_a_family_are_known(tmp_path: Path, net: nn.Module, scale: int, name: str | None) -> None:
    torch.save({"params_ema": net.state_dict()}, tmp_path / "mine.pth")
    if name is None:
        with pytest.raises(InputError, match="neither the zoo nor spandrel|not a network of the zoo"):
            found(str(tmp_path / "mine.pth"), "SR", scale)
        return
    model = found(str(tmp_path / "mine.pth"), "SR", scale)
    assert model.origin["architecture"] == name
    assert_same_outputs(model.load(), net.eval())


@pytest.mark.parametrize(
    ("name", "task", "key"),
    [("EDSR", "SR", "body.5000000.body.0.weight"), ("DnCNN", "DN", "model.5000000.weight")],
)
def test_a_forged_number_in_a_key_asks_for_no_millions_of_layers(name: str, task: str, key: str) -> None:
    state = build_network(name, task, 4).state_dict() | {key: torch.zeros(64, 64, 3, 3)}
    assert identify(state, 4, task) is None


def test_an_edsr_of_the_authors_code_runs_on_its_own_range(tmp_path: Path) -> None:
    net = EDSR(2, width=8, depth=2, span=255).eval()
    torch.save(net.state_dict(), tmp_path / "mine.pth")
    model = found(str(tmp_path / "mine.pth"), scale=2)
    assert model.origin["architecture"] == "EDSR-8-2 (span 255)"
    assert_same_outputs(model.load(), net)
    assert edsr_training({"width": 256, "depth": 32}, net.state_dict())["residual_scale"] == 0.1


def test_the_zoos_table_says_what_a_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    torch.save(EDSR(3, width=8, depth=2).state_dict(), tmp_path / "mine.pth")
    monkeypatch.setattr(sys, "argv", ["ModelZoo", str(tmp_path / "mine.pth")])
    assert zoo_table.main() == 0
    assert capsys.readouterr().out.startswith("mine: EDSR-8-2, x3, ")
    monkeypatch.setattr(sys, "argv", ["ModelZoo", "none.pth"])
    assert zoo_table.main() == 2


def test_an_ambiguous_file_is_settled_by_a_name(tmp_path: Path) -> None:
    net = RetrainedRCAN(2, width=16, groups=1, depth=2, grid=3).eval()
    torch.save(net.state_dict(), tmp_path / "mine.pth")
    with pytest.raises(InputError, match="mine: its keys and shapes fit several networks.*RCAN_pooling3x3"):
        found(str(tmp_path / "mine.pth"), scale=2)
    model = found({"weights": str(tmp_path / "mine.pth"), "model": "RCAN_pooling3x3"}, scale=2)
    assert_same_outputs(model.load(), net)
    with pytest.raises(InputError, match="does not have the keys and shapes of EDSR"):
        found({"weights": str(tmp_path / "mine.pth"), "model": "EDSR"}, scale=2)


def test_the_wrong_scale_names_the_right_one(tmp_path: Path) -> None:
    torch.save(EDSR(2, width=4, depth=1).state_dict(), tmp_path / "mine.pth")
    with pytest.raises(InputError, match="mine: its scale is 2, not 4; set sr: 2"):
        found(str(tmp_path / "mine.pth"))
    with pytest.raises(InputError, match="task DN needs the same size"):
        found(str(tmp_path / "mine.pth"), "DN")


def edsr(value: float | None = None) -> dict[str, torch.Tensor]:
    """Give the weights of a small EDSR, all of one value if it is given."""
    torch.manual_seed(0)
    state = EDSR(2, width=4, depth=1).state_dict()
    return state if value is None else {key: torch.full_like(weight, value) for key, weight in state.items()}


def prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
# What training scripts put around the weights of a network, whether or not its keys are known beforehand.
WRAPPED: dict[str, Any] = {
    "PyTorch's tutorial": {"epoch": 3, "model_state_dict": edsr(), "optimizer_state_dict": OPTIMIZER, "loss": 0.1},
    "best PSNR of NumPy": {"net": edsr(), "best_psnr": np.float64(31.2), "curve": np.ones(3, np.float32)},
    "GAN": {"G": edsr(), "D": {"conv.weight": torch.zeros(3)}},
    "Lightning": {"state_dict": prefixed("model.", edsr()), "callbacks": {}, "step": torch.tensor(3)},
    "compiled, devices": prefixed("module._orig_mod.", edsr()),
    "two deep": {"checkpoint": {"generator": prefixed("netG.", edsr())}},
    "moving average": {"model": edsr(0), "model_ema": edsr()},
    "published order": {"state_dict": edsr(), "netG_ema": edsr(0)},
}
# Here the keys must be known.
PARTS: dict[str, Any] = {
    "loss": {"state_dict": {**prefixed("model.", edsr()), "loss.vgg.weight": torch.zeros(3)}},
    "counter": {"ema": {"n_averaged": torch.tensor(5), **prefixed("module.", edsr())}},
    "moving average": {**prefixed("ema_model.", edsr()), **prefixed("online_model.", edsr(0))},
}


def assert_found(path: Path, given: dict[str, Any]) -> None:
    net = EDSR(2, width=4, depth=1).eval()
    net.load_state_dict(edsr())
    assert_same_outputs(found(given, scale=2).load(), net)


@pytest.mark.parametrize("content", WRAPPED.values(), ids=WRAPPED)
def test_weights_are_found_under_any_key_of_their_file(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "mine.pth")
    assert_found(tmp_path, {"weights": str(tmp_path / "mine.pth")})


@pytest.mark.parametrize(
    "content", [*WRAPPED.values(), *PARTS.values()], ids=[*WRAPPED, *(f"part: {id}" for id in PARTS)]
)
def test_weights_of_a_known_network_are_found_behind_any_prefix(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "mine.pth")
    code = tmp_path / "edsr_of_mine.py"
    code.write_text(
        "from CEM_Demo.ModelZoo.NN.edsr import EDSR\n\n\ndef net():\n    return EDSR(2, width=4, depth=1)\n"
    )
    assert_found(tmp_path, {"weights": str(tmp_path / "mine.pth"), "code": f"{code}:net"})


def test_a_named_network_of_the_zoo_is_found_beside_other_weights(tmp_path: Path) -> None:
    torch.save(PARTS["loss"], tmp_path / "mine.pth")
    assert_found(tmp_path, {"weights": str(tmp_path / "mine.pth"), "model": "EDSR"})
    with pytest.raises(InputError, match="neither the zoo nor spandrel|not a network of the zoo"):
        found(str(tmp_path / "mine.pth"), scale=2)


def test_the_log_says_which_of_several_state_dicts_is_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    torch.save(WRAPPED["moving average"], tmp_path / "mine.pth")
    found(str(tmp_path / "mine.pth"), scale=2)
    assert "mine.pth (its model_ema, not model)" in caplog.text


def test_several_state_dicts_or_none_end_in_a_line_that_lists_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    torch.save({"netG_A": edsr(), "netG_B": edsr()}, path)
    with pytest.raises(InputError, match="several state dicts that would do: netG_A, netG_B; save the one you mean"):
        found(str(path), scale=2)
    net = EDSR(2, width=4, depth=1)
    with pytest.raises(InputError, match="would do: netG_A, netG_B"):
        checkpoints.load_weights(net, path, "EDSR")
    short = prefixed("netG.", edsr())
    del short["netG.head.0.weight"]
    torch.save({"G": {**short, "netG.more": torch.zeros(1)}, "D": {"conv.weight": torch.zeros(3)}}, path)
    expected = r"fit EDSR: missing: head\.0\.weight; unknown: more; .*\(the nearest of G, D is G / netG\.\*\)"
    with pytest.raises(InputError, match=expected):
        checkpoints.load_weights(net, path, "EDSR")


def test_safetensors_are_read(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    net = EDSR(2, width=4, depth=1).eval()
    safetensors.save_file(net.state_dict(), tmp_path / "mine.safetensors")
    assert_same_outputs(found(str(tmp_path / "mine.safetensors"), scale=2).load(), net)
    (tmp_path / "mine.safetensors").write_text("no such thing")
    with pytest.raises(InputError, match="not a safetensors file"):
        found(str(tmp_path / "mine.safetensors"), scale=2)


def test_what_only_spandrel_knows_is_run_without_clamping(tmp_path: Path) -> None:
    pytest.importorskip("spandrel")
    from spandrel.architectures.Compact import Compact
    from spandrel.architectures.SPAN import SPAN

    torch.manual_seed(0)
    for net in (
        SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2).eval(),
        Compact(num_feat=8, num_conv=2, upscale=2).eval(),
    ):
        torch.save({"params": net.state_dict()}, tmp_path / "mine.pth")
        model = found(str(tmp_path / "mine.pth"), scale=2)
        assert "of spandrel" in model.origin["architecture"]
        assert_same_outputs(model.load(), net)


def test_networks_that_are_told_a_noise_level_need_their_code(tmp_path: Path) -> None:
    """Spandrel mistakes a gray FFDNet for a DnCNN, and gives both 15/255."""
    pytest.importorskip("spandrel")
    from CEM_Demo.ModelZoo.NN.dncnn import plain_network

    net = nn.Module()
    net.model = plain_network(1 * 4 + 1, 1 * 4, 8, 15)
    torch.save(net.state_dict(), tmp_path / "mine.pth")
    with pytest.raises(InputError, match="it needs a noise level"):
        found(str(tmp_path / "mine.pth"), "DN")


def test_without_spandrel_the_way_on_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "mine.pth")
    with pytest.raises(InputError, match="to recognize more networks, pip install spandrel, or give its code"):
        found(str(tmp_path / "mine.pth"))


@pytest.mark.parametrize("scale", [2, 3])
def test_a_network_of_the_users_runs_from_config_to_report(
    tmp_path: Path,
    settings: dict[str, Any],
    my_net: Path,
    capsys: pytest.CaptureFixture[str],
    scale: int,
) -> None:
    own = {"code": f"{my_net}:MyNet", "kwargs": {"scale": scale}, "name": "Mine", "output": "image"}
    changes = {"task": "SR", "sr": scale, "w": 6, "h": 6, "ROI_size": 12, "mask_block_size": 6}
    files = {"Modellist": [own], "batch_size_dict": {"Mine": 5}}
    config = write_config(tmp_path, {**settings, **changes, **files})
    assert run_main("demo_causal_effect_calculation.py", "--config", str(config)) == 0
    assert run_main("demo_CEM_generation.py", "--config", str(config)) == 0
    printed = capsys.readouterr().out
    assert f"Mine: MyNet of {my_net}, x{scale}, " in printed
    assert "sides padded to multiples of 2, at least 2" in printed
    folder = tmp_path / "out" / "SR-CEM" / f"TEST-R12M{6 // scale}" / "Mine" / "photo_1.png"
    provenance = json.loads((folder / "manifest.json").read_text())["provenance"]
    assert provenance["code_sha256"]["my_net.py"] == sha256_of(my_net)
    assert provenance["code_sha256"]["my_layers.py"] == sha256_of(my_net.with_name("my_layers.py"))
    assert provenance["kwargs"] == {"scale": scale}
    assert "Mine" in (tmp_path / "out" / "SR_TEST_Result.html").read_text()


def test_effects_are_tied_to_the_users_code_and_weights(my_net: Path, tmp_path: Path) -> None:
    word = f"{my_net}:MyNet"
    untrained = found(word, scale=2)
    assert untrained.provenance() == found(word, scale=2).provenance()
    state = {key.removeprefix("net."): 1.1 * value for key, value in untrained.load().state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    trained = found({"code": word, "weights": str(tmp_path / "w.pth")}, scale=2)
    assert trained.provenance()["checkpoint_sha256"] == sha256_of(tmp_path / "w.pth")
    assert trained.provenance()["weights_sha256"] != untrained.provenance()["weights_sha256"]
    my_net.write_text(MY_NET + "\n")
    assert found(word, scale=2).provenance()["code_sha256"] != untrained.provenance()["code_sha256"]


def test_two_folders_may_have_neighbours_of_one_name(my_net: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(my_net.parent, other)
    (other / "my_layers.py").write_text(MY_LAYERS.replace("3, padding=1", "1"))
    first, second = (found(f"{file}:MyNet", scale=2).load() for file in (my_net, other / "my_net.py"))
    assert first.state_dict()["net.head.weight"].shape == (6, 3, 3, 3)
    assert second.state_dict()["net.head.weight"].shape == (6, 3, 1, 1)


def test_relative_imports_work_in_a_package(my_net: Path) -> None:
    (my_net.parent / "__init__.py").touch()
    my_net.write_text(MY_NET.replace("from my_layers", "from .my_layers"))
    assert found(f"{my_net}:MyNet", scale=2).load()(torch.rand(1, 3, 5, 7)).shape == (1, 3, 10, 14)


def test_a_grey_network_runs_on_each_channel(my_net: Path) -> None:
    net = found(f"{my_net}:Grey", "DN").load()
    image = torch.rand(2, 3, 9, 8)
    with torch.inference_mode():
        restored = net(image)
        torch.testing.assert_close(restored[1:, 2:], net(image[1:, 2:].expand(-1, 3, -1, -1))[:, :1])


def test_a_network_of_scale_one_restores_the_enlarged_image(my_net: Path) -> None:
    assert found(f"{my_net}:Grey", scale=3).load()(torch.rand(1, 3, 5, 7)).shape == (1, 3, 15, 21)


@pytest.mark.parametrize(("multiple", "minimum"), [(1, 1), (2, 2), (8, 24), (7, 14), (12, 12), (64, 64), (1, 15)])
def test_size_requirements_are_found(multiple: int, minimum: int) -> None:
    def accepts(height: int, width: int) -> bool:
        return min(height, width) >= minimum and height % multiple == width % multiple == 0

    side = next(side for side in (64, 48, 60, 56) if accepts(side, side))
    assert find_size(accepts, side) == SizeRequirement(multiple, minimum)


def test_networks_of_one_size_or_of_squares_are_found() -> None:
    one_size = SizeRequirement(64, 64, square=True, maximum=64)
    assert find_size(lambda height, width: height == width == 64, 64) == one_size
    assert find_size(lambda height, width: height == width, 64) == SizeRequirement(square=True)
    assert padded_sides(30, 50, one_size) == (64, 64)
    assert padded_sides(30, 50, SizeRequirement(8, 8, square=True)) == (56, 56)
    with pytest.raises(InputError, match="images of 64 x 64 pixels at most, not 70 x 30"):
        padded_sides(30, 70, one_size)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (SizeRequirement(1, 4), "sides padded to at least 4"),
        (SizeRequirement(8), "sides padded to multiples of 8"),
        (SizeRequirement(8, 16, square=True), "padded to squares with sides of multiples of 8, at least 16"),
        (SizeRequirement(square=True), "padded to squares"),
    ],
)
def test_padding_is_told_in_plain_words(size: SizeRequirement, said: str) -> None:
    assert remarks(Facts(3, 1, size), 1) == [said]


MISTAKES: list[tuple[Any, str]] = [
    ("{folder}/none.pth", "none: there is no file"),
    ("{folder}/none.py:Net", "there is no file"),
    ("{code}", "write FILE.py:NAME"),
    ("{code}:MyNt", "has no class or function MyNt; it has MyNet, broken"),
    ("{code}:broken", "my_net.py, line 31: IndexError: list index out of range"),
    ("{code}:InBytes", "returns values up to 2"),
    ("{code}:Cropping", "for an image of (1, 3, 64, 64)"),
    ("{code}:Failing", "my_net.py, line 59: RuntimeError: not today"),
    ("{code}:Hoarding", "it gives another image each time"),
    ("{code}:Noisy", "it draws random numbers, so its effects would depend on chance"),
    ("{code}:Wordy", "it returns a str, not an image; name the image's key or number as output"),
    ({"code": "{code}:MyNet", "kwargs": {"widht": 3}}, "TypeError: MyNet.__init__() got an unexpected"),
    ({"code": "{code}:MyNet", "kwargs": {"scale": 3}, "name": "A"}, "A: its scale is 3, not 2; set sr: 3"),
    ({"code": "{code}:MyNet", "output": "picture"}, "output: it returns no 'picture'; there is 'features', 'image'"),
    ({"code": "{code}:Wordy", "output": 2}, "output: it returns a tuple of 2, without 2; write -2 to 1"),
    ("{code}:LossLast", "that is 'loss' of 'image', 'loss': name the image as output of the model, or return it alone"),
    ("{code}:Leveled", "it needs level beside the image; give a small wrapper instead, which takes the image alone"),
    ({"code": "{code}:MyNet", "weights": "{folder}/none.pth"}, "there is no file"),
    ({"code": "{code}:MyNet", "weights": "{tiny}"}, "the checkpoint does not fit MyNet of"),
    ({"weigths": "a.pth"}, "a model has no key 'weigths'; did you mean weights?"),
    ({"name": "A"}, "a model needs weights or code"),
    ({"weights": "a.pth", "kwargs": {}}, "kwargs needs code beside it"),
    ({"code": "a.py:A", "weights": "a.pth", "model": "EDSR"}, "give code or model, not both"),
    ({"code": 7}, "code: 7 should be a str"),
    ({"weights": "a.pth", "name": "a/b"}, "'a/b' cannot be part of a file name"),
    ({"weights": "{tiny}", "model": "EDRS"}, "no SR model is called 'EDRS'"),
]


@pytest.mark.parametrize(("given", "expected"), MISTAKES, ids=[expected[:40] for _, expected in MISTAKES])
def test_mistakes_end_in_one_line(
    tmp_path: Path,
    settings: dict[str, Any],
    my_net: Path,
    capsys: pytest.CaptureFixture[str],
    given: Any,
    expected: str,
) -> None:
    filled = json.loads(
        json.dumps(given)
        .replace("{folder}", str(my_net.parent))
        .replace("{code}", str(my_net))
        .replace("{tiny}", str(checkpoints.MODEL_DIR / "Tiny.pth"))
    )
    config = write_config(tmp_path, {**settings, "task": "SR", "sr": 2, "Modellist": [filled]})
    assert run_main("demo_causal_effect_calculation.py", "--config", str(config)) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    assert expected in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["import nonesuch_module", "def f(:\n", "x = 1\nraise SystemExit(3)"])
def test_files_that_cannot_be_imported_are_named(my_net: Path, text: str) -> None:
    my_net.write_text(text)
    with pytest.raises(InputError, match=r"my_net\.py, line \d: (ModuleNotFoundError|SyntaxError|SystemExit)"):
        found(f"{my_net}:MyNet", scale=2)


def test_labels_are_distinct(tmp_path: Path, settings: dict[str, Any]) -> None:
    twice = ["a/mine.pth", "b/mine.pth"]
    with pytest.raises(InputError, match="mine is listed more than once; tell them apart by a name"):
        read_config(write_config(tmp_path, {**settings, "Modellist": twice}))
    named = [{"weights": "a/mine.pth", "name": "A"}, "b/mine.pth", "Tiny", "net.py:Net"]
    config = read_config(write_config(tmp_path, {**settings, "Modellist": named}))
    assert list(config.models) == ["A", "mine", "Tiny", "Net"]
