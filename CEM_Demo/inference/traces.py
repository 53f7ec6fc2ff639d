"""Trace a network, or run it on tensors without values, and leave no trace of that in the user's objects.

Real code keeps tensors between passes: masks by image size, or a mean moved to the image's device. If such a tensor has
no values, the next real pass fails.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from torch import Tensor, nn

Container = dict[Any, Any] | list[Any] | set[Any]

HOLDERS = (dict, list, set, tuple)
CACHED = type(functools.lru_cache(lambda: None))
# Modules of these packages hold no state of the user's.
LIBRARIES = ("torch", "torchvision", "numpy", "builtins")


@contextmanager
def without_traces(net: nn.Module) -> Iterator[None]:
    """Restore afterwards all that the network's modules, their classes and their files keep, and empty their caches.

    Attributes, lists, dictionaries and sets get their earlier contents back; what ``functools`` cached is forgotten.
    """
    found = _Found()
    found.look_at(net)
    contents = [(container, container.copy()) for container in found.containers.values()]
    try:
        yield
    finally:
        for container, earlier in contents:
            _put_back(container, earlier)
        for forget in found.caches:
            forget()


def _put_back(container: Container, earlier: Container) -> None:
    """Give a container its earlier contents, and touch only what differs: a module's names are in use meanwhile."""
    if isinstance(container, list):
        container[:] = earlier
    elif isinstance(container, set):
        container.clear()
        container.update(earlier)
    elif isinstance(earlier, dict):
        for key in [key for key in container if key not in earlier]:
            del container[key]
        container.update({key: value for key, value in earlier.items() if container.get(key, earlier) is not value})


class _Found:
    """The containers and caches that a network's forward can reach by attributes and by the names of its files."""

    def __init__(self) -> None:
        self.containers: dict[int, Container] = {}
        self.caches: list[Callable[[], None]] = []
        self._known: set[int] = set()

    def look_at(self, value: Any) -> None:
        """Note a value and what it holds, each only once."""
        # This asks for the type, since some deprecated objects of libraries warn when asked for their class.
        kind = type(value)
        if id(value) in self._known or issubclass(kind, (Tensor, str, bytes, int, float, ModuleType, type)):
            return
        self._known.add(id(value))
        if issubclass(kind, HOLDERS):
            self._look_into(value)
        elif kind is FunctionType:
            self._look_at_names(value.__globals__)
        elif issubclass(kind, nn.Module) or not _is_of_library(kind):
            self.look_at(getattr(value, "__dict__", None))
            for base in kind.__mro__:
                self._look_at_class(base)

    def _look_into(self, holder: Container | tuple[Any, ...]) -> None:
        if not isinstance(holder, tuple):
            self.containers[id(holder)] = holder
        for value in list(holder.values() if isinstance(holder, dict) else holder):
            self.look_at(value)

    def _look_at_class(self, kind: type) -> None:
        if id(kind) not in self._known and not _is_of_library(kind):
            self._known.add(id(kind))
            for value in list(vars(kind).values()):
                self._look_at_name(value)
                if isinstance(value, FunctionType):
                    self._look_at_names(value.__globals__)

    def _look_at_names(self, names: dict[str, Any]) -> None:
        """Note the names of a file: not what it imports, but what it keeps itself."""
        if id(names) not in self._known:
            self._known.add(id(names))
            self.containers[id(names)] = names
            for value in list(names.values()):
                self._look_at_name(value)

    def _look_at_name(self, value: Any) -> None:
        if issubclass(type(value), HOLDERS):
            self.look_at(value)
        elif type(value) is CACHED:
            self.caches.append(value.cache_clear)


def _is_of_library(kind: type) -> bool:
    return kind.__module__.split(".")[0] in LIBRARIES
