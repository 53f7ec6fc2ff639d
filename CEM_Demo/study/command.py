"""Plan, run and look at a study, as its command line asks."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError, brief
from CEM_Demo.results.paths import check_nothing_is_shared
from CEM_Demo.study.cluster import Chunk, chunk_jobs, import_submitit, log_folder, submit
from CEM_Demo.study.jobs import FAILED, LEFT, STATES, Job, failure_path, is_done, jobs_of, shard_of, state_of
from CEM_Demo.study.manifest import record_study, threads_of
from CEM_Demo.study.places import locks_of, places_of
from CEM_Demo.study.plan import describe, expect
from CEM_Demo.study.pool import work_through
from CEM_Demo.study.worker import Outcome
from CEM_Demo.wording import first_of

# A chunk that takes this much longer than was expected of it is stopped and put back into the queue.
PATIENCE = 4
MINUTES_HERE = 7 * 24 * 60  # what a chunk may take on this machine


def plan(config: Config, arguments: argparse.Namespace) -> None:
    """Say what a study takes, without doing it."""
    jobs = shard_of(jobs_of(config), arguments.shard)
    left = [job for job in jobs if not is_done(config, job)]
    threads = threads_of(config, arguments.threads)
    print(describe(config, jobs, left, expect(config, left, threads)))
    places = places_of(config, arguments.workers, threads)
    print(f"{len(places)} workers of {_threads(threads)} on {', '.join(sorted({place.device for place in places}))}")


def status(config: Config, arguments: argparse.Namespace) -> None:
    """Say what of a study is done, running, failed and left; nothing is loaded, so it needs no GPU and no weights."""
    found = {job: state_of(config, job) for job in shard_of(jobs_of(config), arguments.shard)}
    counts = Counter(state for state, _ in found.values())
    print(f"{len(found)} jobs: {', '.join(f'{counts[state]} {state}' for state in STATES)}")
    for state in STATES[1:]:
        for job, (_, line) in ((job, each) for job, each in found.items() if each[0] == state):
            if state != LEFT:
                print(f"{state}: {job}{f': {line}' if line else ''}")
    if counts[LEFT]:
        print(f"left: {first_of([str(job) for job, (state, _) in found.items() if state == LEFT], 5)}")
    if counts[FAILED]:
        print("run the study again to try what failed once more")


def run(config: Config, arguments: argparse.Namespace) -> None:
    """Do what is left of a study; if a job fails, the others go on, and the exit code is 1.

    Raises:
        InputError: an option or the config does not suit a study, or the study began otherwise.
    """
    check_nothing_is_shared(config)
    if not config.load_previous:
        raise InputError(
            "load_previous: a study goes on with what is there, so set it to 1; to start anew, give another prefix"
        )
    jobs = shard_of(jobs_of(config), arguments.shard)
    threads = threads_of(config, arguments.threads)
    # Where SLURM is asked, the devices of other machines count.
    places = [] if arguments.cluster == "slurm" else places_of(config, arguments.workers, threads)
    if arguments.cluster:
        import_submitit()
    record_study(config, threads)
    if warning := locks_of(log_folder(config)):
        print(f"note: {warning}")
    left = [job for job in jobs if not is_done(config, job)]
    print(f"{len(jobs)} jobs, {len(jobs) - len(left)} of them done")
    if not left:
        return
    if arguments.cluster:
        outcomes = _run_on_cluster(config, arguments, threads, left, places)
    else:
        outcomes = _run_here(threads, left, places[: len(left)])
    _finish(config, left, outcomes)


def _run_here(threads: int, left: Sequence[Job], places: Sequence[Config]) -> list[Outcome]:
    print(f"{len(places)} workers of {_threads(threads)}")
    outcomes: list[Outcome] = []
    # Jobs take long and come in at any time, so the mean of all says best how long the rest takes.
    with tqdm(total=len(left), unit="job", smoothing=0) as bar:

        def report(outcome: Outcome) -> None:
            outcomes.append(outcome)
            if outcome.line:
                bar.write(f"{'skipped' if outcome.held else 'failed'}: {outcome.job}: {outcome.line}")
            bar.update()

        work_through(places, threads, left, report, bar.refresh)
    return outcomes


def _run_on_cluster(
    config: Config, arguments: argparse.Namespace, threads: int, left: Sequence[Job], places: Sequence[Config]
) -> list[Outcome]:
    """Submit what is left; wait for it unless SLURM keeps it."""
    minutes: float = MINUTES_HERE
    if arguments.cluster == "slurm":
        chunks, minutes = _chunks_that_last(config, threads, left, arguments.minutes_per_job)
    else:
        # This machine starts all chunks at once, so there is one for each worker.
        parts = [left[number :: len(places)] for number in range(min(len(places), len(left)))]
        chunks = [Chunk(place, threads, tuple(part)) for place, part in zip(places, parts, strict=False)]
    submitted = submit(arguments.cluster, chunks, minutes, arguments.slurm)
    print(f"{len(left)} jobs in {len(chunks)} chunks; each prints into a folder of {log_folder(config)}")
    if arguments.cluster == "slurm":
        print(f"submitted as {first_of([each.job_id for each in submitted])}; status says how far they are")
        return []
    return [outcome for each, chunk in zip(submitted, chunks, strict=True) for outcome in _result(each, chunk)]


def _chunks_that_last(config: Config, threads: int, left: Sequence[Job], minutes: float) -> tuple[list[Chunk], float]:
    """Cut what is left into chunks of at least so many minutes; give them, and the minutes that each may take."""
    expected = expect(config, left, threads) if minutes else {}
    seconds = {job: each.seconds for job, each in expected.items()}
    parts = chunk_jobs(left, seconds, 60 * minutes)
    longest = max(sum(seconds.get(job, 0.0) for job in part) for part in parts)
    return [Chunk(config, threads, tuple(part)) for part in parts], PATIENCE * longest / 60


def _result(submitted: Any, chunk: Chunk) -> list[Outcome]:
    """Wait for a chunk; if it died, nobody knows more than its log."""
    try:
        return list(submitted.result())
    except Exception as error:
        line = f"its process ended: {brief(error)}; see {submitted.paths.stderr}"
        return [Outcome(job, line) for job in chunk.jobs if not is_done(chunk.config, job)]


def _finish(config: Config, left: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
    """List what was not finished; exit with 1 if anything failed."""
    if not outcomes:
        return
    held = [outcome for outcome in outcomes if outcome.held]
    failures = [outcome for outcome in outcomes if outcome.failed]
    print(f"{len(left) - len(held) - len(failures)} done, {len(held)} held by other processes, {len(failures)} failed")
    for outcome in failures:
        print(f"failed: {outcome.job}: {outcome.line}")
    if failures:
        print(f"more on each is in {failure_path(config, failures[0].job).parents[1]}")
        sys.exit(1)


def _threads(count: int) -> str:
    return f"{count} thread{'s' * (count > 1)}"
