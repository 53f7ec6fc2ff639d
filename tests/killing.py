"""Kill work at any moment: forked children die by SIGKILL, from outside or at a boundary of a write."""

from __future__ import annotations

import itertools
import os
import re
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from tqdm import tqdm

from CEM_Demo import files
from CEM_Demo.images import read_image
from CEM_Demo.results.mat_files import read_mat

Work = Callable[[], object]

# Functions that change a disk; a temporary file is written in halves, so that a process can die between them.
CALLS = ("mkdir", "open", "fsync", "chmod", "replace", "unlink")


def finish(work: Work) -> float:
    """Do the work in a child, which must succeed, and give the CPU seconds that it took."""
    child, log = _fork(work)
    _, status, usage = os.wait4(child, 0)
    _check(status, log)
    assert status == 0
    return usage.ru_utime + usage.ru_stime


def together(works: list[Work]) -> None:
    """Do several works at the same time, each in a child of its own; all must succeed."""
    for child, log in [_fork(work) for work in works]:
        assert not _was_killed(child, log)


def killed_after(seconds: float, work: Work) -> bool:
    """Do the work in a child and kill it after some CPU time, whatever else the machine does; False if it was done."""
    child, log = _fork(work)
    clock = (~child << 3) | 2  # the CPU clock of a process, as Linux numbers it
    while not _is_done(child) and time.clock_gettime(clock) < seconds:
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return _was_killed(child, log)


def killed_at(number: int, work: Work) -> bool:
    """Do the work in a child that kills itself before its ``number``-th change of the disk; False if it has fewer."""

    def mortal() -> None:
        count = itertools.count(1)
        _before_changes(lambda: os.kill(os.getpid(), signal.SIGKILL) if next(count) == number else None)
        work()

    return _was_killed(*_fork(mortal))


def results(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder, without the time and date that manifests and reports give."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    texts = (".json", ".html")
    return {name: _without_time(content) if name.endswith(texts) else content for name, content in found.items()}


def assert_whole(folder: Path) -> None:
    """Check that every file with a final name is complete."""
    for path in folder.rglob("*"):
        if path.suffix == ".mat":
            read_mat(path)
        elif path.suffix == ".png" and path.is_file():
            read_image(path)
        elif path.suffix in (".json", ".html"):
            assert path.read_text().endswith(("}\n", "</html>")), path


def _without_time(content: bytes) -> bytes:
    times = re.compile(rb'seconds":|Computed in|Report made on')
    return b"\n".join(line for line in content.splitlines() if not times.search(line))


def _fork(work: Work) -> tuple[int, IO[bytes]]:
    """Start a child that does the work; give it, and the file of all that it prints."""
    log = tempfile.TemporaryFile()  # noqa: SIM115
    child = os.fork()
    if child:
        return child, log
    status = 1
    try:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        torch.set_num_threads(1)  # a fork does not copy the parent's pool of threads
        tqdm.set_lock(threading.RLock())  # tqdm's own lock is shared by processes, and a killed one may hold it
        work()
        status = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _is_done(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _was_killed(child: int, log: IO[bytes]) -> bool:
    status = os.waitpid(child, 0)[1]
    _check(status, log)
    return status != 0


def _check(status: int, log: IO[bytes]) -> None:
    with log:
        log.seek(0)
        assert status in (0, signal.SIGKILL), log.read().decode()


def _before_changes(boundary: Callable[[], None]) -> None:
    """Call ``boundary`` before everything that changes the disk, for the rest of this process's life."""

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **options: Any) -> Any:
            boundary()
            return call(*arguments, **options)

        return wrapper

    def temporary_file(*arguments: Any, **options: Any) -> Any:
        file = tempfile.NamedTemporaryFile(*arguments, **options)  # noqa: SIM115
        write = file.write

        def in_halves(content: bytes) -> None:
            half = len(content) // 2
            write(content[:half])
            file.flush()
            boundary()
            write(content[half:])

        file.write = in_halves  # type: ignore[method-assign, assignment]
        return file

    for name in CALLS:
        setattr(os, name, guarded(getattr(os, name)))
    files.NamedTemporaryFile = temporary_file  # type: ignore[assignment, misc]
