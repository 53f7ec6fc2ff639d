"""Images that a config's ``Imagelist`` names by patterns, or all at once."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from CEM_Demo.errors import InputError, naming
from CEM_Demo.images import image_files
from CEM_Demo.wording import first_of

ALL = "all"
WILDCARDS = "*?"  # no file that a config may name has them in its name


def list_images(given: Any, folder: Any) -> Any:
    """Replace ``all`` and patterns such as ``street_*.png`` by the names of the images of a folder that they mean.

    The images of a pattern are sorted by name, and those that the list has already are left out.

    Args:
        given: the value of ``Imagelist``; what is no pattern is given back as it is, for the schema to judge.
        folder: the value of ``TextImg_path``.

    Raises:
        InputError: there is no such folder, or no image of it is meant.
    """
    words = [given] if isinstance(given, str) else given
    if not isinstance(words, list) or not isinstance(folder, str) or "\0" in folder:
        return given
    if given != ALL and not any(map(_is_pattern, words)):
        return given
    with naming("TextImg_path"):
        there = [path.name for path in image_files(Path(folder))]
    if given == ALL:
        words = ["*"]
    names: list[Any] = []
    for word in words:
        names += _matches(word, there, names) if _is_pattern(word) else [word]
    if not there or not names:
        raise InputError(f"Imagelist: {folder} holds no images")
    return names


def _is_pattern(word: Any) -> bool:
    return isinstance(word, str) and any(letter in WILDCARDS for letter in word)


def _matches(pattern: str, there: list[str], listed: list[Any]) -> list[str]:
    found = [name for name in there if fnmatchcase(name, pattern)]
    if there and not found:
        raise InputError(f"Imagelist: no image matches {pattern!r}; there: {first_of(there, 5)}")
    return [name for name in found if name not in listed]
