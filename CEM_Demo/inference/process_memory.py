"""Measure how much of the machine's memory this process holds, and how much is left."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

PROCESS = Path("/proc/self/status")
MACHINE = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup/memory.max")


def resident_bytes() -> int:
    """Give what the process holds now, or at least its peak so far; 0 if the system says neither."""
    return _kibibytes(PROCESS, "VmRSS") or most_resident_bytes()


def most_resident_bytes() -> int:
    """Give the most that the process has held so far; 0 if the system does not say."""
    # On Linux, the peak of getrusage includes that of the program that started this one.
    return _kibibytes(PROCESS, "VmHWM") or _peak_by_usage()


def free_bytes() -> int | None:
    """Give what the process could still take of the machine and its container; None if the system does not say."""
    machine = _kibibytes(MACHINE, "MemAvailable")
    if not machine:
        return None
    try:
        limit = CONTAINER.read_text().strip()
    except OSError:
        return machine
    return min(machine, max(0, int(limit) - resident_bytes())) if limit.isdigit() else machine


def _kibibytes(file: Path, name: str) -> int:
    """Read the value of a line such as ``VmRSS:  1024 kB``, in bytes; 0 if there is no such line."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _peak_by_usage() -> int:
    if os.name != "posix":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
