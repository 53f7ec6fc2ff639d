"""Find the network of the zoo that a state dict belongs to, by its keys and shapes.

Every entry's class is built without memory (on the meta device). Its arguments that are whole numbers, such as width
and depth, are then found from how the keys and shapes change with each of them, so that the members of a family
need no entries of their own.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from CEM_Demo.errors import InputError
from CEM_Demo.ModelZoo.registry import TASKS, Entry, entries, find, is_numbered
from CEM_Demo.ModelZoo.state_dicts import Layout, layout_of

Arguments = dict[str, Any]
Measure = tuple[str, int]

SCALES = (4, 2, 3, 1, 8)
SHALLOW = 2  # layers; such a network has all the kinds of keys of a deeper one, and is quick to build
ROUNDS = 4
# No network with more parts than this per key of the file is built: one forged number could ask for millions.
MOST_PARTS_PER_KEY = 16
# How many kinds of keys may differ between two scales of one class.
SCALE_DEPENDENT_KINDS = 2


@dataclass(frozen=True)
class Match:
    """A network that has a state dict's keys and shapes.

    Attributes:
        entry: the entry whose class it is.
        arguments: all arguments that its class is built with.
        scale: output side over input side.
        listed: whether the entry is this very network; otherwise it is another network of the same class.
    """

    entry: Entry
    arguments: Arguments
    scale: int
    listed: bool

    @property
    def name(self) -> str:
        """The entry's name with its numbers and other arguments, such as ``EDSR-64-5`` or ``SRResNet (depth 8)``."""
        own = complete_arguments(self.entry, self.scale)
        differing = [key for key, value in self.arguments.items() if value != own[key]]
        name = self.entry.name
        if self.entry.numbered:
            name = "-".join([name.split("-")[0], *(str(self.arguments[key]) for key in self.entry.numbered)])
        others = [f"{key} {self.arguments[key]}" for key in differing if key not in self.entry.numbered]
        return f"{name} ({', '.join(others)})" if others else name


def identify(state: Mapping[str, Tensor], scale: int, task: str, name: str | None = None) -> Match | None:
    """Find the network of the zoo that ``state`` belongs to; None if there is none.

    Args:
        state: the state dict.
        scale: the wanted scale; it counts where the shapes leave the scale open.
        task: the wanted task; it decides between networks of the same layout.
        name: if given, the only entry to consider.

    Raises:
        InputError: several networks have this layout, and neither name, scale nor task decides between them.
    """
    layout = layout_of(state)
    finder = _Finder(layout)
    alike = [entry for entry in ([_named(name)] if name else entries()) if finder.is_alike(entry)]
    for candidate in dict.fromkeys((scale, *SCALES)):
        matches = [match for entry in alike for match in finder.matches(entry, candidate)]
        if matches:
            return _choose(matches, task)
    return None


def with_values(match: Match, state: Mapping[str, Tensor]) -> Match:
    """Add to a match those arguments that the values of the weights reveal, but no key or shape does."""
    told = match.entry.told_by_weights(match.arguments, state) if match.entry.told_by_weights else {}
    arguments = match.arguments | told
    return replace(match, arguments=arguments, listed=match.listed and arguments == match.arguments)


def _named(name: str) -> Entry:
    """Find the entry of a name, whichever task it serves."""
    for entry in entries():
        if entry.name == name:
            return entry
    if is_numbered(name):
        return find(name, next(entry for entry in entries() if entry.name == name.split("-")[0]).tasks[0])
    return find(name, TASKS[0])


def _choose(matches: list[Match], task: str) -> Match:
    """Choose the one network among the matches; the zoo's own networks go before others of their class."""
    groups = (
        [match for match in matches if match.listed and task in match.entry.tasks],
        [match for match in matches if match.listed],
        matches,
    )
    best = next(group for group in groups if group)
    if not all(_is_same(match, best[0]) for match in best):
        firsts = [match for match in matches if match is next(other for other in matches if _is_same(match, other))]
        names = ", ".join(match.entry.name for match in firsts)
        raise InputError(f"its keys and shapes fit several networks; say which by model: one of {names}")
    return best[0]


def _is_same(match: Match, other: Match) -> bool:
    return match.entry.build == other.entry.build and match.arguments == other.arguments


def complete_arguments(entry: Entry, scale: int) -> Arguments:
    """Give the arguments of an entry's class with its defaults, and with the scale if it takes one."""
    arguments = _defaults(entry.build) | dict(entry.arguments)
    if "scale" in inspect.signature(entry.build).parameters:
        arguments["scale"] = scale
    return arguments


def _kinds(layout: Layout) -> set[str]:
    """Give the keys without their numbers."""
    return {_kind(key) for key in layout}


def _kind(key: str) -> str:
    return re.sub(r"\d+", "#", key)


