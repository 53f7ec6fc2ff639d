"""Names that are safe to write files under, on any system and in any terminal."""

from __future__ import annotations

import re
import reprlib
import unicodedata

# What some file system cannot have in a name, and what would lead out of the folder.
UNSAFE_IN_NAMES = re.compile(r'[/\\:*?"<>|]|^\.{1,2}$|^$')
# What Windows drops from the end of a file's name, and the names under which it knows devices.
UNSAFE_ON_WINDOWS = re.compile(r"[. ]$|^(con|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)
LONGEST_NAME = 100

# Characters that steer a terminal or turn the text around them, lone surrogates, ends of lines.
UNSAFE_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
UNSAFE_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def safe_name(name: str) -> str:
    """The name, if it can be part of a file name everywhere.

    Raises:
        ValueError: it cannot.
    """
    unsafe = any(
        unicodedata.category(letter) in UNSAFE_CATEGORIES or unicodedata.bidirectional(letter) in UNSAFE_DIRECTIONS
        for letter in name
    )
    if unsafe or UNSAFE_IN_NAMES.search(name):
        shown = reprlib.repr(name)
        raise ValueError(f"{shown} cannot be part of a file name; use letters, digits, '-', '_', '.', '@', '+'")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"{name[:20]!r}... is longer than {LONGEST_NAME} bytes; give it a shorter name")
    return name


def safe_file_name(name: str) -> str:
    """The name, if a file can bear it everywhere; see :func:`safe_name`."""
    if UNSAFE_ON_WINDOWS.search(safe_name(name)):
        raise ValueError(f"{name!r} is a device, or another name, on Windows; rename it")
    return name
