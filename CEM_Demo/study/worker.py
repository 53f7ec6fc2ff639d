"""Does the jobs of a study one after the other, and keeps what they share."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

from CEM_Demo.command_line import one_line
from CEM_Demo.config.schema import Config
from CEM_Demo.device import cpu_threads, pick_device
from CEM_Demo.errors import InputError, brief
from CEM_Demo.files import HeldByAnother
from CEM_Demo.networks.loading import Model
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import Run, find_model, pose_image, prepare_shared, read_image_of
from CEM_Demo.study.jobs import Job, forget_failure, record_failure

# A process that only looks whether a lock is free holds it for an instant.
LOOKS, SECONDS_BETWEEN_LOOKS = 3, 0.3


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        job: the job.
        line: why it was not finished; empty if it was.
        held: whether another process holds it, which is no failure.
        seconds: that it took.
    """

    job: Job
    line: str = ""
    held: bool = False
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether the job was not finished for a reason of its own."""
        return bool(self.line) and not self.held


def make_worker(config: Config, threads: int) -> Callable[[Job], Outcome]:
    """Give the function that does a job.

    What all jobs share is loaded once, and so is the network of jobs of one model that follow each other.

    Args:
        config: of the study; its ``device`` is the worker's.
        threads: that the CPU computes with; the results record them.
    """
    find_shared = cache(lambda: (prepare_shared(config), pick_device(config.device)))
    last: dict[str, Model] = {}

    def run_of(job: Job) -> Run:
        if job.model not in last:
            last.clear()
            found = find_model(config, job.model)
            last[job.model] = replace(found, load=cache(found.load))
        shared, device = find_shared()
        posed = pose_image(config, job.image, read_image_of(config, job.image), shared)
        return Run(config, device, shared.bank, [posed], dict(last), shared.further)

    def do(job: Job) -> Outcome:
        began = time.monotonic()
        with cpu_threads(threads):
            outcome = _finished(config, job, lambda: compute_effects(run_of(job), progress=False))
        return replace(outcome, seconds=time.monotonic() - began)

    return do


def _finished(config: Config, job: Job, work: Callable[[], None]) -> Outcome:
    """Do the work of a job; a failure is written down, and does not go further."""
    for look in range(LOOKS):
        if look:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        try:
            work()
            forget_failure(config, job)
            return Outcome(job)
        except HeldByAnother as error:
            held = Outcome(job, one_line(str(error)), held=True)
        except InputError as error:
            return failed(config, job, str(error))
        except Exception as error:  # the other jobs go on, whatever is wrong with this one
            return failed(config, job, f"{type(error).__name__}: {brief(error)}", traceback.format_exc())
    return held


def failed(config: Config, job: Job, reason: str, details: str = "") -> Outcome:
    """Write down why a job failed, if there is room to, and give its outcome."""
    line = one_line(reason)
    with suppress(InputError):
        record_failure(config, job, line, details)
    return Outcome(job, line)
