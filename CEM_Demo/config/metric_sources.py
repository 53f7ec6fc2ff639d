"""What a config's ``metrics`` names: metrics that are built in, and the user's own functions."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from CEM_Demo.user_code import split_code

FIRST = "psnr"
BUILT_IN = (FIRST, "psnr_unrounded", "psnr_y", "ssim", "mae")
TAKEN = (*BUILT_IN, "frozen")  # the files of the key ``paths`` are called so


@dataclass(frozen=True)
class MetricSource:
    """A metric beside PSNR.

    Attributes:
        name: as maps, files and tables call it.
        code: the user's Python file that has a function of this name; None for a metric that is built in.
    """

    name: str
    code: Path | None = None


def parse_metrics(given: Sequence[str]) -> list[MetricSource]:
    """The metrics that the key ``metrics`` names beside PSNR, which always comes first; nothing is read.

    Raises:
        ValueError: a word is no metric, or two would share a name.
    """
    sources = [_parse(word) for word in given]
    names = [source.name.casefold() for source in sources]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise ValueError(f"{repeated} is listed more than once")
    return [source for source in sources if source.name != FIRST]


def _parse(word: str) -> MetricSource:
    if ".py:" in word or word.endswith(".py"):
        code, name = split_code(word)
        if name.casefold() in TAKEN:
            raise ValueError(f"{word}: {name.casefold()} is built in; call your function something else")
        return MetricSource(name, code)
    if word not in BUILT_IN:
        close = difflib.get_close_matches(word, BUILT_IN, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(BUILT_IN)}, or my_metric.py:FUNCTION"
        raise ValueError(f"{word!r} is no metric; {hint}")
    return MetricSource(word)
