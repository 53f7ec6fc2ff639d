"""Studies: however their jobs are shared out, killed and taken again, they end with the bytes of a serial run."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from CEM_Demo.command_line import read_config
from CEM_Demo.config.schema import Config
from CEM_Demo.device import cpu_threads
from CEM_Demo.errors import InputError
from CEM_Demo.files import sole_writer
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.run import ledger
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import Run, prepare
from CEM_Demo.study import __main__ as study
from CEM_Demo.study import places, pool, worker
from CEM_Demo.study.cluster import Chunk, chunk_jobs, split_slurm_options
from CEM_Demo.study.jobs import Job, failure_path, is_done, jobs_of, paths_of, read_failure, shard_of, state_of
from CEM_Demo.study.manifest import read_study_manifest, record_study, threads_of
from CEM_Demo.study.pool import work_through
from CEM_Demo.study.worker import Outcome, make_worker
from killing import assert_whole, killed_after, results
from study_of_tests import BOTH, forget, make_study, words_of
from test_crash_safety import mount, small_disk  # noqa: F401

Serial = tuple[Config, dict[str, bytes]]


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let workers be forks of this process, which has one thread: they start at once."""
    monkeypatch.setattr(pool, "START_METHOD", "fork")
    with cpu_threads(1):
        yield


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Serial:
    """A study, and what the calculation script makes of it."""
    config = make_study(tmp_path_factory.mktemp("study"))
    with cpu_threads(1):
        compute_effects(prepare(config), progress=False)
    expected = effects(config)
    forget(config)
    return config, expected


def effects(config: Config) -> dict[str, bytes]:
    return results(Path(config.output_dir) / "DN-CEM")


def pooled(config: Config, workers: int, jobs: list[Job] | None = None, tick: Any = lambda: None) -> list[Outcome]:
    outcomes: list[Outcome] = []
    work_through([config] * workers, 1, jobs_of(config) if jobs is None else jobs, outcomes.append, tick)
    return outcomes


# The same bytes ----------------------------------------------------------------------------------------------------


def test_workers_give_the_bytes_of_a_serial_run(serial: Serial) -> None:
    config, expected = serial
    for workers in (1, 3):
        forget(config)
        outcomes = pooled(config, workers)
        assert {outcome.job for outcome in outcomes} == set(jobs_of(config))
        assert not any(outcome.line for outcome in outcomes)
        assert effects(config) == expected


def test_shards_in_any_order_give_the_bytes_of_a_serial_run(serial: Serial) -> None:
    config, expected = serial
    forget(config)
    for word in ("3/3", "1/3", "2/3"):
        assert not any(outcome.line for outcome in map(make_worker(config, 1), shard_of(jobs_of(config), word)))
    assert effects(config) == expected


