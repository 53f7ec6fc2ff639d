"""Text for LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

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
# Where a document does not load booktabs, plain rules take its place.
RULES = "".join(rf"\providecommand{{\{rule}}}{{\hline}}" for rule in ("toprule", "midrule", "bottomrule"))


def tex_table(headings: Sequence[str], groups: Sequence[Sequence[Sequence[str]]], text_columns: int) -> str:
    """Make a LaTeX table (booktabs) of plain text, with a rule above each group of rows.

    Args:
        headings: of the columns.
        groups: the cells of the rows of each group.
        text_columns: how many columns, the first ones, are set flush left.
    """
    columns = "l" * text_columns + "r" * (len(headings) - text_columns)
    lines = [RULES, rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule", _tex_line(headings)]
    for rows in groups:
        lines += [r"\midrule", *map(_tex_line, rows)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _tex_line(cells: Sequence[str]) -> str:
    # Braces, since a bracket behind a line's end would be read as its option.
    return " & ".join(f"{{{escape_tex(cell)}}}" for cell in cells) + r" \\"


def escape_tex(text: str) -> str:
    r"""Write plain text so that LaTeX prints it as it is.

    >>> print(escape_tex("SRResNet_DN@Demo, 50 %"))
    SRResNet\_DN@Demo, 50 \%
    """
    return "".join(ESCAPES.get(letter, letter) for letter in text)
