"""Draw figures, captions and tables for a paper from the effects on disk."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from CEM_Demo.command_line import make_parser, run_script
from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.figure.layouts import LAYOUTS, draw_figures
from CEM_Demo.figure.saving import FORMATS, parse_formats, save_figure
from CEM_Demo.figure.style import Style, parse_width
from CEM_Demo.figure.tables import TABLES, make_table
from CEM_Demo.files import write_bytes
from CEM_Demo.report.colours import COLOUR_MAPS, PUBLISHED_MAP
from CEM_Demo.report.panels import read_panels
from CEM_Demo.results.paths import check_nothing_is_shared
from CEM_Demo.wording import did_you_mean


def work(config: Config, arguments: argparse.Namespace) -> None:
    """Draw what the arguments ask for, and print the names of the files."""
    formats = parse_formats(arguments.format)
    style = Style(parse_width(arguments.width), arguments.font, arguments.colour_bound, arguments.colour_map)
    images = _chosen("images", arguments.images, config.Imagelist)
    models = _chosen("models", arguments.models, list(config.models))
    check_nothing_is_shared(config)
    panels = read_panels(config, images, models)
    folder = Path(arguments.output or config.output_dir)
    stem = f"{config.task}_{config.prefix}"
    if arguments.table:
        _write(folder / f"{stem}_table.{arguments.table}", make_table(panels, arguments.table))
    if arguments.table and not arguments.layout:
        return
    layout = arguments.layout or "comparison"
    for drawing in draw_figures(panels, layout, style):
        name = "_".join(filter(None, (stem, layout, drawing.name)))
        for path in save_figure(drawing.figure, folder / name, formats, style):
            print(f"wrote {path}")
        _write(folder / f"{name}.txt", drawing.caption)


def _write(path: Path, text: str) -> None:
    write_bytes(path, text.encode())
    print(f"wrote {path}")


def _chosen(what: str, asked: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """Check the names that were asked for, and give them, or all."""
    for name in asked or ():
        if name not in known:
            hint = did_you_mean(name, known) or f"it has {', '.join(known)}"
            raise InputError(f"{what}: {name} is not in the config; {hint}")
    return list(dict.fromkeys(asked or known))


def make_figure_parser() -> argparse.ArgumentParser:
    """Make the parser of the command's arguments."""
    parser = make_parser(__doc__ or "")
    parser.prog = "python -m CEM_Demo.figure"
    layouts, maps = ", ".join(LAYOUTS), ", ".join(COLOUR_MAPS)
    parser.add_argument("--layout", metavar="NAME", help=f"{layouts} (default comparison)")
    parser.add_argument("--width", default="17.8cm", help="of the figure as printed, such as 8.6cm (default 17.8cm)")
    parser.add_argument("--format", default="pdf", help=f"of {', '.join(FORMATS)}, several by commas (default pdf)")
    parser.add_argument("--font", metavar="NAME", help="an installed TrueType font (default Arial or the like)")
    parser.add_argument("--images", nargs="+", metavar="NAME", help="of the config's Imagelist (default all)")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="of the config's Modellist (default all)")
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
    parser.add_argument("--output", metavar="DIR", help="folder of the files (default the config's output_dir)")
    return parser


if __name__ == "__main__":
    sys.exit(run_script(make_figure_parser(), work))
