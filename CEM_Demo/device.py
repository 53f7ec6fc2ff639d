"""Pick the device that runs the networks, and set it to plain float32 arithmetic."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from CEM_Demo.errors import InputError

DEVICES = "auto, cuda, cuda:1, mps, cpu"


def check_device_name(name: str) -> str:
    """Check that a name is auto or a kind of device, present or not, and give it back; CUDA's may be numbered.

    Raises:
        ValueError: it is neither.
    """
    if not re.fullmatch(r"auto|mps|cpu|cuda(:[0-9]{1,3})?", name):
        raise ValueError(f"{reprlib.repr(name)} is not a device; write one of {DEVICES}")
    return name


def pick_device(name: str) -> torch.device:
    """Pick the device of a config's ``device`` key; ``auto`` takes the first available of cuda, mps, cpu.

    Raises:
        InputError: there is no such device here, or the name is not that of a device.
    """
    try:
        kind, _, number = check_device_name(name).partition(":")
    except ValueError as error:
        raise InputError(f"device: {error}") from error
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        name = kind = next(kind for kind, present in available.items() if present)
    if not available[kind]:
        present = ", ".join(kind for kind, found in available.items() if found)
        raise InputError(f"device: no {kind} device here; use auto or one of: {present}")
    if number and int(number) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise InputError(f"device: no {name} here; the last of the CUDA devices is cuda:{last}")
    return torch.device(name)


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Compute without what trades exactness or repeatability for speed on CUDA: TF32, autotuned kernels."""
    flags: tuple[tuple[Any, str, bool], ...] = (
        (torch.backends.cudnn, "allow_tf32", False),
        (torch.backends.cuda.matmul, "allow_tf32", False),
        (torch.backends.cudnn, "benchmark", False),
        (torch.backends.cudnn, "deterministic", True),
    )
    before = [getattr(owner, name) for owner, name, _ in flags]
    for owner, name, value in flags:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for (owner, name, _), value in zip(flags, before, strict=True):
            setattr(owner, name, value)


def describe_device(device: torch.device) -> str:
    """Describe a device: its kind, and the model of the GPU or the CPU instructions that its kernels use."""
    details = {"cuda": torch.cuda.get_device_name, "cpu": lambda _: torch.backends.cpu.get_cpu_capability()}
    return f"{device.type} ({details[device.type](device)})" if device.type in details else device.type


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Compute with ``count`` threads; they split sums, so their number can change the last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
