"""Check that names are safe in file names on any system and in any terminal."""

from __future__ import annotations

import re
import reprlib
import unicodedata

# Characters that some file system forbids in names, and names that lead out of the folder.
UNSAFE_IN_NAMES = re.compile(r'[/\\:*?"<>|]|^\.{1,2}$|^$')
# Endings that Windows drops from the name of a file, and names that it reserves for devices.
UNSAFE_ON_WINDOWS = re.compile(r"[. ]$|^(con|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)
LONGEST_NAME = 100

# Characters that control a terminal or reverse the text around them, lone surrogates, and line ends.
UNSAFE_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
UNSAFE_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def safe_name(name: str) -> str:
    """Check that a name can be part of a file name on every system, and give it back.

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
    """Check that a file can have this name on every system, and give it back; see :func:`safe_name`."""
    if UNSAFE_ON_WINDOWS.search(safe_name(name)):
        raise ValueError(f"{name!r} stands for a device or for another name on Windows; rename it")
    return name
