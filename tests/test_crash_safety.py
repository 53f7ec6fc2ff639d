"""Kills, interruptions, full disks and races lose nothing, leave nothing half-written, and change no byte."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import random
import re
import resource as limits
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from torch import Tensor

from CEM_Demo.command_line import exit_code
from CEM_Demo.device import cpu_threads
from CEM_Demo.errors import InputError
from CEM_Demo.files import write_atomically
from CEM_Demo.images import png_bytes
from CEM_Demo.method import metric
from CEM_Demo.method.metric import psnr
from CEM_Demo.ModelZoo import registry
from CEM_Demo.report.report import make_report
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.mat_files import MAT_TEXT, MAT_TEXT_BYTES, mat_bytes, read_mat
from CEM_Demo.results.paths import result_paths
from CEM_Demo.run import conductor, ledger
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import Run, inferences_for, prepare
from conftest import ROI_OF_TESTS, Tiny, make_config, photograph, write_config
from killing import assert_whole, finish, killed_after, killed_at, results, together

ROOT = Path(__file__).parents[1]

KILLS_PER_ENGINE = 100
IN_A_ROW = 5


@pytest.fixture
def output() -> Iterator[Path]:
    """Give a folder in memory if there is one: a killed process leaves the same there, and syncing takes no time.

    Forked children have one thread, so this process must use only one, too.
    """
    with cpu_threads(1):
        yield from folder_in_memory()


def folder_in_memory() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder) / "out"


def tiny_run(tmp_path: Path, settings: dict[str, Any], output: Path, **changes: Any) -> Run:
    changes = {"load_previous": 1, "output_dir": str(output), **changes}
    return prepare(make_config(tmp_path, settings, **changes))


@pytest.fixture(params=["dense", "incremental"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(ledger, "SECONDS_BETWEEN_SAVES", 0.0)
    return request.param


def share_inference(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flatten the network once instead of once for each child."""
    inferences = inferences_for(run, run.models["Tiny"].load(), run.posed_images[0], run.posed_images[0].rois)
    monkeypatch.setattr(conductor, "inferences_for", lambda *_: inferences)


def test_runs_killed_at_random_end_with_the_bytes_of_an_uninterrupted_one(
    tmp_path: Path, settings: dict[str, Any], output: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path, settings, output, batch_size=4, inference=engine)
    share_inference(run, monkeypatch)

    def work() -> None:
        compute_effects(run)
        make_report(run.config)

    work()
    expected = results(output)
    shutil.rmtree(output)
    duration = finish(work)
    assert any(name.endswith("-F3.mat") for name in expected)
    rng = random.Random(0)
    kills = 0
    while kills < KILLS_PER_ENGINE:
        shutil.rmtree(output)
        for _ in range(IN_A_ROW):
            if not killed_after(rng.uniform(0, 1.1 * duration), work):
                break
            kills += 1
            assert_whole(output)
        work()
        assert results(output) == expected


def test_runs_killed_at_any_change_of_the_disk_end_with_the_same_bytes(
    tmp_path: Path, settings: dict[str, Any], output: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path, settings, output, batch_size=30, inference=engine)
    share_inference(run, monkeypatch)
    compute_effects(run)
    expected = results(output)
    number = 0
    while True:
        shutil.rmtree(output)
        number += 1
        if not killed_at(number, lambda: compute_effects(run)):
            break
        assert_whole(output)
        compute_effects(run)
        assert results(output) == expected, number
    assert number > 60


def test_reports_killed_at_any_change_of_the_disk_can_be_made_again(
    tmp_path: Path, settings: dict[str, Any], output: Path
) -> None:
    run = tiny_run(tmp_path, settings, output)
    compute_effects(run)
    make_report(run.config)
    expected = results(output)
    drawn = [path for path in output.rglob("*") if path.name.endswith(("_PSNR.png", ".html"))]
    assert len(drawn) == 4
    number = 0
    while True:
        for path in drawn:
            path.unlink(missing_ok=True)
        number += 1
        if not killed_at(number, lambda: make_report(run.config)):
            break
        assert_whole(output)
    make_report(run.config)
    assert results(output) == expected
    assert number > 25


