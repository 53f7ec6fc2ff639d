"""Print the zoo as a table, or say what network a checkpoint file holds: ``python -m CEM_Demo.ModelZoo``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from CEM_Demo.command_line import exit_code
from CEM_Demo.ModelZoo import MODEL_DIR, Entry, build_network, entries
from CEM_Demo.ModelZoo.registry import TASKS
from CEM_Demo.networks.loading import describe_file

HEADER = ("name", "task", "parameters", "reach", "published checkpoint", "present", "bundled", "paper")


def row(entry: Entry) -> tuple[str, ...]:
    """Give the cells of one model; the reach is the radius of its receptive field in input pixels."""
    with torch.device("meta"):
        net = build_network(entry.name, entry.tasks[0])
    parameters = sum(weight.numel() for weight in net.parameters())
    present = {name for name, known in entry.checkpoints.items() if (MODEL_DIR / known.file).is_file()}
    published = entry.checkpoints.get("Base")
    return (
        entry.name,
        "/".join(entry.tasks),
        f"{parameters:,}",
        "global" if entry.reach is None else str(entry.reach),
        published.file if published else "",
        "yes" if "Base" in present else "",
        ", ".join(f"{entry.name}@{name}" for name in sorted(present - {"Base"})),
        entry.paper,
    )


def table(rows: list[tuple[str, ...]], markdown: bool) -> str:
    """Lay out the rows under their header, as aligned columns or in Markdown."""
    lines = [HEADER, *rows]
    if markdown:
        lines.insert(1, tuple("---" for _ in HEADER))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m CEM_Demo.ModelZoo", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="say what network this checkpoint file holds")
    parser.add_argument("--task", choices=TASKS, help="show only this task's models; with a file, what the file is for")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    arguments = parser.parse_args()
    if arguments.file is not None:
        return exit_code(lambda: print(describe_file(arguments.file, arguments.task or "SR")))
    print(table([row(entry) for entry in entries(arguments.task)], arguments.markdown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