def test_the_command_line_runs_a_study_in_processes_of_its_own(
    tmp_path: Path, serial: Serial, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(pool, "START_METHOD", "spawn")
    config = make_study(tmp_path)
    assert run_study(monkeypatch, *words_of(tmp_path, "run", "--workers", "1")) == 0
    assert effects(config) == serial[1]
    assert "4 jobs, 0 of them done" in capsys.readouterr().out
    assert run_study(monkeypatch, *words_of(tmp_path, "run")) == 0
    assert "4 jobs, 4 of them done" in capsys.readouterr().out


def run_study(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["study", *words])
    try:
        return study.main()
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("kind", ["debug", "local"])
def test_submitit_gives_the_bytes_of_a_serial_run(
    kind: str, tmp_path: Path, serial: Serial, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    config = make_study(tmp_path)
    words = words_of(tmp_path, "run", "--workers", "1", "--cluster", kind, "--minutes-per-job", "0")
    assert run_study(monkeypatch, *words) == 0
    assert effects(config) == serial[1]
    if kind == "local":
        (log,) = Path(config.output_dir).rglob("logs/*/*_log.out")
        assert "Two on b.png: done in" in log.read_text()


# Kills -------------------------------------------------------------------------------------------------------------


def test_jobs_of_killed_workers_are_taken_again(serial: Serial, monkeypatch: pytest.MonkeyPatch) -> None:
    config, expected = serial
    monkeypatch.setattr(ledger, "SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr(pool, "SECONDS_BETWEEN_TICKS", 0.02)
    monkeypatch.setattr(pool, "MOST_DEATHS", 100)
    rng, kills = random.Random(0), 0

    def kill_one() -> None:
        nonlocal kills
        children = pool.multiprocessing.active_children()
        if children and kills < 10 and rng.random() < 0.2:
            os.kill(rng.choice(children).pid or 0, signal.SIGKILL)
            kills += 1

    for _ in range(2):
        forget(config)
        outcomes = pooled(config, 2, tick=kill_one)
        assert sorted(map(str, (outcome.job for outcome in outcomes))) == sorted(map(str, jobs_of(config)))
        assert effects(config) == expected
    assert kills


def test_a_job_that_kills_its_workers_is_given_up_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "compute_effects", of_one(lambda: os.kill(os.getpid(), signal.SIGKILL)))
    config = make_study(tmp_path, Imagelist=["a.png"])
    dead, done = sorted(pooled(config, 2), key=lambda outcome: not outcome.failed)
    assert dead.line.startswith("its process was ended 3 times, at last by SIGKILL")
    assert read_failure(config, dead.job) == dead.line
    assert state_of(config, dead.job) == ("failed", dead.line)
    assert not done.line and is_done(config, done.job)


def of_one(what: Callable[[], object]) -> Callable[..., None]:
    """Compute effects, but do something else for the model One."""

    def compute(run: Run, progress: bool) -> None:
        what() if "One" in run.models else compute_effects(run, progress)

    return compute


def test_a_study_killed_at_any_time_goes_on(serial: Serial, monkeypatch: pytest.MonkeyPatch) -> None:
    config, expected = serial
    monkeypatch.setattr(ledger, "SECONDS_BETWEEN_SAVES", 0.0)
    for seconds in (0.01, 0.1, 0.2):
        forget(config)
        killed_after(seconds, lambda: pooled(config, 2))
        wait_until_free(config)
        assert_whole(Path(config.output_dir))
        pooled(config, 2)
        assert effects(config) == expected


def wait_until_free(config: Config) -> None:
    """Wait for workers to notice that their study is gone."""
    for _ in range(200):
        if all(state_of(config, job)[0] != "running" for job in jobs_of(config)):
            return
        time.sleep(0.05)
    raise AssertionError("workers outlive their study")


# Failures ----------------------------------------------------------------------------------------------------------


def test_a_job_that_fails_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    config = make_study(tmp_path, Imagelist=["a.png"])
    failing, other = jobs_of(config)
    with monkeypatch.context() as patched:
        patched.setattr(worker, "compute_effects", of_one(lambda: 1 / 0))
        assert run_study(monkeypatch, *words_of(tmp_path, "run", "--workers", "1")) == 1
    line = "failed: One on a.png: ZeroDivisionError: division by zero"
    printed = capsys.readouterr().out
    assert line in printed and "1 done, 0 held by other processes, 1 failed" in printed
    assert "Traceback" in failure_path(config, failing).read_text()
    assert is_done(config, other)
    assert run_study(monkeypatch, *words_of(tmp_path, "status")) == 0
    printed = capsys.readouterr().out
    assert "2 jobs: 1 done, 0 running, 1 failed, 0 left" in printed and line in printed
    assert not make_worker(config, 1)(failing).line
    assert state_of(config, failing) == ("done", "")
    assert not failure_path(config, failing).exists()


def test_a_missing_image_or_model_costs_only_its_jobs(tmp_path: Path) -> None:
    models = [*BOTH[:1], {"code": "nets.py:Absent"}]
    boxes = [{"left": 8, "top": 8, "width": 8, "height": 8}]
    config = make_study(tmp_path, Modellist=models, Imagelist=["a.png", "c.png"], rois=boxes, ROI_size=None)
    manifest = record_study(config, 1)
    assert "no class or function Absent" in manifest.models["Absent"].missing
    assert "no such image" in manifest.images["c.png"].missing
    lines = {str(outcome.job): outcome.line for outcome in map(make_worker(config, 1), jobs_of(config))}
    assert [job for job, line in lines.items() if not line] == ["One on a.png"]
    assert "c.png: no such image" in lines["One on c.png"]


def test_a_job_that_another_process_holds_is_skipped(serial: Serial) -> None:
    config, expected = serial
    forget(config)
    job = jobs_of(config)[0]
    with sole_writer(paths_of(config, job)[1].pair_folder):
        assert state_of(config, job) == ("running", "")
        outcomes = {outcome.job: outcome for outcome in pooled(config, 2)}
        assert outcomes[job].held and not outcomes[job].failed
        assert sum(bool(outcome.line) for outcome in outcomes.values()) == 1
    assert state_of(config, job) == ("left", "")
    pooled(config, 1, [job])
    assert effects(config) == expected


def test_a_full_disk_costs_no_results(
    serial: Serial,
    small_disk: Path,  # noqa: F811
) -> None:
    config, expected = serial
    full = config.model_copy(update={"output_dir": str(small_disk / "out")})
    assert mount("-o", "remount,size=48k", str(small_disk))
    outcomes = pooled(full, 2)
    assert any("No space left on device" in outcome.line for outcome in outcomes)
    assert_whole(small_disk)
    assert mount("-o", "remount,size=1m", str(small_disk))
    assert [outcome.line for outcome in pooled(full, 2) if outcome.line] == []
    assert effects(full) == expected


# What a study used -------------------------------------------------------------------------------------------------


def test_the_manifest_says_what_was_used(serial: Serial) -> None:
    config, _ = serial
    forget(config)
    record_study(config, 1)
    pooled(config, 1)
    manifest = read_study_manifest(config)
    assert manifest is not None
    for job in jobs_of(config):
        image, model = manifest.images[job.image], manifest.models[job.model]
        assert image.rois == [str(roi) for roi in config.rois_of(job.image)] and len(image.rois) == 2
        for paths in paths_of(config, job):
            of_pair = read_manifest(paths)
            assert of_pair is not None
            assert of_pair.provenance["image_sha256"] == image.sha256
            assert of_pair.provenance.items() >= {**model.provenance, **manifest.shared}.items()
            assert of_pair.threads == manifest.threads == 1


def test_a_study_may_grow_but_not_change(tmp_path: Path) -> None:
    config = make_study(tmp_path, Modellist=BOTH[:1], Imagelist=["a.png"])
    record_study(config, 2)
    assert threads_of(config, None) == 2
    with pytest.raises(InputError, match="--threads 1: this study began with 2"):
        threads_of(config, 1)
    record_study(make_study(tmp_path), 2)
    with pytest.raises(InputError, match="this study began otherwise: tol was 0.01, is now 0.02"):
        record_study(make_study(tmp_path, tol=0.02), 2)
    shutil.copy(tmp_path / "images" / "b.png", tmp_path / "images" / "a.png")
    with pytest.raises(InputError, match="a.png: sha256 was"):
        record_study(make_study_again(tmp_path), 2)


def make_study_again(folder: Path) -> Config:
    """Read the config once more, with the images as they are now."""
    return read_config(folder / "config.yml")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--set", "load_previous=0"], "load_previous: a study goes on with what is there"),
        (["--workers", "0"], "--workers 0: give a number of processes"),
        (["--workers", "two"], "--workers two"),
        (["--threads", "0"], "--threads 0: give 1 or more"),
        (["--shard", "0/3"], "--shard 0/3: write i/n, from 1/n to n/n"),
        (["--shard", "2"], "--shard 2"),
    ],
)
def test_mistakes_end_with_one_line(
    words: list[str],
    complaint: str,
    serial: Serial,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    folder = Path(serial[0].output_dir).parent
    assert run_study(monkeypatch, *words_of(folder, "run", *words)) == 2
    assert complaint in capsys.readouterr().err


def test_a_study_is_planned_before_it_runs(serial: Serial, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    config, _ = serial
    forget(config)
    assert run_study(monkeypatch, *words_of(Path(config.output_dir).parent, "plan", "--workers", "3")) == 0
    printed = capsys.readouterr().out
    assert "4 jobs: 2 models on 2 images; 4 are left" in printed
    assert re.search(r"One: 2 jobs, about \d+ passes, \S+ s of one worker, at most \d+ MiB on disk", printed)
    assert "3 workers of 1 thread on cpu" in printed
    assert not Path(config.output_dir).exists()


# Clusters ----------------------------------------------------------------------------------------------------------


def test_chunks_last_as_long_as_they_should() -> None:
    jobs = [Job("Net", str(number)) for number in range(7)]
    seconds = dict(zip(jobs, (10, 10, 30, 5, 5, 30, 10), strict=True))
    assert [len(chunk) for chunk in chunk_jobs(jobs, seconds, 20)] == [2, 1, 4]
    assert [len(chunk) for chunk in chunk_jobs(jobs, seconds, 0)] == [1] * 7
    assert chunk_jobs(jobs, seconds, 1e9) == [jobs]


def test_shards_share_all_jobs() -> None:
    jobs = [Job("Net", str(number)) for number in range(7)]
    parts = [shard_of(jobs, f"{number}/3") for number in (1, 2, 3)]
    assert sorted(sum(parts, []), key=str) == jobs and [len(part) for part in parts] == [3, 2, 2]


def test_slurm_gets_an_array_with_the_options_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip("submitit")
    config = make_study(tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("sbatch", 'cp "$1" $SENT; echo Submitted batch job 12'), ("srun", "")):
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("SENT", str(tmp_path / "sent.sh"))
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    words = ["--cluster", "slurm", "--minutes-per-job", "0", "--slurm-partition=gpu", "--slurm-licenses=a:1"]
    assert run_study(monkeypatch, *words_of(tmp_path, "run", *words)) == 0
    script = (tmp_path / "sent.sh").read_text()
    for line in ("--array=0-3", "--partition=gpu", "--licenses=a:1", "--cpus-per-task=1", "--signal=USR2"):
        assert f"#SBATCH {line}" in script
    assert "submitted as 12_0, 12_1, 12_2 and 1 more" in capsys.readouterr().out
    assert not any(is_done(config, job) for job in jobs_of(config))


def test_a_chunk_that_is_stopped_is_put_back_as_it_is(serial: Serial) -> None:
    pytest.importorskip("submitit")
    config, expected = serial
    forget(config)
    chunk = Chunk(config, 1, tuple(jobs_of(config)))
    replace(chunk, jobs=chunk.jobs[:2])()
    outcomes = chunk.checkpoint().result()
    assert [outcome.seconds == 0 for outcome in outcomes] == [True, True, False, False]
    assert effects(config) == expected


def test_without_submitit_or_slurm_the_user_is_told(
    serial: Serial, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = Path(serial[0].output_dir).parent
    forget(serial[0])
    words = words_of(folder, "run", "--cluster", "slurm", "--minutes-per-job", "0")
    monkeypatch.setenv("PATH", str(folder))
    assert run_study(monkeypatch, *words, "--slurm-partition") == 2
    assert "--slurm-partition: give a value" in capsys.readouterr().err
    assert run_study(monkeypatch, *words) == 2
    assert "--cluster slurm: " in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert run_study(monkeypatch, *words) == 2
    assert "--cluster needs submitit; run pip install" in capsys.readouterr().err


def test_options_for_slurm_are_taken_out() -> None:
    words, options = split_slurm_options(["run", "--slurm-gpus-per-node=1", "--config", "x", "--slurm-mem=8GB"])
    assert (words, options) == (["run", "--config", "x"], {"gpus_per_node": 1, "mem": "8GB"})


# Machines ----------------------------------------------------------------------------------------------------------


def test_workers_share_the_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_study(tmp_path)
    monkeypatch.setattr(places, "available_cores", lambda: 8)
    monkeypatch.setattr(places, "free_bytes", lambda: 100 << 30)
    assert [place.device for place in places.places_of(config, "auto", 2)] == ["cpu"] * 4
    monkeypatch.setattr(places, "free_bytes", lambda: 5 << 30)
    assert len(places.places_of(config, "auto", 1)) == 2
    monkeypatch.setattr(places, "_devices", lambda _: ["cuda:0", "cuda:1"])
    assert [place.device for place in places.places_of(config, "auto", 1)] == ["cuda:0", "cuda:1"]
    assert [place.device for place in places.places_of(config, "3", 1)] == ["cuda:0", "cuda:1", "cuda:0"]


@pytest.mark.parametrize(
    ("mounted", "said"),
    [
        ("nfs rw,vers=3,nolock", "nfs with nolock"),
        ("nfs4 rw,local_lock=flock", "nfs4 with local_lock=flock"),
        ("nfs4 rw,local_lock=none", ""),
        ("beegfs rw", "beegfs"),
        ("ext4 rw", ""),
    ],
)
def test_folders_whose_locks_others_do_not_see_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: str, said: str
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/data {tmp_path} {mounted} 0 0\n")
    monkeypatch.setattr(places, "MOUNTS", mounts)
    line = places.locks_of(tmp_path / "not" / "yet")
    assert (f"{tmp_path} is mounted as {said}, where" in line) if said else not line
