"""What a config's ``metrics`` names: metrics that are built in, those of libraries, and the user's own functions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CEM_Demo.user_code import split_code

FIRST = "psnr"
BUILT_IN = (FIRST, "psnr_unrounded", "psnr_y", "ssim", "mae")
LPIPS, PYIQA = "lpips", "pyiqa"
KNOWN = (*BUILT_IN, LPIPS)
WITH_WEIGHTS = "{name: lpips, weights: alexnet.pth}"
OTHERS = "pyiqa:NAME, or my_metric.py:FUNCTION"
TAKEN = (*KNOWN, "frozen")  # the files of the key ``paths`` are called so


@dataclass(frozen=True)
class MetricSource:
    """A metric beside PSNR.

    Attributes:
        name: as maps, files and tables call it.
        code: the user's Python file that has a function of this name; None for other metrics.
        library: the Python package that measures; empty for metrics that are built in, and the user's own.
        label: what the library calls the metric.
        weights: the user's file that the library's network gets its weights from; None where the library keeps them.
    """

    name: str
    code: Path | None = None
    library: str = ""
    label: str = ""
    weights: Path | None = None


def parse_metrics(given: Sequence[str | Mapping[str, Any]]) -> list[MetricSource]:
    """The metrics that the key ``metrics`` names beside PSNR, which always comes first; nothing is read.

    Raises:
        ValueError: a word is no metric, or two would share a name.
    """
    sources = [_parse(word) if isinstance(word, str) else _parse_mapping(word) for word in given]
    names = [source.name.casefold() for source in sources]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise ValueError(f"{repeated} is listed more than once")
    return [source for source in sources if source.name != FIRST]


def _parse(word: str) -> MetricSource:
    library, separator, label = word.partition(":")
    if library == PYIQA and separator:
        if not label:
            raise ValueError(f"{word!r} names no metric of {PYIQA}; write pyiqa:dists, for example")
        return MetricSource(f"{PYIQA}_{_as_identifier(label)}", library=PYIQA, label=label)
    if ".py:" in word or word.endswith(".py"):
        code, name = split_code(word)
        if name.casefold() in TAKEN:
            raise ValueError(f"{word}: {name.casefold()} is built in; call your function something else")
        return MetricSource(name, code)
    if word not in KNOWN:
        close = difflib.get_close_matches(word, KNOWN, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(KNOWN)}, {OTHERS}"
        raise ValueError(f"{word!r} is no metric; {hint}")
    return MetricSource(word, library=LPIPS, label=LPIPS) if word == LPIPS else MetricSource(word)


def _parse_mapping(given: Mapping[str, Any]) -> MetricSource:
    weights = given.get("weights")
    if set(given) != {"name", "weights"} or given["name"] != LPIPS or not isinstance(weights, str) or "\0" in weights:
        raise ValueError(f"{dict(given)} is no metric; write {WITH_WEIGHTS}, or a name")
    return MetricSource(LPIPS, library=LPIPS, label=LPIPS, weights=Path(weights))


def _as_identifier(label: str) -> str:
    """The name of a library's metric as files and MATLAB may have it: ``lpips-vgg+`` becomes ``lpips_vgg_plus``."""
    return re.sub(r"\W", "_", label.replace("+", "_plus"))
