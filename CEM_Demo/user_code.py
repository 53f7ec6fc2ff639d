"""Functions out of a user's own Python file: loaded, digested, and their failures in one line."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from CEM_Demo.errors import InputError


@dataclass(frozen=True)
class UserFunction:
    """A function of a user's file; ``sha256`` is that of the file.

    Calling it raises InputError where the function raises, with file, line and what was raised.
    """

    path: Path
    name: str
    key: str
    function: Callable[..., Any]
    sha256: str

    def __str__(self) -> str:
        return f"{self.path}:{self.name}"

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self.function(*arguments)
        except (Exception, SystemExit) as error:
            raise InputError(f"{self.key}: {_place_and_error(error, self.path)}") from error


def load_function(word: str, key: str) -> UserFunction:
    """The function named ``FILE.py:FUNCTION``; its file is run as it is at this moment.

    Args:
        word: what the user wrote; the file is relative to the current folder.
        key: the config key it stands in, for messages.

    Raises:
        InputError: not of that form, no such file or function, or the file fails when it is run.
    """
    file, separator, name = word.rpartition(":")
    if not separator or not file or not name.isidentifier():
        raise InputError(f"{key}: {word!r} is not of the form FILE.py:FUNCTION")
    path = Path(file)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f"{key}: cannot read the file {path} ({error.strerror})") from error
    digest = hashlib.sha256(source).hexdigest()
    module = ModuleType(f"user_code_{digest[:16]}")
    module.__file__ = str(path)
    # Dataclasses and pickling look a class's module up there.
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise InputError(f"{key}: {_place_and_error(error, path)}") from error
    function = getattr(module, name, None)
    if not callable(function):
        functions = [known for known, value in vars(module).items() if isinstance(value, type(load_function))]
        there = f"; it has {', '.join(functions)}" if functions else ""
        raise InputError(f"{key}: {path} has no function {name}{there}")
    return UserFunction(path, name, key, function, digest)


def _place_and_error(error: BaseException, path: Path) -> str:
    """Where in the user's file an exception came from, and what it says."""
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, SyntaxError):
        return f"{error.filename or path}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == str(path)]
    place = f"{path}, line {own[-1].lineno}" if own else str(path)
    return f"{place}: {what}"
