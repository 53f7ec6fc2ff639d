"""The scripts share --config, --set and --help; test_bad_input.py tests what may be wrong with a config."""

from __future__ import annotations

import signal
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
import yaml

import demo_causal_effect_calculation as calculation
import demo_CEM_generation as generation
from CEM_Demo import quiet_end
from CEM_Demo.command_line import exit_code, make_parser, run_script
from CEM_Demo.config.schema import Config
from CEM_Demo.quiet_end import INTERRUPTED, READER_GONE
from conftest import write_config

ROOT = Path(__file__).parents[1]


def run(monkeypatch: pytest.MonkeyPatch, script: Any, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["script", *words])
    parser = make_parser("")
    for option in ("--dry-run", "--summary"):
        parser.add_argument(option, action="store_true")
    return run_script(parser, script.work)


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
    assert "Tiny@Base on photo_1.png, ROI 16x16+8+8: 100 coarse" in printed
    assert str(tmp_path / "out" / "DN-CEM" / "TEST-R16M8") in printed
    assert not (tmp_path / "out").exists()
    assert run(monkeypatch, calculation, "--config", str(config), "--set", "tol") == 2
    assert run(monkeypatch, calculation, "--config", str(config), "--set", "gamma=25") == 2


def test_names_that_the_terminal_cannot_show_do_not_stop_a_run(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images" / "photo_1.png").rename(tmp_path / "images" / "图.png")
    config = write_config(tmp_path, settings | {"Imagelist": ["图.png"]})
    terminal = TextIOWrapper(BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert run(monkeypatch, calculation, "--config", str(config), "--dry-run") == 0
    terminal.seek(0)
    assert r"Tiny on \u56fe.png" in terminal.read()


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
    assert (config.w, config.h, config.ROI_size, config.mask_block_size) == (112, 112, 32, 8)
    assert all(config.image_path(name).exists() for name in config.Imagelist)


def test_a_failure_of_the_system_that_nobody_foresaw_keeps_its_traceback(tmp_path: Path) -> None:
    def work() -> None:
        (tmp_path / "none").read_bytes()

    with pytest.raises(FileNotFoundError):
        exit_code(work)


def started(*words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    # The tests themselves may run in the background, where SIGINT is ignored.
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_a_broken_pipe_ends_a_program_quietly() -> None:
    program = started("-u", "-m", "CEM_Demo.ModelZoo", "--task", "DR")
    assert program.stdout is not None and program.stderr is not None
    program.stdout.close()
    assert program.stderr.read() == ""
    assert program.wait() == READER_GONE


@pytest.mark.parametrize("words", [["demo_CEM_generation.py", "--help"], ["-m", "CEM_Demo.ModelZoo"]])
def test_ctrl_c_ends_a_program_in_one_line_while_it_still_imports(words: list[str]) -> None:
    program = started("-v", *words)  # Python names what it imports
    assert program.stderr is not None
    for line in program.stderr:
        if line.startswith("import 'numpy.version'"):
            program.send_signal(signal.SIGINT)
            break
    lines = list(program.stderr)
    # The signal may come while Python is writing one of its own lines.
    assert lines[-1].endswith("interrupted\n") and not any("Traceback" in line for line in lines)
    assert program.wait() == INTERRUPTED


def test_the_package_leaves_the_signals_of_other_programs_alone() -> None:
    assert sys.excepthook is not quiet_end._end
    assert signal.getsignal(signal.SIGINT) is not quiet_end._end_now