def test_a_new_run_killed_while_it_takes_the_place_of_an_old_one_leaves_nothing_of_it(
    tmp_path: Path, settings: dict[str, Any], output: Path
) -> None:
    old = tiny_run(tmp_path, settings, output, coarse_num=1, fine_num=2)
    new = tiny_run(tmp_path, settings, output, load_previous=0, batch_size=30)
    compute_effects(new)
    expected = results(output)
    shutil.rmtree(output)
    compute_effects(old)
    make_report(old.config)
    (output / "DN_TEST_Result.html").unlink()
    shutil.copytree(output, tmp_path / "old")
    for number in range(1, 30):
        shutil.rmtree(output)
        shutil.copytree(tmp_path / "old", output)
        assert killed_at(number, lambda: compute_effects(new))
        assert_whole(output)
        compute_effects(new)
        assert results(output) == expected, number
    shutil.rmtree(output)
    compute_effects(replace(new, config=new.config.model_copy(update={"load_previous": 1})))
    assert results(output) == expected


def test_an_interrupted_run_keeps_all_that_is_done(
    tmp_path: Path, settings: dict[str, Any], output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path, settings, output, batch_size=6)
    compute_effects(run)
    expected = results(output)
    paths = result_paths(run.config, "Tiny", "photo_1.png", ROI_OF_TESTS)
    shutil.rmtree(output)
    for batch, progress in ((3, (18, 0)), (6, (40, 12))):
        with monkeypatch.context() as patched:
            patched.setattr(metric, "psnr", interrupting(batch))
            with pytest.raises(KeyboardInterrupt):
                compute_effects(run)
        manifest = read_manifest(paths)
        assert manifest is not None
        assert tuple(int(draws.counts_of((4, 5)).sum()) for draws in manifest.rounds.values()) == progress
    compute_effects(run)
    assert results(output) == expected


def interrupting(batch: int) -> Callable[..., Any]:
    """Make a PSNR that raises Ctrl-C at the batch of this number; the origin counts as a batch."""
    calls = itertools.count()

    def psnr_or_interrupt(*arguments: Any) -> Any:
        if next(calls) == batch + 1:
            raise KeyboardInterrupt
        return psnr(*arguments)

    return psnr_or_interrupt


def start(config: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "demo_causal_effect_calculation.py", "--config", str(config)]
    command += ["--set", f"output_dir={output}"]
    # The tests themselves may run in the background, where SIGINT is ignored.
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def signal_in(stage: bytes, process: subprocess.Popen[bytes], number: signal.Signals) -> tuple[int, str]:
    """Send a signal when the progress bar of a stage moves; give the exit code, and what was printed after it."""
    assert process.stderr is not None
    printed = b""
    while not re.search(stage + rb": +[1-9]\d*%", printed):
        read = os.read(process.stderr.fileno(), 4096)
        assert read, printed.decode()
        printed += read
    process.send_signal(number)
    rest = process.stderr.read()
    return process.wait(), rest.decode()


def test_the_script_killed_or_interrupted_goes_on(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(photograph(40, 40)).save(images / "photo_1.png")
    settings = yaml.safe_load((ROOT / "demo-DN_CEM.yml").read_text())
    settings |= {"Modellist": ["DnCNN@Demo"], "Imagelist": ["photo_1.png"], "TextImg_path": str(images)}
    settings |= {
        "w": 16,
        "h": 16,
        "ROI_size": 8,
        "fine_num": 32,
        "device": "cpu",
        "batch_size": 2,
        "inference": "dense",
    }
    config = write_config(tmp_path, settings)
    killed = tmp_path / "killed"
    code, _ = signal_in(b"coarse", start(config, killed), signal.SIGKILL)
    assert code == -signal.SIGKILL
    for stage in (b"coarse", b"fine"):
        code, printed = signal_in(stage, start(config, killed), signal.SIGINT)
        assert code == 130
        assert "Traceback" not in printed
        assert printed.splitlines()[-1] == "interrupted; start again with load_previous: 1 to continue"
        assert not list(killed.rglob("*.part"))
    for output in (killed, tmp_path / "whole"):
        process = start(config, output)
        _, printed_bytes = process.communicate()
        assert process.returncode == 0, printed_bytes.decode()
    assert results(killed) == results(tmp_path / "whole")


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def damage_flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_exchange(path: Path) -> None:
    path.write_bytes(mat_bytes(np.ones((4, 5, 2))) if path.suffix == ".mat" else png_bytes(photograph(8, 8)))


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_empty, damage_exchange, Path.unlink])
@pytest.mark.parametrize(
    ("name", "measured"),
    [("coarse", 40 + 15), ("fine", 15), ("origin", 0), ("restored", 0), ("ground_truth", 0), ("degraded", 0)],
)
def test_only_what_is_damaged_is_computed_again(
    tmp_path: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    measured: int,
    damage: Callable[[Path], None],
) -> None:
    run = tiny_run(tmp_path, settings, tmp_path / "out")
    compute_effects(run)
    expected = results(tmp_path / "out")
    path = getattr(result_paths(run.config, "Tiny", "photo_1.png", ROI_OF_TESTS), name)
    damage(path)
    with pytest.raises(InputError, match=rf"{re.escape(path.name)}.*load_previous: 1 to compute it again"):
        make_report(run.config)
    counts: list[int] = []
    monkeypatch.setattr(metric, "psnr", lambda errors, size: (counts.append(len(errors)), psnr(errors, size))[1])
    compute_effects(run)
    assert sum(counts[1:]) == measured
    printed = caplog.text
    assert path.name in printed
    assert (f"the {name} stage" in printed) == (measured > 0)
    assert results(tmp_path / "out") == expected
    make_report(run.config)


