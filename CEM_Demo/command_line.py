"""Parse the scripts' arguments, and print one line instead of a traceback for a user's mistake."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from CEM_Demo.config.loading import keys_help, load_config
from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.roi.automatic import choose_rois
from CEM_Demo.tasks.pairing import find_scale


def make_parser(description: str, several: bool = False) -> argparse.ArgumentParser:
    """Make a parser with ``--config`` and ``--set``, whose help lists the config's keys.

    ``several`` allows ``--config`` more than once, and makes it a list.
    """
    parser = argparse.ArgumentParser(
        description=description,
        epilog=f"config keys:\n{keys_help()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        action="append" if several else "store",
        metavar="FILE",
        help=f"YAML file, such as demo-SR_CEM.yml{'; repeatable' * several}",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value of the file; repeatable"
    )
    return parser


def read_config(path: Path, overrides: Iterable[str] = ()) -> Config:
    """Read a config; the images give the scale that task PAIR may leave out, and the ROIs of ``rois: {auto: N}``.

    Raises:
        InputError: see :func:`~CEM_Demo.config.loading.load_config`.
    """
    return load_config(path, overrides, _scale_of_first_pair, choose_rois)


def _scale_of_first_pair(config: Config) -> int:
    assert config.input_path is not None
    return find_scale(Path(config.TextImg_path), Path(config.input_path), config.Imagelist[0])


def run_script(
    parser: argparse.ArgumentParser,
    work: Callable[[Config, argparse.Namespace], None],
    words: Sequence[str] | None = None,
) -> int:
    """Parse, read the config, work, and return the exit code of :func:`run_parsed`."""
    return run_parsed(parser, lambda arguments: work(read_config(arguments.config, arguments.set), arguments), words)


def run_parsed(
    parser: argparse.ArgumentParser, work: Callable[[argparse.Namespace], None], words: Sequence[str] | None = None
) -> int:
    """Parse ``words``, or else those of the command line, work, and return the exit code.

    It is 0, 2 for a user's mistake, 130 when interrupted.
    """
    arguments = parser.parse_args(words)
    for stream in (sys.stdout, sys.stderr):
        # Names of images may hold characters that the encoding of the terminal or a pipe lacks.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return exit_code(lambda: work(arguments))
    except KeyboardInterrupt:
        print("interrupted; start again with load_previous: 1 to continue", file=sys.stderr)
        return 130


def exit_code(work: Callable[[], None]) -> int:
    """Do the work and return 0, or print a user's mistake in one line and return 2; log messages are printed."""
    try:
        with _printed_log():
            work()
    except InputError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    return 0


class _Printer(logging.StreamHandler):  # type: ignore[type-arg]
    """Prints messages, and stops the program when nobody reads them any more."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is of the library
        if isinstance(sys.exc_info()[1], BrokenPipeError):
            raise  # noqa: PLE0704 - the library calls this while it handles the exception
        super().handleError(record)


@contextmanager
def _printed_log() -> Iterator[None]:
    """Print what the project logs; as a library it stays silent unless the caller configures logging."""
    log, handler = logging.getLogger("CEM_Demo"), _Printer(sys.stdout)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def one_line(text: str) -> str:
    """Remove what would break the line or control the terminal: file names and keys come from the user."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in " ".join(text.split()))
