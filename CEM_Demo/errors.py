"""The one kind of error that a user can fix."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Something the user gave is wrong: a config key, a file, a name.

    The message is one line that names the key or file and says what is wrong and what the nearest
    fix is. The scripts print it and exit with code 2; any other exception is a bug and keeps its traceback.
    """


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Put ``what`` before the message of every InputError, to say what it is about.

    Raises:
        InputError: the block raised one.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}") from error


# The messages of some libraries are pages long.
LONGEST_MESSAGE = 300


def brief(error: BaseException) -> str:
    """Give the message of any exception in one line that is not too long.

    A TorchScript error gives only its last line: those before it quote the program.
    """
    lines = str(error).strip().splitlines()
    line = lines[-1] if lines and "TorchScript" in lines[0] else " ".join(lines)
    return line if len(line) <= LONGEST_MESSAGE else f"{line[: LONGEST_MESSAGE - 3]}..."
