"""One row for each map: what the tests gave, as Markdown or CSV."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from io import StringIO

from CEM_Demo.faithfulness.additivity import Additivity
from CEM_Demo.faithfulness.assessment import BLOCKS_IN_SENTENCE, Faithfulness
from CEM_Demo.faithfulness.curves import GREEDY, MAP, NEAREST, RANDOM, Family

ADDITIVITY_SIZE = 8  # of the row; the JSON has all sizes
NONE = "-"


def row(result: Faithfulness) -> dict[str, str]:
    """The cells of one map by their headers."""
    return {
        "origin (dB)": f"{result.origin:.2f}",
        "helping / hurting": f"{result.helping} / {result.hurting}",
        **_deletion(result.deletion),
        "insertion: over nearest": _advantage(result.insertion, NEAREST),
        "hurting replaced": _gain(result),
        "over random when replaced": _advantage(result.hurting_deletion, RANDOM),
        **_additivity(result.additivity),
        "reliability": NONE if result.reliability is None else f"{result.reliability.halves:.2f}",
        "verdict": result.verdict,
    }


def _deletion(family: Family | None) -> dict[str, str]:
    last = min(BLOCKS_IN_SENTENCE, family.curves[MAP].points[-1]) if family else BLOCKS_IN_SENTENCE
    means = {name: curve.at(last) for name, curve in family.curves.items()} if family else {}
    shown = [MAP, NEAREST, RANDOM, GREEDY, *(name for name in means if name not in (MAP, NEAREST, RANDOM, GREEDY))]
    costs = {
        f"{name} {BLOCKS_IN_SENTENCE}": NONE if (mean := means.get(name)) is None else f"{mean:.2f}" for name in shown
    }
    return {
        **costs,
        "area over nearest": _advantage(family, NEAREST),
        "area over random": _advantage(family, RANDOM),
    }


def _advantage(family: Family | None, name: str) -> str:
    return NONE if family is None else str(family.advantage(name))


def _gain(result: Faithfulness) -> str:
    return NONE if result.without_hurting is None else f"{result.hurting}: {result.without_hurting}"


def _additivity(found: Sequence[Additivity]) -> dict[str, str]:
    chosen = next((one for one in found if one.size == ADDITIVITY_SIZE), found[-1] if found else None)
    kinds = {"dB": chosen.decibels, "ratio": chosen.ratio} if chosen else {"dB": None, "ratio": None}
    slopes = {
        f"slope ({kind})": NONE if one is None or one.slope is None else f"{one.slope:.2f}"
        for kind, one in kinds.items()
    }
    pearson = chosen.decibels.pearson if chosen else None
    return {
        **slopes,
        "Pearson (dB)": NONE if pearson is None else f"{pearson:.3f}",
        "infidelity (dB)": f"{chosen.decibels.infidelity:.3f}" if chosen else NONE,
    }


def markdown(rows: Mapping[tuple[str, str], Mapping[str, str]]) -> str:
    """The rows of models and images as a Markdown table."""
    lines = _lines(rows)
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def comma_separated(rows: Mapping[tuple[str, str], Mapping[str, str]]) -> str:
    """The rows of models and images as CSV."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(_lines(rows))
    return text.getvalue()


def _lines(rows: Mapping[tuple[str, str], Mapping[str, str]]) -> list[list[str]]:
    headers = list(dict.fromkeys(header for cells in rows.values() for header in cells))
    body = [[*names, *(cells.get(header, NONE) for header in headers)] for names, cells in rows.items()]
    return [["model", "image", *headers], *body]
