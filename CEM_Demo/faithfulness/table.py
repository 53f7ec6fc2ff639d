"""One row for each map: what the tests gave, as Markdown or CSV."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from io import StringIO

from CEM_Demo.config.schema import Config
from CEM_Demo.faithfulness.additivity import Additivity
from CEM_Demo.faithfulness.assessment import BLOCKS_IN_SENTENCE, Faithfulness, blocks_shown
from CEM_Demo.faithfulness.curves import GREEDY, MAP, NEAREST, RANDOM, Family
from CEM_Demo.files import write_bytes
from CEM_Demo.results.cache import shared_files
from CEM_Demo.results.paths import ResultPaths, table_path

log = logging.getLogger(__name__)

ADDITIVITY_SIZE = 8  # of the row; the JSON has all sizes
SHOWN = (MAP, NEAREST, RANDOM, GREEDY)
NONE = "-"
NAMES = ("model", "image")

# The cells of each row by their headers, by what tells the rows apart.
Rows = Mapping[tuple[str, str], Mapping[str, str]]


def row(result: Faithfulness) -> dict[str, str]:
    """The cells of one map by their headers; where a map has fewer blocks than a header says, the number follows."""
    return {
        "origin (dB)": f"{result.origin:.2f}",
        "helping / hurting": f"{result.helping} / {result.hurting}",
        **_deletion(result),
        "area over nearest": _advantage(result.deletion, NEAREST),
        "area over random": _advantage(result.deletion, RANDOM),
        "insertion: over nearest": _advantage(result.insertion, NEAREST),
        "gain without what hurts": NONE if result.without_hurting is None else str(result.without_hurting),
        **_additivity(result.additivity),
        "reliability": NONE if result.reliability is None else f"{result.reliability.halves:.2f}",
        "verdict": result.verdict,
    }


def _deletion(result: Faithfulness) -> dict[str, str]:
    curves = result.deletion.curves if result.deletion else {}
    count = blocks_shown(result.deletion) if result.deletion else BLOCKS_IN_SENTENCE
    fewer = "" if count == BLOCKS_IN_SENTENCE else f" ({count})"
    costs = {name: curves[name].at(count) if name in curves else None for name in dict.fromkeys([*SHOWN, *curves])}
    costs["sum of effects,"] = result.sum_of_best
    return {
        f"{name} {BLOCKS_IN_SENTENCE}": NONE if cost is None else f"{cost:.2f}{fewer}" for name, cost in costs.items()
    }


def _advantage(family: Family | None, name: str) -> str:
    return NONE if family is None else str(family.advantage(name))


def _additivity(found: Sequence[Additivity]) -> dict[str, str]:
    chosen = next((one for one in found if one.size == ADDITIVITY_SIZE), found[-1] if found else None)
    fewer = f" ({chosen.size})" if chosen and chosen.size != ADDITIVITY_SIZE else ""
    numbers: dict[str, float | None] = {
        "slope, squared error": chosen.ratio.slope if chosen else None,
        "slope, dB": chosen.decibels.slope if chosen else None,
        "Pearson, dB": chosen.decibels.pearson if chosen else None,
        "infidelity (dB)": chosen.decibels.infidelity if chosen else None,
    }
    return {name: NONE if number is None else f"{number:.3f}{fewer}" for name, number in numbers.items()}


def markdown(rows: Rows, names: tuple[str, str] = NAMES) -> str:
    """The rows of models and images as a Markdown table; ``names`` head what tells the rows apart."""
    lines = _lines(rows, names)
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def comma_separated(rows: Rows, names: tuple[str, str] = NAMES) -> str:
    """The rows of models and images as CSV; see :func:`markdown`."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(_lines(rows, names))
    return text.getvalue()


def _lines(rows: Rows, names: tuple[str, str]) -> list[list[str]]:
    headers = list(dict.fromkeys(header for cells in rows.values() for header in cells))
    body = [[*key, *(cells.get(header, NONE) for header in headers)] for key, cells in rows.items()]
    return [[*names, *headers], *body]


def write_table(config: Config, paths: ResultPaths, kind: str, rows: Rows, names: tuple[str, str] = NAMES) -> None:
    """Write rows as Markdown and CSV beside the report.

    Args:
        config: of the run.
        paths: of any of its results.
        kind: what the table holds, as its name says.
        rows: the cells by their headers.
        names: head what tells the rows apart.
    """
    with shared_files(paths):
        for suffix, text in ((".md", markdown(rows, names)), (".csv", comma_separated(rows, names))):
            write_bytes(table_path(config, kind, suffix), text.encode())
    log.info("table: %s and .csv", table_path(config, kind, ".md"))
