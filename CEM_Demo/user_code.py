"""Import the user's own Python files, record their digests, and report their failures in one line."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from CEM_Demo.errors import InputError, brief
from CEM_Demo.files import is_file


def split_code(word: str) -> tuple[Path, str]:
    """Split ``my_net.py:MyNet`` into the file and the name in it.

    Raises:
        ValueError: the word does not have that form.
    """
    file, separator, name = word.rpartition(":")
    if not separator or not file.endswith(".py") or not name.isidentifier():
        raise ValueError(f"{word!r} does not name a class or function of a Python file; write FILE.py:NAME")
    return Path(file), name


@dataclass(frozen=True)
class UserCode:
    """What a name in a user's file stands for, such as a class or a function.

    ``sources`` holds the SHA-256 of the file and of the modules that it imports from its folder, by their paths there.
    """

    value: Any
    sources: dict[str, str]


def load_user_code(code: Path, name: str) -> UserCode:
    """Load ``name`` from a Python file; the file's folder and that of its package become importable.

    Raises:
        InputError: there is no such file or name, or the file fails; the message names file, line and exception.
    """
    if not is_file(code):
        raise InputError(f"there is no file {code}")
    _forget_imported()
    known = set(sys.modules)
    with user_errors(code):
        module = _import_file(code.resolve())
    folder = code.resolve().parent
    files = {code.resolve(): None} | {file: None for file in _imported_from(folder, set(sys.modules) - known)}
    if not callable(getattr(module, name, None)):
        own = [known for known, value in vars(module).items() if _is_own(value, module)]
        raise InputError(f"{code} has no class or function {name}; it has {', '.join(own) or 'none'}")
    sources = {str(os.path.relpath(file, folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    return UserCode(getattr(module, name), sources)


def _is_own(value: Any, module: ModuleType) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _import_file(code: Path) -> ModuleType:
    """Import a file as a script beside it would, or, in a package, as the package's parent folder would."""
    folder, names = code.parent, [code.stem]
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    for importable in dict.fromkeys((str(code.parent), str(folder))):
        if importable in sys.path:
            sys.path.remove(importable)
        sys.path.insert(0, importable)
    name = ".".join(names)
    if len(names) > 1:
        return importlib.import_module(name)
    # The import goes by the path, so that a file may have the name of a module that Python already knows.
    spec = importlib.util.spec_from_file_location(name, code)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    known = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        if known is not None:
            sys.modules[name] = known
    return module


_IMPORTED: set[str] = set()


def _imported_from(folder: Path, names: set[str]) -> list[Path]:
    """Find the files of the modules that the user's code imported from its folder, and remember their names."""
    files = []
    for name in sorted(names):
        file = Path(getattr(sys.modules[name], "__file__", None) or "")
        if folder in file.parents and not {"site-packages", "CEM_Demo"} & set(file.relative_to(folder).parts):
            _IMPORTED.add(name)
            files.append(file)
    return files


def _forget_imported() -> None:
    """Let modules be imported anew, since two models' folders may have modules of the same name."""
    for name in _IMPORTED:
        sys.modules.pop(name, None)
    _IMPORTED.clear()


@contextlib.contextmanager
def user_errors(code: Path, value: Any = None) -> Iterator[None]:
    """Turn an exception of the user's code into one line that names file, line and exception.

    Raises:
        InputError: in place of any exception but another InputError.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        file, line = _place(error, code, value)
        where = f"{file}, line {line}" if line else str(file)
        raise InputError(f"{where}: {type(error).__name__}: {brief(error)}") from error


def place_of(error: Exception) -> str:
    """Name the line that raised an exception, or that called the part of PyTorch that did."""
    frames = traceback.extract_tb(error.__traceback__)
    own = (frame for frame in reversed(frames) if "torch" not in Path(frame.filename).parts)
    frame = next(own, frames[-1])
    return f"{Path(frame.filename).name}, line {frame.lineno}"


def _place(error: BaseException, code: Path, value: Any) -> tuple[str | Path, int | None]:
    """Find the last line of the user's code that took part, or else the start of the class or function."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno
    folder = code.resolve().parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if folder in Path(frame.filename).parents:
            return (code if Path(frame.filename) == code.resolve() else frame.filename), frame.lineno
    with contextlib.suppress(TypeError, OSError):
        return code, inspect.getsourcelines(value)[1]
    return code, None
