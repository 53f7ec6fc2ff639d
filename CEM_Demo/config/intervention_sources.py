"""What a config's ``intervention`` names: a kind with its parameters, or the user's own function."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CEM_Demo.user_code import split_code

# The kinds, each with its parameters and their defaults; None must be given.
KINDS: dict[str, dict[str, Any]] = {
    "natural": {},
    "blur": {"sigma": 3.0},
    "constant": {"color": "zero"},
    "noise": {},
    "shuffle": {},
    "clean": {},
    "images": {"folder": None},
}
COLORS = ("zero", "image", "block")
FORMS = "natural, blur, {kind: blur, sigma: 3}, {kind: constant, color: image}, noise, shuffle, clean, "
FORMS += "{kind: images, folder: photographs} or my_do.py:replace"

CLEAN_NEEDS = "clean needs a degraded input of the size of its ground truth: task DN or DR, or PAIR at scale 1"


@dataclass(frozen=True)
class InterventionSource:
    """What stands in a block's place.

    Attributes:
        kind: a key of ``KINDS``, or ``function``.
        sigma: of blur, its standard deviation in pixels of the network's input; 0 does not blur.
        color: of constant: zero, or the mean of the image or of the block.
        folder: of images, where the photographs are.
        code, function: the user's Python file and the function in it.
    """

    kind: str
    sigma: float = 0.0
    color: str = ""
    folder: Path | None = None
    code: Path | None = None
    function: str = ""

    def __str__(self) -> str:
        """Give what decides the numbers, except for files, whose contents are recorded."""
        details = {"blur": f", sigma {self.sigma:g} pixels", "constant": f", {self.color}"}
        return f"{self.kind}{details.get(self.kind, f' {self.function}' if self.function else '')}"


def parse_intervention(given: str | Mapping[str, Any]) -> InterventionSource:
    """Parse what the key ``intervention`` names, without reading any file.

    Raises:
        ValueError: it has no known form.
    """
    if isinstance(given, str) and given.endswith(".py") or ".py:" in given:
        code, function = split_code(str(given))
        return InterventionSource("function", code=code, function=function)
    values = {"kind": given} if isinstance(given, str) else dict(given)
    kind = values.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"{kind!r} is not a kind of intervention{_nearest(kind, KINDS)}; write {FORMS}")
    parameters = KINDS[kind] | values
    for name in parameters:
        if name not in KINDS[kind]:
            raise ValueError(f"{kind} has no {name!r}{_nearest(name, KINDS[kind])}; write {FORMS}")
        if parameters[name] is None:
            raise ValueError(f"{kind} needs a {name}, as in {{kind: images, folder: photographs}}")
    _check_values(parameters)
    if "folder" in parameters:
        parameters["folder"] = Path(parameters["folder"])
    return InterventionSource(kind, **parameters)


def _check_values(parameters: Mapping[str, Any]) -> None:
    sigma, color, folder = (parameters.get(name) for name in ("sigma", "color", "folder"))
    if sigma is not None and (isinstance(sigma, bool) or not isinstance(sigma, int | float)):
        raise ValueError(f"sigma: {sigma!r} is not a number of pixels")
    if sigma is not None and not 0 <= sigma < math.inf:
        raise ValueError(f"sigma: {sigma} is not a strength of blur; give pixels, 0 or more")
    if color is not None and color not in COLORS:
        raise ValueError(f"color: {color!r} is not one of {', '.join(COLORS)}")
    if folder is not None and (not isinstance(folder, str) or "\0" in folder):
        raise ValueError(f"folder: {folder!r} is not a path")


def _nearest(word: Any, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(str(word), known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
