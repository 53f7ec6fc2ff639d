"""What the zoo knows about a network, and how a name becomes one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from CEM_Demo.errors import InputError
from CEM_Demo.wording import did_you_mean

TASKS = ("SR", "DN", "DR")

# The task of degraded inputs from files: they may be of any kind, so every model may be tried on them.
PAIRED = "PAIR"


class UnknownModelError(InputError, NotImplementedError):
    """No entry has this name, or the one that has it does not serve this task."""


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights in ``ModelZoo/models/``.

    Attributes:
        file: its name there.
        sha256: digest of the published file where it is known.
        arguments: arguments of the entry's ``build`` that these weights need in place of the entry's own.
        scale: output side over input side of these weights, if the entry's ``build`` takes any scale; None if the
            weights do so too.
    """

    file: str
    sha256: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    scale: int | None = None


@dataclass(frozen=True)
class SizeRequirement:
    """The input sides (pixels) that a network accepts: multiples of ``multiple``, from ``minimum`` to ``maximum``.

    ``square`` says that height and width must be equal.
    """

    multiple: int = 1
    minimum: int = 1
    square: bool = False
    maximum: int | None = None


@dataclass(frozen=True)
class Entry:
    """One model of the zoo.

    Attributes:
        name: what users write before ``@``.
        tasks: the tasks that it serves, out of SR, DN and DR.
        build: the network's class or a function that returns one.
        paper: authors, title and venue, in one line.
        checkpoints: training name -> file; ``Base`` is the published one.
        arguments: keyword arguments of ``build`` that make this variant.
        scale: output side over input side; None if ``build`` takes it as ``scale``.
        takes_channels: whether ``build`` takes ``channels``, the number of image channels.
        numbered: integer arguments of ``build`` that follow the name (``EDSR-64-16``).
        size: the input sides that the network accepts; others are padded and cropped.
        reach: radius of the receptive field in input pixels; None if every output pixel sees the
            whole input.
        told_by_weights: a function of arguments of ``build`` and a state dict of unknown origin that fits them; it
            gives those arguments that the values of the weights reveal but no key or shape does.
    """

    name: str
    tasks: tuple[str, ...]
    build: Callable[..., nn.Module]
    paper: str
    checkpoints: Mapping[str, Checkpoint] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    scale: int | None = None
    takes_channels: bool = False
    numbered: tuple[str, ...] = ()
    size: SizeRequirement = SizeRequirement()
    reach: int | None = None
    told_by_weights: Callable[[Mapping[str, Any], Mapping[str, Tensor]], dict[str, Any]] | None = None


_ENTRIES: dict[str, Entry] = {}


def register(entries: Iterable[Entry]) -> None:
    """Add entries to the zoo, all of them or none.

    The same entry may be added again, as happens when a cell of a notebook is run twice; a class that is defined
    anew replaces the earlier one.

    Raises:
        ValueError: another entry has the name, or a task is unknown.
    """
    added: dict[str, Entry] = {}
    for entry in entries:
        known = added.get(entry.name) or _ENTRIES.get(entry.name)
        if known is not None and not _is_same(known, entry):
            raise ValueError(f"the zoo already has an entry {entry.name}")
        if not set(entry.tasks) <= set(TASKS):
            raise ValueError(f"{entry.name}: tasks {entry.tasks} are not among {TASKS}")
        added[entry.name] = entry
    _ENTRIES.update(added)


def _is_same(known: Entry, entry: Entry) -> bool:
    """Say whether two entries are equal, except that the code of one may have been run again."""
    return replace(known, build=entry.build, told_by_weights=entry.told_by_weights) == entry and all(
        _place(getattr(known, name)) == _place(getattr(entry, name)) for name in ("build", "told_by_weights")
    )


def _place(function: Callable[..., Any] | None) -> tuple[str, str] | Callable[..., Any] | None:
    """Give the module of a class or function and its name there; one without a name stands for itself."""
    name = getattr(function, "__qualname__", "<lambda>")
    return function if "<lambda>" in name else (function.__module__, name)


def entries(task: str | None = None) -> list[Entry]:
    """List all entries, or those that serve ``task``, in the order in which they were registered."""
    return [entry for entry in _ENTRIES.values() if task is None or _serves(entry, task)]


def find(name: str, task: str) -> Entry:
    """Find the entry for a model name.

    A name that is not listed but follows the numbered pattern of a family (``EDSR-48-8``) gets that
    family's entry with those numbers and without checkpoints.

    Raises:
        UnknownModelError: there is no such name, or it belongs to other tasks.
    """
    entry = _ENTRIES.get(name) or _numbered(name)
    if entry is None:
        hint = did_you_mean(name, [known.name for known in entries(task)], most=3, cutoff=0.5)
        raise UnknownModelError(f"no {task} model is called {name!r}{'; ' * bool(hint)}{hint}")
    if not _serves(entry, task):
        raise UnknownModelError(f"{name} is a {'/'.join(entry.tasks)} model, not one for task {task}")
    return entry


def _serves(entry: Entry, task: str) -> bool:
    return task == PAIRED or task in entry.tasks


def check_scale(entry: Entry, training: str, task: str, scale: int) -> None:
    """Check that the weights of a training restore at ``scale``; in SR, those of scale 1 get the image enlarged first.

    Raises:
        InputError: they do not; the message names their scale.
    """
    known = entry.checkpoints.get(training)
    own = entry.scale or (known.scale if known else None)
    enlarges = own == 1 and "SR" in entry.tasks
    if own not in (None, scale) and not enlarges:
        scales = "sr is" if task == "SR" else "the images are of scale"
        raise InputError(
            f"{entry.name}@{training} restores at scale {own} only, and {scales} {scale}; choose another model"
        )


def is_numbered(name: str) -> bool:
    """Say whether the name is a family's name followed by its numbers, as ``EDSR-64-16`` is."""
    return _numbered(name) is not None


def _numbered(name: str) -> Entry | None:
    family, *numbers = name.split("-")
    entry = _ENTRIES.get(family)
    if entry is None or not entry.numbered or len(numbers) != len(entry.numbered):
        return None
    if not all(re.fullmatch(r"[1-9][0-9]*", number) for number in numbers):
        return None
    arguments = {**entry.arguments, **dict(zip(entry.numbered, map(int, numbers), strict=True))}
    return replace(entry, name=name, arguments=arguments, checkpoints={}, reach=None)
