"""Make phrases that messages share."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence


def did_you_mean(name: str, known: Collection[str], most: int = 1, cutoff: float = 0.6) -> str:
    """Ask for the names that a mistyped one may stand for; an empty string if none looks alike.

    >>> did_you_mean("EDRS", ["EDSR", "RCAN"])
    'did you mean EDSR?'
    """
    close = difflib.get_close_matches(name, list(known), n=most, cutoff=cutoff)
    if not close:
        folded = {candidate.casefold(): candidate for candidate in known}
        matches = difflib.get_close_matches(name.casefold(), folded, n=most, cutoff=cutoff)
        close = [folded[match] for match in matches]
    return f"did you mean {', '.join(close)}?" if close else ""


def first_of(names: Sequence[str], most: int = 3) -> str:
    """List the first few names, and say how many more there are.

    >>> first_of(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    return f"{', '.join(names[:most])}{f' and {len(names) - most} more' if len(names) > most else ''}"
