"""Let the project's own programs end without a traceback when they are interrupted, or when nobody reads on.

This is the first module that the package imports, since imports of large libraries take seconds in which a user may
press Ctrl-C already. A program that only uses the package keeps its own ways.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from itertools import pairwise
from pathlib import Path
from types import FrameType, TracebackType

INTERRUPTED, READER_GONE = 130, 141  # as shells number the end by SIGINT and SIGPIPE


def _is_own_program() -> bool:
    """Say whether Python runs ``python -m CEM_Demo...`` or one of the ``demo_`` scripts."""
    if sys.argv[:1] == ["-m"]:
        return any(word == "-m" and name.partition(".")[0] == __package__ for word, name in pairwise(sys.orig_argv))
    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "").resolve()
    return script.name.startswith("demo_") and script.parent == Path(__file__).resolve().parents[1]


def _end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Handle what no program caught."""
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if isinstance(error, BrokenPipeError) and _reader_is_gone("\n"):
        sys.exit(READER_GONE)
    sys.__excepthook__(kind, error, trace)


def _reader_is_gone(last: str = "") -> bool:
    """Try by some last text whether anybody still reads what is printed; if not, let the rest of it vanish."""
    try:
        print(end=last, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _end_now(_signal: int, _frame: FrameType | None) -> None:
    """End during imports, when nothing is begun: some libraries cannot be interrupted there by an exception."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


def everything_is_imported() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end_now:
        signal.signal(signal.SIGINT, signal.default_int_handler)


if _is_own_program():
    sys.excepthook = _end
    atexit.register(_reader_is_gone)
    # A process in the background may have been told to ignore the signal.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end_now)
