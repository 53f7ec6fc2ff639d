"""Draw figures, captions and tables for a paper from the effects on disk."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from CEM_Demo.command_line import make_parser, read_config, run_parsed
from CEM_Demo.figure.layouts import LAYOUTS, draw_figures
from CEM_Demo.figure.reading import read_groups
from CEM_Demo.figure.saving import FORMATS, parse_formats, save_figure
from CEM_Demo.figure.style import Style, parse_width
from CEM_Demo.figure.tables import TABLES, make_table
from CEM_Demo.files import write_bytes
from CEM_Demo.report.colours import COLOUR_MAPS, PUBLISHED_MAP


def work(arguments: argparse.Namespace) -> None:
    """Draw what the arguments ask for, and print the names of the files."""
    formats = parse_formats(arguments.format)
    style = Style(parse_width(arguments.width), arguments.font, arguments.colour_bound, arguments.colour_map)
    configs = [read_config(path, arguments.set) for path in dict.fromkeys(arguments.config)]
    groups = read_groups(configs, arguments.images, arguments.models)
    folder = Path(arguments.output or configs[0].output_dir)
    stem = "_".join(f"{config.task}_{config.prefix}" for config in configs)
    if arguments.table:
        rows = [row for group in groups for row in group.rows]
        _write(folder / f"{stem}_table.{arguments.table}", make_table(rows, arguments.table))
    if arguments.table and not arguments.layout:
        return
    layout = arguments.layout or "comparison"
    for drawing in draw_figures(groups, layout, style):
        name = "_".join(filter(None, (stem, layout, drawing.name)))
        for path in save_figure(drawing.figure, folder / name, formats, style):
            print(f"wrote {path}")
        _write(folder / f"{name}.txt", drawing.caption)


def _write(path: Path, text: str) -> None:
    write_bytes(path, text.encode())
    print(f"wrote {path}")


def make_figure_parser() -> argparse.ArgumentParser:
    """Make the parser of the command's arguments."""
    parser = make_parser(__doc__ or "", several=True)
    parser.prog = "python -m CEM_Demo.figure"
    layouts, maps = ", ".join(LAYOUTS), ", ".join(COLOUR_MAPS)
    parser.add_argument("--layout", metavar="NAME", help=f"{layouts} (default comparison)")
    parser.add_argument("--width", default="17.8cm", help="of the figure as printed, such as 8.6cm (default 17.8cm)")
    parser.add_argument("--format", default="pdf", help=f"of {', '.join(FORMATS)}, several by commas (default pdf)")
    parser.add_argument("--font", metavar="NAME", help="an installed TrueType font (default Arial or the like)")
    parser.add_argument("--images", nargs="+", metavar="NAME", help="of the configs' Imagelist (default all)")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="of the configs' Modellist (default all)")
    parser.add_argument(
        "--colour-bound",
        default="auto",
        metavar="DB",
        help="effect at which colors saturate: auto (the largest certified one), published, or dB (default auto)",
    )
    parser.add_argument("--colour-map", default=PUBLISHED_MAP, metavar="NAME", help=f"{maps} (default {PUBLISHED_MAP})")
    parser.add_argument(
        "--table", metavar="KIND", help=f"write a table: {', '.join(TABLES)}; alone, if no layout is given"
    )
    parser.add_argument("--output", metavar="DIR", help="folder of the files (default output_dir of the first config)")
    return parser


if __name__ == "__main__":
    sys.exit(run_parsed(make_figure_parser(), work))
