"""What this process holds of the machine's memory, and what is left of it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

PROCESS = Path("/proc/self/status")
MACHINE = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup/memory.max")


def resident_bytes() -> int:
    """What the process holds now; what it held at most, where the system says no more; 0, where it says nothing."""
    return _kibibytes(PROCESS, "VmRSS") or most_resident_bytes()


def most_resident_bytes() -> int:
    """What the process has held at most so far; 0 where the system does not say."""
    # Not getrusage alone: on Linux its peak is also that of the program which this one was started by.
    return _kibibytes(PROCESS, "VmHWM") or _peak_by_usage()


def free_bytes() -> int | None:
    """What the process could still take, of the machine and of its container; None where the system does not say."""
    machine = _kibibytes(MACHINE, "MemAvailable")
    if not machine:
        return None
    try:
        limit = CONTAINER.read_text().strip()
    except OSError:
        return machine
    return min(machine, max(0, int(limit) - resident_bytes())) if limit.isdigit() else machine


def _kibibytes(file: Path, name: str) -> int:
    """The value of a line such as ``VmRSS:  1024 kB``, in bytes; 0 where there is none."""
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
