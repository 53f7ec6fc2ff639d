"""Killed, interrupted, out of space or raced against: nothing is lost, nothing half-written, the bytes are the same."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from CEM_Demo import effects
from CEM_Demo.effects import compute_effects
from CEM_Demo.preparation import Run, inference_for, load_for_run, prepare
from CEM_Demo.report import make_report
from conftest import make_config
from killing import assert_whole, contents, finish, killed_after, killed_at

KILLS_PER_ENGINE = 100
IN_A_ROW = 5


@pytest.fixture
def output() -> Iterator[Path]:
    """A folder in memory where there is one: a killed process leaves the same there, and syncing takes no time."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder) / "out"


def tiny_run(tmp_path: Path, settings: dict[str, Any], output: Path, **changes: Any) -> Run:
    changes = {"load_previous": 1, "output_dir": str(output), **changes}
    return prepare(make_config(tmp_path, settings, **changes))


@pytest.fixture(params=["dense", "incremental"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(effects, "SECONDS_BETWEEN_SAVES", 0.0)
    return request.param


def share_inference(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flatten the network once instead of once a child."""
    inference = inference_for(run, load_for_run(run, "Tiny"), run.subjects[0])
    monkeypatch.setattr(effects, "inference_for", lambda *_: inference)


def test_runs_killed_at_random_end_with_the_bytes_of_an_uninterrupted_one(
    tmp_path: Path, settings: dict[str, Any], output: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path, settings, output, batch_size=4, inference=engine)
    share_inference(run, monkeypatch)

    def work() -> None:
        compute_effects(run)
        make_report(run.config)

    duration = finish(work)
    expected = contents(output)
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
        finish(work)
        assert contents(output) == expected


def test_runs_killed_at_any_change_of_the_disk_end_with_the_same_bytes(
    tmp_path: Path, settings: dict[str, Any], output: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path, settings, output, batch_size=30, inference=engine)
    share_inference(run, monkeypatch)
    finish(lambda: compute_effects(run))
    expected = contents(output)
    number = 0
    while True:
        shutil.rmtree(output)
        number += 1
        if not killed_at(number, lambda: compute_effects(run)):
            break
        assert_whole(output)
        finish(lambda: compute_effects(run))
        assert contents(output) == expected, number
    assert number > 60


def test_reports_killed_at_any_change_of_the_disk_can_be_made_again(
    tmp_path: Path, settings: dict[str, Any], output: Path
) -> None:
    run = tiny_run(tmp_path, settings, output)
    finish(lambda: compute_effects(run))
    finish(lambda: make_report(run.config))
    expected = contents(output)
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
    finish(lambda: make_report(run.config))
    assert contents(output) == expected
    assert number > 25


def test_a_new_run_killed_while_it_takes_the_place_of_an_old_one_leaves_nothing_of_it(
    tmp_path: Path, settings: dict[str, Any], output: Path
) -> None:
    old = tiny_run(tmp_path, settings, output, coarse_num=1, fine_num=2)
    new = tiny_run(tmp_path, settings, output, load_previous=0, batch_size=30)
    finish(lambda: compute_effects(new))
    expected = contents(output)
    finish(lambda: make_report(new.config))
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
        finish(lambda: compute_effects(new))
        assert contents(output) == expected, number
    shutil.rmtree(output)
    compute_effects(replace(new, config=new.config.model_copy(update={"load_previous": 1})))
    assert contents(output) == expected
