"""Names, checkpoints and padding of the zoo."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from CEM_Demo.errors import InputError
from CEM_Demo.ModelZoo import (
    MODEL_LIST,
    NN_LIST,
    SizeRequirement,
    checkpoints,
    entries,
    get_denoise_model,
    get_derain_model,
    get_model,
    load_denoise_model,
    load_derain_model,
    load_model,
    registry,
)
from CEM_Demo.ModelZoo.checkpoints import load_strictly, read_state_dict
from CEM_Demo.ModelZoo.padding import accept_any_size, padded_side, reflect_pad
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from conftest import Tiny
from shared_material import GOLDEN_PIPELINE, SHARED, needs


def test_lists_name_the_published_models() -> None:
    assert {"EDSR", "SRResNet", "DnCNN", "PReNet", "HAT-L", "SwinIR-Real-PSNR"} <= set(NN_LIST)
    assert "EDSR-64-10" not in NN_LIST
    assert MODEL_LIST["EDSR-64-10"] == {"Base": "EDSR-64-10_15000.pth"}
    assert MODEL_LIST["DnCNN"]["Base"] == "dncnn_color_blind.pth"


def test_numbered_names_build_networks_of_that_size() -> None:
    net = get_model("EDSR-8-3", factor=2)
    assert net.state_dict()["head.0.weight"].shape == (8, 3, 3, 3)
    assert net(torch.rand(1, 3, 5, 6)).shape == (1, 3, 10, 12)
    assert get_model("FSRCNN-10-2", num_channels=1)(torch.rand(1, 1, 5, 6)).shape == (1, 1, 20, 24)


@pytest.mark.parametrize("name", ["EDSR-64", "EDSR-64-16-1", "EDSR-a-b", "EDSR-0-4", "EDSRfoo", "", "DnCNN-1-2"])
def test_unknown_names_raise(name: str) -> None:
    with pytest.raises(NotImplementedError):
        get_model(name)


def test_a_name_of_another_task_is_told() -> None:
    with pytest.raises(InputError, match="DnCNN is a DN model, not one for task DR"):
        get_derain_model("DnCNN")
    with pytest.raises(InputError, match="did you mean SRResNet_DN"):
        get_denoise_model("SRResNt_DN")
    with pytest.raises(InputError, match="scale 4 only"):
        get_model("SRResNet", factor=3)


def test_missing_checkpoints_say_where_they_belong_and_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "MODEL_DIR", tmp_path)
    (tmp_path / "EDSR-Demo.pth").touch()
    with pytest.raises(InputError, match=rf"EDSR-64-16_15000\.pth is missing; put it into {tmp_path}.*EDSR@Demo"):
        load_model("EDSR")
    with pytest.raises(InputError, match=r"no such training \(known: Base, Demo\)"):
        load_model("EDSR@Mine")
    with pytest.raises(InputError, match="no such training"):
        load_model("DRRN")


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"params": s}, lambda s: {"params_ema": s, "params": {"a": 1}}]
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrapped_state_dicts_are_unwrapped(tmp_path: Path, wrap: Any, prefix: str) -> None:
    state = Tiny().state_dict()
    path = tmp_path / "net.pth"
    torch.save(wrap({prefix + key: value for key, value in state.items()}), path)
    found = read_state_dict(path)
    assert list(found) == list(state)


def test_a_state_dict_must_fit_exactly() -> None:
    state = Tiny().state_dict()
    with pytest.raises(InputError, match=r"missing: last\.bias"):
        load_strictly(Tiny(), {key: value for key, value in state.items() if key != "last.bias"}, "Tiny")
    with pytest.raises(InputError, match="unknown: extra"):
        load_strictly(Tiny(), {**state, "extra": torch.zeros(1)}, "Tiny")
    with pytest.raises(InputError, match=r"of another shape: last\.bias"):
        load_strictly(Tiny(), {**state, "last.bias": torch.zeros(7)}, "Tiny")


def test_another_file_under_a_published_name_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MODEL_DIR", tmp_path)
    torch.save(get_model("FSRCNN-16-6").state_dict(), tmp_path / "FSRCNN-16-6_15000.pth")
    with pytest.warns(UserWarning, match="not the published file.*93f7fca8"):
        load_model("FSRCNN-16-6")
    with pytest.warns(UserWarning, match="not the published file"):
        assert load_model("FSRCNN").state_dict()["mid_part.0.weight"].shape == (16, 56, 1, 1)


@pytest.mark.parametrize("multiple", [1, 4, 8, 16])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 7), (16, 16), (17, 33)])
def test_any_size_is_padded_and_cropped(multiple: int, height: int, width: int) -> None:
    seen = []

    class Enlarging(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.shape[-2:])
            return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    image = torch.rand(2, 3, height, width)
    output = accept_any_size(Enlarging(), SizeRequirement(multiple, multiple))(image)
    torch.testing.assert_close(output, image.repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert all(side % multiple == 0 and side >= multiple for side in seen[0])


def test_padding_mirrors_like_numpy() -> None:
    image = torch.rand(1, 1, 3, 4)
    found = reflect_pad(image, 11, 10)
    assert found.shape == (1, 1, 11, 10)
    torch.testing.assert_close(found[..., :5, :7], torch.nn.functional.pad(image, (0, 3, 0, 2), mode="reflect"))
    assert padded_side(17, SizeRequirement(8, 32)) == 32


def test_padding_keeps_the_state_dict() -> None:
    net = Tiny()
    keys = list(net.state_dict())
    assert list(accept_any_size(net, SizeRequirement(8, 8)).state_dict()) == keys


def test_a_model_from_outside_the_package_is_one_entry(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from conftest import make_config

    class Mine(nn.Module):
        def __init__(self, strength: float) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.tensor(strength))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.gain

    torch.save(Mine(0.9).state_dict(), checkpoints.MODEL_DIR / "mine.pth")
    weights = {"Base": registry.Checkpoint("mine.pth")}
    registry.register(
        [registry.Entry("Mine", ("DN",), Mine, "unpublished", weights, {"strength": 1.0}, scale=1, reach=0)]
    )
    assert load_denoise_model("Mine").state_dict()["gain"] == pytest.approx(0.9)
    compute_effects(prepare(make_config(tmp_path, settings, Modellist=["Mine"])))
    assert (tmp_path / "out" / "DN-CEM" / "TEST-R16M8" / "Mine" / "photo_1.png-PSNR-Origin.mat").exists()
    with pytest.raises(ValueError, match="already"):
        registry.register([registry.Entry("Mine", ("DN",), Mine, "again")])


def test_networks_of_scale_one_restore_the_enlarged_image_in_super_resolution(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    from conftest import make_config

    config = make_config(tmp_path, settings, task="SR", sr=2)
    compute_effects(prepare(config))
    assert (tmp_path / "out" / "SR-CEM" / "TEST-R16M4" / "Tiny" / "photo_1.png-PSNR-Origin.mat").exists()


def test_every_entry_is_complete() -> None:
    for entry in entries():
        assert entry.paper and entry.tasks
        assert entry.size.minimum >= 1
        assert all(Path(checkpoint.file).name == checkpoint.file for checkpoint in entry.checkpoints.values())


def test_table_lists_the_zoo() -> None:
    command = [sys.executable, "-m", "CEM_Demo.ModelZoo", "--task", "DR", "--markdown"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]).stdout
    assert printed.splitlines()[0].startswith("| name | task | parameters | reach |")
    assert "| PReNet | DR | 168,963 | 78 |" in printed
    assert "DnCNN" not in printed


@needs(SHARED / "weights")
@pytest.mark.parametrize(
    ("load", "name"),
    [
        (load_model, "RFDN"),
        (load_model, "PAN"),
        (load_denoise_model, "DnCNN"),
        (load_denoise_model, "FFDNet"),
        (load_derain_model, "PReNet"),
    ],
)
def test_published_checkpoints_load_without_complaint(
    load: Any, name: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(checkpoints, "MODEL_DIR", SHARED / "weights")
    net = load(name)
    assert not net.training
    assert not recwarn.list


@needs(GOLDEN_PIPELINE)
def test_a_checkpoint_of_another_network_is_refused() -> None:
    state = read_state_dict(GOLDEN_PIPELINE / "checkpoints" / "FSRCNN-16-6_15000.pth")
    with pytest.raises(InputError, match="does not fit FSRCNN"):
        load_strictly(get_model("FSRCNN"), state, "FSRCNN")
