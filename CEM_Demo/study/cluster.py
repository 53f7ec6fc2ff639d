"""Hand the jobs of a study to a cluster, through submitit: arrays of chunks that can be stopped and go on."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError, brief
from CEM_Demo.study.jobs import Job, is_done, study_folder
from CEM_Demo.study.worker import Outcome, make_worker

CLUSTERS = ("slurm", "local", "debug")
SLURM = "--slurm-"
# A chunk is put back into the queue this often after its time ran out; preemptions do not count.
MOST_TIMEOUTS = 1000
LEAST_MINUTES = 60


@dataclass(frozen=True)
class Chunk:
    """Jobs that one task of a cluster does one after the other.

    A chunk that is stopped is put back into the queue as it is: what is done is on disk.
    """

    config: Config
    threads: int
    jobs: tuple[Job, ...]

    def __call__(self) -> list[Outcome]:
        """Do the jobs that are left, and print a line for each."""
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
        do, outcomes = make_worker(self.config, self.threads), []
        for job in self.jobs:
            outcome = Outcome(job) if is_done(self.config, job) else do(job)
            print(f"{job}: {outcome.line or f'done in {outcome.seconds:.1f} s'}", flush=True)
            outcomes.append(outcome)
        return outcomes

    def checkpoint(self) -> Any:
        """Say what is put back into the queue, as submitit asks."""
        return import_submitit().helpers.DelayedSubmission(self)


def import_submitit() -> Any:
    """Import submitit, which is optional.

    Raises:
        InputError: it is not installed.
    """
    try:
        import submitit
    except ImportError as error:
        raise InputError('--cluster needs submitit; run pip install "submitit>=1.5,<2", or use --shard i/n') from error
    return submitit


def chunk_jobs(jobs: Sequence[Job], seconds: Mapping[Job, float], least_seconds: float) -> list[list[Job]]:
    """Cut a list of jobs into chunks that last at least so long; if nothing is expected of a job, it counts as none."""
    chunks: list[list[Job]] = [[]]
    lasting = 0.0
    for job in jobs:
        if chunks[-1] and lasting >= least_seconds:
            chunks.append([])
            lasting = 0.0
        chunks[-1].append(job)
        lasting += seconds.get(job, 0.0)
    if len(chunks) > 1 and lasting < least_seconds:
        rest = chunks.pop()
        chunks[-1] += rest
    return [chunk for chunk in chunks if chunk]


def split_slurm_options(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Take the options for SLURM out of a command line: ``--slurm-partition=gpu`` becomes partition, gpu."""
    options: dict[str, Any] = {}
    for word in words:
        if word.startswith(SLURM):
            name, _, value = word.removeprefix(SLURM).partition("=")
            options[name.replace("-", "_")] = int(value) if value.isdecimal() else value
    return [word for word in words if not word.startswith(SLURM)], options


def submit(cluster: str, chunks: Sequence[Chunk], minutes: float, options: Mapping[str, Any]) -> list[Any]:
    """Submit chunks as one array, and give submitit's jobs.

    Args:
        cluster: one of ``CLUSTERS``; ``local`` starts a process for each chunk here, ``debug`` uses this process.
        chunks: at least one.
        minutes: that a chunk may take before it is stopped and put back into the queue; ``--slurm-time`` goes before.
        options: for SLURM; those that submitit does not know become lines of the batch script as they are.

    Raises:
        InputError: submitit or SLURM is missing, or refuses an option.
    """
    submitit = import_submitit()
    parameters, logs = _parameters(submitit, options), log_folder(chunks[0].config) / "%j"
    try:
        executor = submitit.AutoExecutor(logs, cluster, slurm_max_num_timeout=MOST_TIMEOUTS)
        executor.update_parameters(
            name=f"CEM-{chunks[0].config.prefix}",
            timeout_min=max(LEAST_MINUTES, math.ceil(minutes)),
            cpus_per_task=chunks[0].threads,
            gpus_per_node=torch.cuda.device_count() if cluster == "local" else None,
            **parameters,
        )
        return executor.submit_array(chunks)
    except (RuntimeError, OSError, ValueError, TypeError, NameError, AssertionError) as error:
        raise InputError(f"--cluster {cluster}: {brief(error)}") from error


def _parameters(submitit: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Prefix what submitit knows as it asks, and put the rest into its own place."""
    for name, value in options.items():
        if not name or value == "":
            raise InputError(f"{SLURM}{name}: give a value, as in {SLURM}partition=gpu")
    if not isinstance(options.get("time", 0), int):
        raise InputError(f"{SLURM}time={options['time']}: give whole minutes")
    known = submitit.SlurmExecutor._valid_parameters()
    found = {f"slurm_{name}": value for name, value in options.items() if name in known}
    others = {name.replace("_", "-"): value for name, value in options.items() if name not in known}
    return {**found, "slurm_additional_parameters": others} if others else found


def log_folder(config: Config) -> Path:
    """Where each task of a cluster prints to, in a folder of its number."""
    return study_folder(config) / "logs"
