"""Tables with a row for each map, beside the report, as Markdown and CSV."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from io import StringIO

from CEM_Demo.config.schema import Config
from CEM_Demo.files import remove_leftovers, write_bytes
from CEM_Demo.results.cache import shared_files
from CEM_Demo.results.paths import ResultPaths, table_path

log = logging.getLogger(__name__)

NONE = "-"
NAMES: tuple[str, ...] = ("model", "image")

# The cells of each row by their headers, by what tells the rows apart.
Cells = Mapping[str, str]
Rows = Mapping[tuple[str, str], Cells] | Mapping[tuple[str, str, str], Cells]


def markdown(rows: Rows, names: tuple[str, ...] = NAMES) -> str:
    """The rows of models and images as a Markdown table; ``names`` head what tells the rows apart."""
    lines = _lines(rows, names)
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def comma_separated(rows: Rows, names: tuple[str, ...] = NAMES) -> str:
    """The rows of models and images as CSV; see :func:`markdown`."""
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows(_lines(rows, names))
    return text.getvalue()


def _lines(rows: Rows, names: tuple[str, ...]) -> list[list[str]]:
    headers = list(dict.fromkeys(header for cells in rows.values() for header in cells))
    body = [[*key, *(cells.get(header, NONE) for header in headers)] for key, cells in rows.items()]
    return [[*names, *headers], *body]


def write_table(config: Config, paths: ResultPaths, kind: str, rows: Rows, names: tuple[str, ...] = NAMES) -> None:
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
            path = table_path(config, kind, suffix)
            remove_leftovers(path.parent, path.name)
            write_bytes(path, text.encode())
    log.info("table: %s and .csv", table_path(config, kind, ".md"))
