"""A user's mistake ends with one line, exit code 2, and nothing written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import demo_causal_effect_calculation as calculation
import demo_CEM_generation as generation
from CEM_Demo.command_line import make_parser, run_script
from CEM_Demo.config import Config
from conftest import write_config

ROOT = Path(__file__).parents[1]


def run(monkeypatch: pytest.MonkeyPatch, script: Any, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["script", *words])
    parser = make_parser("")
    parser.add_argument("--dry-run", action="store_true")
    return run_script(parser, script.work)


ABSENT_DEVICE = "mps" if not torch.backends.mps.is_available() else "cuda"

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"task": "XX"}, "task: input should be 'SR', 'DN', 'DR' or 'PAIR', not 'XX'"),
    ({"tol": "0.01dB"}, "tol: input should be a valid number"),
    ({"tol": -1.0}, "tol: "),
    ({"tol": float("nan")}, "tol: "),
    ({"tolerance": 0.01}, "unknown key tolerance; did you mean tol?"),
    ({"Imagelst": []}, "unknown key Imagelst; did you mean Imagelist?"),
    ({"tol": None}, "tol: "),
    ({"sr": 0}, "sr: "),
    ({"sr": 4}, "sr must be 1 for task DN"),
    ({"sr": 2.5}, "sr: "),
    ({"sr": True}, "sr: "),
    ({"task": "SR", "sr": 5}, "sr: must be 1, 2, 3, 4 or 8, not 5"),
    ({"task": "SR", "sr": 2, "Modellist": ["EDSR@Demo"]}, "EDSR@Demo restores at scale 4 only, and sr is 2"),
    ({"task": "SR", "sr": 1, "Modellist": ["SRResNet@Demo"]}, "SRResNet@Demo restores at scale 4 only, and sr is 1"),
    ({"task": "SR", "sigma": 25}, "sigma is a key of task DN, not of SR"),
    ({"sigma": 0}, "sigma: input should be greater than 0"),
    ({"sigma": float("inf")}, "sigma: "),
    ({"sigma": "25"}, "sigma: "),
    ({"rain": "large"}, "rain is a key of task DR, not of DN"),
    ({"task": "DR", "rain": "huge"}, "rain: input should be 'small', 'medium', 'large' or 'random', not 'huge'"),
    ({"input_path": "inputs"}, "input_path is a key of task PAIR, not of DN"),
    ({"degradation": "degrade.py:blur"}, "degradation is a key of task PAIR, not of DN"),
    ({"task": "PAIR"}, "the key input_path is missing"),
    ({"task": "PAIR", "input_path": "a/../b", "TextImg_path": "b"}, "input_path is the folder TextImg_path"),
    ({"task": "PAIR", "input_path": "nowhere"}, "input_path: the folder nowhere does not exist"),
    ({"Modellist": "Tiny"}, "Modellist: input should be a valid list"),
    ({"Modellist": []}, "Modellist: "),
    ({"Modellist": ["Tinny"]}, "no DN model is called 'Tinny'; did you mean Tiny?"),
    ({"Modellist": ["EDSR"]}, "EDSR is a SR model, not one for task DN"),
    ({"Modellist": ["Tiny@Mine"]}, "Tiny@Mine: no such training (known: Base)"),
    ({"Modellist": ["Tiny@"]}, "is not a model name"),
    ({"Modellist": ["Tiny", "Tiny"]}, "Tiny is listed more than once"),
    ({"Modellist": ["FFDNet"]}, "the checkpoint ffdnet_color.pth is missing"),
    ({"batch_size_dict": {"Tinny": 4}}, "did you mean Tiny?"),
    ({"batch_size_dict": {"Tiny": 0}}, "batch_size_dict: "),
    ({"batch_size": 0}, "batch_size: "),
    ({"Imagelist": []}, "Imagelist: "),
    ({"Imagelist": ["none.png"]}, "none.png: no such image"),
    ({"Imagelist": ["../photo_1.png"]}, "cannot be part of a file name"),
    ({"TextImg_path": "nowhere"}, "the folder nowhere does not exist"),
    ({"patch_path": "nowhere"}, "patch_path: nowhere does not exist"),
    ({"prefix": "../up"}, "prefix: '../up' cannot be part of a file name"),
    ({"prefix": "x" * 300}, "is longer than 100 bytes"),
    ({"prefix": ""}, "prefix: "),
    ({"prefix": 7}, "prefix: "),
    ({"w": -8}, "w: "),
    ({"w": 32}, "reaches out of photo_1.png, which is 40 x 32 pixels"),
    ({"h": 1000}, "reaches out of photo_1.png"),
    ({"ROI_size": 0}, "ROI_size: "),
    ({"mask_block_size": 0}, "mask_block_size: "),
    ({"task": "SR", "sr": 4, "mask_block_size": 6}, "mask_block_size 6 is no multiple of sr 4; try 4"),
    ({"coarse_num": 0}, "coarse_num: "),
    ({"fine_num": "many"}, "fine_num: "),
    ({"load_previous": "1"}, "load_previous: "),
    ({"load_previous": 2}, "load_previous: "),
    ({"seed": -1}, "seed: "),
    ({"device": "tpu"}, "device: "),
    ({"device": ABSENT_DEVICE}, f"device: no {ABSENT_DEVICE} device here"),
]


@pytest.mark.parametrize(("changes", "expected"), MISTAKES, ids=[str(changes)[:50] for changes, _ in MISTAKES])
def test_mistakes_in_a_config_are_named(
    tmp_path: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    expected: str,
) -> None:
    config = write_config(tmp_path, {**settings, **changes})
    assert run(monkeypatch, calculation, "--config", str(config)) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.count("\n") == 1
    assert expected in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", [name for name, field in Config.model_fields.items() if field.is_required()])
def test_a_missing_key_is_named(
    tmp_path: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
) -> None:
    config = write_config(tmp_path, {name: value for name, value in settings.items() if name != key})
    assert run(monkeypatch, calculation, "--config", str(config)) == 2
    assert f"the key {key} is missing" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "a: [1", "- 1\n- 2\n", "just words", "1: 2"])
def test_what_is_no_config_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "config.yml"
    path.write_text(text)
    assert run(monkeypatch, calculation, "--config", str(path)) == 2
    assert "config.yml" in capsys.readouterr().err


def test_a_missing_config_names_the_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, calculation, "--config", str(tmp_path / "none.yml")) == 2
    assert "demo-SR_CEM.yml" in capsys.readouterr().err


def test_set_overrides_a_key(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, settings)
    words = ["--config", str(config), "--dry-run", "--set", "coarse_num=5", "--set", "Modellist=[Tiny@Base]"]
    assert run(monkeypatch, calculation, *words) == 0
    printed = capsys.readouterr().out
    assert "Tiny@Base on photo_1.png: 100 coarse" in printed
    assert str(tmp_path / "out" / "DN-CEM" / "TEST-R16M8") in printed
    assert not (tmp_path / "out").exists()
    assert run(monkeypatch, calculation, "--config", str(config), "--set", "tol") == 2
    assert run(monkeypatch, calculation, "--config", str(config), "--set", "gamma=25") == 2


def test_help_explains_every_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, calculation, "--help")
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for name, field in Config.model_fields.items():
        assert name in printed
        assert field.description
        assert field.description in printed


def test_maps_before_effects_say_what_to_run(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, settings)
    assert run(monkeypatch, generation, "--config", str(config)) == 2
    assert "run demo_causal_effect_calculation.py first" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["SR", "DN", "DR"])
def test_shipped_configs_are_valid_and_comment_every_key(task: str) -> None:
    text = (ROOT / f"demo-{task}_CEM.yml").read_text()
    config = Config(**yaml.safe_load(text))
    assert config.task == task
    assert (config.w, config.h, config.ROI_size, config.mask_block_size) == (96, 152, 32, 8)
    assert all(config.image_path(name).exists() for name in config.Imagelist)
