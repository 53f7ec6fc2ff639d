"""Text for LaTeX."""

from __future__ import annotations

ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\N{MINUS SIGN}": r"\ensuremath{-}",
    "\N{LESS-THAN OR EQUAL TO}": r"\ensuremath{\leq}",
    "\N{GREATER-THAN OR EQUAL TO}": r"\ensuremath{\geq}",
}


def escape_tex(text: str) -> str:
    r"""Write plain text so that LaTeX prints it as it is.

    >>> print(escape_tex("SRResNet_DN@Demo, 50 %"))
    SRResNet\_DN@Demo, 50 \%
    """
    return "".join(ESCAPES.get(letter, letter) for letter in text)
