"""The one kind of error that a user can mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Something the user gave is wrong: a config key, a file, a name.

    The message is one line that names the key or file, says what is wrong and what the nearest fix
    is. The scripts print it and exit with code 2; any other exception is a bug and keeps its traceback.
    """


@contextmanager
def about(what: str) -> Iterator[None]:
    """Say of every InputError what it is about.

    Raises:
        InputError: one came from within.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
