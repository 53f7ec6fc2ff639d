"""Where workers compute: the GPUs and cores of this machine, and whether the locks on a folder hold elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import torch

from CEM_Demo.config.schema import Config
from CEM_Demo.device import pick_device
from CEM_Demo.errors import InputError
from CEM_Demo.inference.process_memory import free_bytes

# What a worker may take of the machine's memory; no more than fit are started if the user does not say.
BYTES_PER_WORKER = 2 << 30

MOUNTS = Path("/proc/self/mounts")
# Options with which, or kinds of file systems on which, a lock holds among the processes of one machine only.
LOCAL_LOCKS = {
    "nfs": {"nolock", "local_lock=all", "local_lock=flock"},
    "nfs4": {"local_lock=all", "local_lock=flock"},
    "lustre": {"localflock"},
    "cifs": {"nobrl"},
    "smb3": {"nobrl"},
}
LOCAL_KINDS = {"beegfs", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "9p"}


def available_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def places_of(config: Config, word: str, threads: int) -> list[Config]:
    """Give the config of each worker that ``--workers`` asks for; they differ in their device.

    Of a number of workers, GPUs get one after the other. ``auto`` means one for each GPU or, on a CPU, as many as there
    are cores for and the memory easily holds.

    Raises:
        InputError: the word is neither a number nor ``auto``, or there is no such device.
    """
    if word != "auto" and not (word.isdecimal() and int(word)):
        raise InputError(f"--workers {word}: give a number of processes, 1 or more, or auto")
    devices = _devices(config)
    count = _automatic_count(devices, threads) if word == "auto" else int(word)
    return [config.model_copy(update={"device": devices[number % len(devices)]}) for number in range(count)]


def _devices(config: Config) -> list[str]:
    """The devices that workers share; of ``auto`` and ``cuda``, all GPUs."""
    device = pick_device(config.device)
    if device.type == "cuda" and device.index is None:
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return [str(device)]


def _automatic_count(devices: Sequence[str], threads: int) -> int:
    if list(devices) != ["cpu"]:
        return len(devices)
    free = free_bytes()
    held = available_cores() if free is None else free // BYTES_PER_WORKER
    return max(1, min(available_cores() // threads, held))


def locks_of(folder: Path) -> str:
    """Say in one line if the locks on a folder hold on this machine only; an empty string if not, or not known.

    Without locks that all machines see, two of them could do the same job.
    """
    try:
        lines = [line.split() for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    above = {str(place) for place in (folder.absolute(), *folder.absolute().parents)}
    mounts = [words for words in lines if len(words) > 3 and words[1].replace("\\040", " ") in above]
    _, place, kind, options, *_ = max(mounts, key=lambda words: len(words[1]), default=["", "", "", ""])
    found = LOCAL_LOCKS.get(kind, set()) & set(options.split(","))
    if not found and kind not in LOCAL_KINDS:
        return ""
    how = f"{kind} with {', '.join(sorted(found))}" if found else kind
    return (
        f"{place} is mounted as {how}, where a lock may hold on this machine only: "
        "if others work on this study too, give each a part of it with --shard i/n"
    )