class _Finder:
    """Finds the arguments of a class that give one layout; it builds as few and as shallow networks as it can."""

    def __init__(self, wanted: Layout) -> None:
        self._wanted = wanted
        self._kinds = _kinds(wanted)
        self._numbers: dict[tuple[Callable[..., nn.Module], str], Arguments | None] = {}

    def is_alike(self, entry: Entry) -> bool:
        """Say whether the entry's class has much the same keys, apart from their numbers."""
        own = complete_arguments(entry, entry.scale or SCALES[0])
        layout = _layout(entry.build, _shallow(own | _numbers(entry.build)))
        return layout is not None and len(self._kinds ^ _kinds(layout)) <= SCALE_DEPENDENT_KINDS

    def matches(self, entry: Entry, scale: int) -> list[Match]:
        """List the networks of an entry's class, with its options, that have the layout at this scale."""
        own = complete_arguments(entry, scale)
        if "scale" not in own:
            scale = entry.scale or 1
        numbers = self._fitting_numbers(entry.build, own)
        # An entry of one scale stands for that scale only; other networks of its class may have any scale.
        listed = numbers is not None and own | numbers == own and entry.scale in (None, scale)
        return [] if numbers is None else [Match(entry, own | numbers, scale, listed)]

    def _fitting_numbers(self, build: Callable[..., nn.Module], own: Arguments) -> Arguments | None:
        """Find the whole numbers, such as width and depth, that give the layout with the other arguments."""
        free = self._free_numbers(build, own)
        start = self._plain(build, _shallow(own | free))
        key = (build, repr(sorted(start.items())))
        if key not in self._numbers:
            self._numbers[key] = self._read_numbers(build, start, free)
        return self._numbers[key]

    def _plain(self, build: Callable[..., nn.Module], arguments: Arguments) -> Arguments:
        """Give the arguments without those options that no key or shape shows."""
        layout, defaults = _layout(build, arguments), _defaults(build)
        for name, value in defaults.items():
            if name != "scale" and arguments[name] != value and _layout(build, arguments | {name: value}) == layout:
                arguments = arguments | {name: value}
        return arguments

    def _free_numbers(self, build: Callable[..., nn.Module], own: Arguments) -> Arguments:
        """Give the whole numbers that change the layout, with their defaults: one more of each can be built."""
        defaults = _numbers(build)
        start = self._plain(build, _shallow(own | defaults))
        layouts = {name: _layout(build, start | {name: start[name] + 1}) for name in defaults}
        return {name: defaults[name] for name, layout in layouts.items() if layout not in (None, _layout(build, start))}

    def _read_numbers(self, build: Callable[..., nn.Module], start: Arguments, free: Arguments) -> Arguments | None:
        """Find the values of the free numbers that give the layout.

        Some index or side of the layout depends linearly on each of them. If it depends on others too, the values
        depend on where they are read, so they are read again from there.
        """
        wanted = _measures(self._wanted)
        numbers = {name: start[name] for name in free}
        followed: set[Measure] = set()
        counting: set[str] = set()
        for _ in range(ROUNDS):
            layout = _layout(build, start | numbers)
            if layout == self._wanted:
                return numbers
            before = _measures(layout or {})
            if layout is None or (followed and all(before.get(key) == wanted[key] for key in followed)):
                return None
            changes: Arguments = {}
            for name, number in numbers.items():
                after = _measures(_layout(build, start | numbers | {name: number + 1}) or {})
                following = (key for key, size in before.items() if key in wanted and after.get(key, size) != size)
                key = next(following, None)
                if key is not None:
                    followed.add(key)
                    if _is_count(key):
                        counting.add(name)
                    changes[name] = (wanted[key] - before[key]) // (after[key] - before[key])
            numbers |= {name: max(1, numbers[name] + change) for name, change in changes.items()}
            if math.prod(numbers[name] for name in counting) > MOST_PARTS_PER_KEY * len(self._wanted):
                return None
        return None


_LAYOUTS: dict[tuple[Callable[..., nn.Module], str], Layout | None] = {}


def _layout(build: Callable[..., nn.Module], arguments: Arguments) -> Layout | None:
    """Give the keys and shapes of a network's state dict, None if it cannot be built; each is built only once."""
    key = (build, repr(sorted(arguments.items())))
    if key not in _LAYOUTS:
        try:
            with torch.device("meta"):
                state = build(**arguments).state_dict()
            _LAYOUTS[key] = layout_of(state)
        except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError):
            _LAYOUTS[key] = None
    return _LAYOUTS[key]


def _defaults(build: Callable[..., nn.Module]) -> Arguments:
    parameters = inspect.signature(build).parameters.values()
    return {given.name: given.default for given in parameters if given.default is not inspect.Parameter.empty}


def _numbers(build: Callable[..., nn.Module]) -> Arguments:
    """Give the arguments that are whole numbers by default, except the scale, which is tried separately."""
    return {name: value for name, value in _defaults(build).items() if type(value) is int and name != "scale"}


def _shallow(arguments: Arguments) -> Arguments:
    depth = arguments.get("depth")
    return arguments | {"depth": min(depth, SHALLOW)} if isinstance(depth, int) else arguments


def _measures(layout: Layout) -> dict[Measure, int]:
    """Give the largest number at each place of each kind of key, which is a count, and the sides of every shape."""
    counts: dict[Measure, int] = {}
    for key in layout:
        kind = _kind(key)
        for place, number in enumerate(re.findall(r"\d+", key)):
            counts[kind, place] = max(counts.get((kind, place), 0), int(number))
    return counts | {(f"{key} ", axis): side for key, shape in layout.items() for axis, side in enumerate(shape)}


def _is_count(measure: Measure) -> bool:
    return not measure[0].endswith(" ")
