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


# Of another library's message; some are pages long.
LONGEST_MESSAGE = 300


def brief(error: BaseException) -> str:
    """What an exception of anybody's code says, in one line that is not too long.

    Of a TorchScript error, the last line alone: those before it quote the program.
    """
    lines = str(error).strip().splitlines()
    line = lines[-1] if lines and "TorchScript" in lines[0] else " ".join(lines)
    return line if len(line) <= LONGEST_MESSAGE else f"{line[: LONGEST_MESSAGE - 3]}..."
