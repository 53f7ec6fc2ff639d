"""Many workers on one machine: a process each, which gets a job whenever it is free."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from CEM_Demo.config.schema import Config
from CEM_Demo.study.jobs import Job
from CEM_Demo.study.worker import Outcome, failed, make_worker

# A process that forks from one with threads of its own, or with a GPU, may not work.
START_METHOD = "spawn"
# A job that killed this many workers would kill more.
MOST_DEATHS = 3
SECONDS_BETWEEN_TICKS = 1.0
SECONDS_TO_LEAVE = 1.0  # what an idle process takes to see that no more jobs come
SECONDS_TO_SAVE = 10.0  # what a busy one may take to end

log = logging.getLogger(__name__)


@dataclass
class _Worker:
    """A worker's process, the way to it, and the job that it does."""

    config: Config
    process: BaseProcess
    connection: Connection
    job: Job

    def do(self, job: Job) -> None:
        self.job = job
        with suppress(OSError):  # of one that just died, which is seen when it should answer
            self.connection.send(job)

    def answer(self) -> Outcome | str | None:
        """Give what it says: an outcome, or a warning; None if it died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def end(self) -> None:
        self.connection.close()
        self.process.join(SECONDS_TO_LEAVE)
        self.process.terminate()
        self.process.join(SECONDS_TO_SAVE)
        self.process.kill()
        self.process.join()


def work_through(
    places: Sequence[Config],
    threads: int,
    jobs: Sequence[Job],
    report: Callable[[Outcome], None],
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Do jobs in processes, and those of a process that dies in another one.

    Args:
        places: the config of the study for each process; they differ in their device.
        threads: of each process.
        jobs: to be done; one after the other, with those of a model together.
        report: is given the outcome of each job when it is known.
        tick: is called about once a second.
    """
    waiting, deaths = list(jobs), Counter[Job]()
    idle, busy = list(places), dict[Connection, _Worker]()
    try:
        while waiting or busy:
            while waiting and idle:
                worker = _hire(idle.pop(0), threads, _choose(waiting, None, busy.values()))
                busy[worker.connection] = worker
            for connection in wait(list(busy), SECONDS_BETWEEN_TICKS):
                worker = busy[connection]  # type: ignore[index]
                answer = worker.answer()
                if isinstance(answer, str):
                    log.warning("%s: %s", worker.job, answer)
                    continue
                outcome = answer or _after_death(worker, deaths)
                if outcome:
                    report(outcome)
                else:
                    waiting.append(worker.job)
                if answer and waiting:
                    worker.do(_choose(waiting, worker.job.model, busy.values()))
                else:
                    worker.end()
                    idle.append(busy.pop(worker.connection).config)
            tick()
    finally:
        for worker in busy.values():
            worker.end()


def _choose(waiting: list[Job], loaded: str | None, others: Iterable[_Worker]) -> Job:
    """Take the job that is best done next: of the model that is loaded, or of one that nobody has, or of any."""
    taken = {worker.job.model for worker in others}
    ranks = {model: 1 if model not in taken else 2 for model in {job.model for job in waiting}} | {loaded: 0}
    return waiting.pop(min(range(len(waiting)), key=lambda number: ranks[waiting[number].model]))


def _after_death(worker: _Worker, deaths: Counter[Job]) -> Outcome | None:
    """Count the deaths that a job has seen; give its outcome if they are too many."""
    worker.process.join(SECONDS_TO_SAVE)
    deaths[worker.job] += 1
    code = worker.process.exitcode or 0
    reason = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    if deaths[worker.job] < MOST_DEATHS:
        log.warning("%s: its process was ended %s; another one goes on", worker.job, reason)
        return None
    hint = "; the memory may be too small for so many workers" if code == -signal.SIGKILL else ""
    return failed(worker.config, worker.job, f"its process was ended {MOST_DEATHS} times, at last {reason}{hint}")


def _hire(config: Config, threads: int, job: Job) -> _Worker:
    """Start a process that does jobs, the first at once."""
    context: Any = multiprocessing.get_context(START_METHOD)
    connection, its_end = context.Pipe()
    process = context.Process(target=_serve, args=(its_end, config, threads))  # type: ignore[attr-defined]
    process.start()
    its_end.close()
    worker = _Worker(config, process, connection, job)
    worker.do(job)
    return worker


def _serve(connection: Connection, config: Config, threads: int) -> None:
    """Do the jobs that come, until no more come."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was measured is saved
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _send_warnings(connection)
    do = make_worker(config, threads)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            connection.send(do(connection.recv()))


def _end_with_parent() -> None:
    """End this process when its parent has died, for another study may be started in its place."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


class _Sender(logging.Handler):
    """Sends what is logged to the parent."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(logging.WARNING)
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        self._connection.send(record.getMessage())


def _send_warnings(connection: Connection) -> None:
    logging.getLogger("CEM_Demo").addHandler(_Sender(connection))
