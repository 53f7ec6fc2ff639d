"""Write files that are either whole or not there, in folders that one process writes at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from filelock import FileLock, Timeout

from CEM_Demo.errors import InputError

LOCK = ".lock"


class HeldByAnother(InputError):
    """Another process writes in the folder."""


@contextmanager
def write_atomically(path: Path, scratch: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a binary file that replaces ``path`` when the block ends, and leaves no trace if the block fails.

    The bytes are on disk before the name is. A process killed at any moment leaves the old file or the new one, and at
    worst a hidden ``.part`` file, which :func:`remove_leftovers` removes. That file lies in ``scratch``, a folder of
    the same file system, or else beside ``path``.

    Raises:
        InputError: for example, the disk is full or the folder is read-only.
    """
    with writing(path):
        scratch = scratch or path.parent
        for folder in (path.parent, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        file = NamedTemporaryFile(dir=scratch, prefix=f".{path.name[:100]}.", suffix=".part", delete=False)  # noqa: SIM115
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # A temporary file is private; the final file gets the rights that the user's umask gives.
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(file.name, 0o666 & ~umask)
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_bytes(path: Path, content: bytes, scratch: Path | None = None) -> None:
    """Write ``content`` to ``path`` atomically; see :func:`write_atomically`."""
    with write_atomically(path, scratch) as file:
        file.write(content)


def remove(path: Path) -> None:
    """Remove a file if it is there.

    Raises:
        InputError: for example, the folder is read-only.
    """
    with writing(path):
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, of: str = "") -> None:
    """Remove files that killed processes left half-written in ``folder``: all, or those of the file name ``of``.

    Only the holder of the right to write there may do so; otherwise another process may still be writing them.
    """
    for path in folder.glob(".*.part"):
        if path.name.startswith(f".{of[:100]}"):
            remove(path)


@contextmanager
def sole_writer(folder: Path, patience: float = 0) -> Iterator[None]:
    """Hold the only right to write in ``folder``, waiting ``patience`` seconds for it.

    The right is a lock of the operating system, so it ends with the process, however that dies. The empty file
    ``.lock`` stays behind and means nothing.

    Raises:
        HeldByAnother: another process holds the lock.
        InputError: the file system cannot lock.
    """
    lock = FileLock(folder / LOCK)
    made = [parent for parent in (folder / LOCK, folder, *folder.parents) if not parent.exists()]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise HeldByAnother(
            f"{folder} is being written by another process; wait for it, or give this run another prefix"
        ) from error
    except (OSError, NotImplementedError) as error:
        _remove_empty(made)
        raise InputError(
            f"{folder / LOCK} cannot be locked ({_reason(error)}), and without a lock two processes could write the "
            "same results; choose an output_dir on a file system that can be written and locked"
        ) from error
    try:
        remove_leftovers(folder)
        yield
    finally:
        lock.release()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError from writing ``path`` into a line for the user.

    Raises:
        InputError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({_reason(error)}); what was saved before stays valid; free some space or get "
            "the right to write there, then start again, or write elsewhere"
        ) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError from reading ``path``, which the user gave, into a line for the user.

    Raises:
        InputError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({_reason(error)}); check the path and your right to read it"
        ) from error


def is_file(path: Path) -> bool:
    """Say whether a file is there.

    Raises:
        InputError: the operating system refuses to tell.
    """
    with reading(path):
        return path.is_file()


def _remove_empty(paths: list[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
