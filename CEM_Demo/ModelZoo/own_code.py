"""Networks from the user's own Python file."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from CEM_Demo.errors import InputError


class ImageOutput(nn.Module):
    """A network that returns the image alone, out of whatever ``net`` returns.

    Args:
        net: maps N x C x H x W to an image, or to a list, tuple or dictionary with one in it.
        output: the image's key or number there; None for the last one.
    """

    def __init__(self, net: nn.Module, output: str | int | None) -> None:
        super().__init__()
        self.net = net
        self.output = output

    def forward(self, image: Tensor) -> Tensor:
        returned = self.net(image)
        if isinstance(returned, Tensor):
            return returned
        if isinstance(returned, Mapping):
            return returned[next(reversed(returned)) if self.output is None else self.output]
        return returned[-1 if self.output is None else self.output]


@dataclass(frozen=True)
class Factory:
    """What makes the user's network: a class, a function, or a network.

    ``sources`` are the SHA-256 of its file, and of the modules that it imports from its folder, by their paths there.
    """

    make: Any
    sources: dict[str, str]


def load_factory(code: Path, attribute: str) -> Factory:
    """What a Python file calls ``attribute``; the file's folder, and its package's, become importable.

    Raises:
        InputError: no such file or name, or the file fails; the message names file, line and exception.
    """
    if not code.is_file():
        raise InputError(f"there is no file {code}")
    _forget_imported()
    known = set(sys.modules)
    with blaming(code):
        module = _import_file(code.resolve())
    folder = code.resolve().parent
    files = {code.resolve(): None} | {file: None for file in _imported_from(folder, set(sys.modules) - known)}
    if not callable(getattr(module, attribute, None)):
        own = [name for name, value in vars(module).items() if _is_own(value, module)]
        raise InputError(f"{code} has no class or function {attribute}; it has {', '.join(own) or 'none'}")
    sources = {str(os.path.relpath(file, folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    return Factory(getattr(module, attribute), sources)


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
    # By its path, so that a file may be called like a module that Python knows already.
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
    """The files of the modules that the user's code imported from its folder; their names are kept."""
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


def build_own(make: Any, kwargs: Mapping[str, Any], code: Path) -> nn.Module:
    """Make the network, always from the same random state, so that untrained weights are the same each time.

    Raises:
        InputError: it fails, or gives no network.
    """
    with blaming(code, make), torch.random.fork_rng():
        torch.manual_seed(0)
        net = make if isinstance(make, nn.Module) else make(**kwargs)
    if not isinstance(net, nn.Module):
        raise InputError(f"{code} gives a {type(net).__name__}, not a network (torch.nn.Module)")
    return net


@contextlib.contextmanager
def blaming(code: Path, make: Any = None) -> Iterator[None]:
    """Turn an exception of the user's code into one line that names file, line and exception.

    Raises:
        InputError: in place of any exception but another InputError.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        file, line = _place(error, code, make)
        where = f"{file}, line {line}" if line else str(file)
        raise InputError(f"{where}: {type(error).__name__}: {error}") from error


def _place(error: BaseException, code: Path, make: Any) -> tuple[str | Path, int | None]:
    """The user's last line that took part, or where the class or function begins."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno
    folder = code.resolve().parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if folder in Path(frame.filename).parents:
            return (code if Path(frame.filename) == code.resolve() else frame.filename), frame.lineno
    with contextlib.suppress(TypeError, OSError):
        return code, inspect.getsourcelines(make)[1]
    return code, None


def weights_digest(net: nn.Module) -> str:
    """SHA-256 of a network's weights as they are in memory, wherever they came from."""
    digest = hashlib.sha256()
    for key, value in net.state_dict().items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