@pytest.mark.parametrize("damage", [damage_truncate, Path.unlink])
def test_a_picture_that_only_people_look_at_is_written_again(
    tmp_path: Path, settings: dict[str, Any], caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    run = tiny_run(tmp_path, settings, tmp_path / "out")
    compute_effects(run)
    expected = results(tmp_path / "out")
    path = result_paths(run.config, "Tiny", "photo_1.png", ROI_OF_TESTS).restored_with_roi
    damage(path)
    compute_effects(run)
    assert f"{path} is missing or damaged: it is written again" in caplog.text
    assert results(tmp_path / "out") == expected


def test_a_mat_file_with_any_byte_changed_or_cut_is_refused(tmp_path: Path) -> None:
    values = np.arange(12.0).reshape(2, 3, 2)
    content = mat_bytes(values)
    path = tmp_path / "a.mat"
    for position in range(len(content)):
        changed = bytes([content[position] ^ 1])
        path.write_bytes(content[:position] + changed + content[position + 1 :])
        if position < MAT_TEXT_BYTES:  # only text changed: it is harmless or refused
            with contextlib.suppress(InputError):
                np.testing.assert_array_equal(read_mat(path), values)
        else:
            with pytest.raises(InputError, match="damaged"):
                read_mat(path)
        path.write_bytes(content[:position])
        with pytest.raises(InputError, match="damaged"):
            read_mat(path)


def test_a_manifest_with_any_byte_changed_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    run = tiny_run(tmp_path, settings, tmp_path / "out")
    compute_effects(run)
    paths = result_paths(run.config, "Tiny", "photo_1.png", ROI_OF_TESTS)
    before = paths.manifest.read_bytes()
    time = before.index(b'"wall_seconds"')
    sealed = [position for position in range(len(before) - 1) if not time <= position < before.index(b"\n", time)]
    for position in sealed:
        changed = bytes([before[position] ^ 1])
        paths.manifest.write_bytes(before[:position] + changed + before[position + 1 :])
        with pytest.raises(InputError, match=r"manifest\.json is damaged"):
            read_manifest(paths)
    for action in (lambda: compute_effects(run), lambda: make_report(run.config)):
        with pytest.raises(InputError, match=r"manifest\.json is damaged.*load_previous: 0 to compute anew"):
            action()
    anew = tiny_run(tmp_path, settings, tmp_path / "out", load_previous=0)
    compute_effects(anew)
    assert read_manifest(paths)


def test_equal_arrays_make_equal_mat_files(tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    content = mat_bytes(values)
    assert content == mat_bytes(values.copy())
    assert content.startswith(MAT_TEXT)
    (tmp_path / "a.mat").write_bytes(content)
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat"), values)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), write_atomically(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


class NotANumber(Tiny):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * float("nan")


class TooLarge(Tiny):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).repeat_interleave(2, -1)


@pytest.mark.parametrize(("network", "complaint"), [(NotANumber, "NaN"), (TooLarge, "not an RGB image of")])
def test_a_network_that_does_not_work_leaves_nothing(
    tmp_path: Path, settings: dict[str, Any], network: type[Tiny], complaint: str
) -> None:
    weights = {"Base": registry.Checkpoint("Tiny.pth")}
    registry.register([registry.Entry("Broken", ("DN",), network, "of the tests", weights, scale=1, reach=2)])
    with pytest.raises(InputError, match=complaint):
        compute_effects(tiny_run(tmp_path, settings, tmp_path / "out", Modellist=["Broken"]))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 64 KiB in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)):
        pytest.skip("may not mount a file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def mount(*words: str) -> bool:
    return shutil.which("mount") is not None and not subprocess.run(["mount", *words], capture_output=True).returncode


def refused(capsys: pytest.CaptureFixture[str], work: Callable[[], Any]) -> str:
    """Give what the scripts print about a user's mistake: one line, with exit code 2."""
    capsys.readouterr()
    assert exit_code(work) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_full_disk_costs_no_results(
    tmp_path: Path,
    settings: dict[str, Any],
    small_disk: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "SECONDS_BETWEEN_SAVES", 0.0)
    compute_effects(tiny_run(tmp_path, settings, tmp_path / "roomy", batch_size=6))
    expected = results(tmp_path / "roomy")
    output = small_disk / "out"
    run = tiny_run(tmp_path, settings, output, batch_size=6)
    for kibibytes in range(8, 60, 4):
        assert mount("-o", f"remount,size={kibibytes}k", str(small_disk))
        if exit_code(lambda: compute_effects(run)) == 0:
            break
        message = capsys.readouterr().err
        assert "No space left on device" in message
        assert "Traceback" not in message
        assert not list(output.rglob("*.part"))
        assert_whole(output)
    assert kibibytes > 20
    assert results(output) == expected
    assert mount("-o", f"remount,size={kibibytes}k", str(small_disk))
    assert "cannot be written (No space left on device)" in refused(capsys, lambda: make_report(run.config))
    assert not list(output.rglob("*.part"))


def test_a_read_only_disk_is_named(
    tmp_path: Path, settings: dict[str, Any], small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run(tmp_path, settings, small_disk / "out")
    assert mount("-o", "remount,ro", str(small_disk))
    assert "Read-only file system" in refused(capsys, lambda: compute_effects(run))
    assert mount("-o", "remount,rw,size=1m", str(small_disk))
    compute_effects(run)
    before = results(small_disk)
    assert mount("-o", "remount,ro", str(small_disk))
    assert "Read-only file system" in refused(capsys, lambda: make_report(run.config))
    compute_effects(run)  # all is there, so nothing is written
    assert results(small_disk) == before


def test_files_larger_than_allowed_are_named_and_the_run_goes_on(
    tmp_path: Path, settings: dict[str, Any], output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run(tmp_path, settings, output, fine_num=40)
    compute_effects(run)
    expected = results(output)
    shutil.rmtree(output)

    def limited() -> None:
        limits.setrlimit(limits.RLIMIT_FSIZE, (5000, 5000))
        with pytest.raises(InputError, match=r"-F40.mat cannot be written \(File too large\)"):
            compute_effects(run)

    finish(limited)
    assert not list(output.rglob("*.part"))
    assert_whole(output)
    compute_effects(run)
    assert results(output) == expected


def test_a_report_that_cannot_be_written_is_named(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny_run(tmp_path, settings, tmp_path / "out")
    compute_effects(run)
    page = tmp_path / "out" / "DN_TEST_Result.html"
    page.mkdir()
    assert f"{page} cannot be written (Is a directory)" in refused(capsys, lambda: make_report(run.config))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"DN-CEM", "DN_TEST_Result.html"}


@pytest.mark.parametrize("load_previous", [0, 1])
def test_a_second_process_is_refused_until_the_first_is_gone(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str], load_previous: int
) -> None:
    run = tiny_run(tmp_path, settings, tmp_path / "out", load_previous=load_previous, Modellist=["Tiny", "Tiny@Base"])
    compute_effects(run)
    before = results(tmp_path / "out")
    paths = result_paths(run.config, "Tiny@Base", "photo_1.png", ROI_OF_TESTS)
    complaint = f"{paths.pair_folder} is being written by another process"
    with held(paths.pair_folder):
        assert complaint in refused(capsys, lambda: make_report(run.config))
        assert results(tmp_path / "out").items() >= before.items()
        paths.fine.unlink()
        assert complaint in refused(capsys, lambda: compute_effects(run))
    compute_effects(run)
    assert results(tmp_path / "out").items() >= before.items()
    make_report(run.config)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Let another process write in the folder, and kill it at the end."""
    code = "import sys, time; from pathlib import Path; from CEM_Demo.files import sole_writer"
    code += "\nwith sole_writer(Path(sys.argv[1])): print(flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_models_of_a_run_can_be_computed_at_once(tmp_path: Path, settings: dict[str, Any], output: Path) -> None:
    models = ["Tiny", "Tiny@Base"]
    both = tiny_run(tmp_path, settings, output, Modellist=models)
    compute_effects(both)
    make_report(both.config)
    expected = results(output)
    runs = [tiny_run(tmp_path, settings, output, Modellist=[model], load_previous=0) for model in models]
    for _ in range(5):
        shutil.rmtree(output)
        together([lambda run=run: compute_effects(run) for run in runs])  # type: ignore[misc]
        together([lambda: make_report(both.config)])
        assert results(output) == expected


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    run = tiny_run(tmp_path, settings, tmp_path / "out")
    assert ".lock cannot be locked (No locks available)" in refused(capsys, lambda: compute_effects(run))
    assert not (tmp_path / "out").exists()
