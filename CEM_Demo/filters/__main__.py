"""Which filters carry an ROI? ``python -m CEM_Demo.filters --config FILE`` replaces them one by one, and in sets.

It needs no finished run, and writes filters.csv, .json, .mat, .npz and .png beside the results of one. See
CEM_Demo/docs/filters.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from CEM_Demo.command_line import make_parser, read_config, run_script
from CEM_Demo.config.schema import Config
from CEM_Demo.filters.against import contrast_runs
from CEM_Demo.filters.command import explain_run, forecast_run


def main() -> int:
    parser = make_parser(__doc__ or "")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--dry-run", action="store_true", help="say what would be done, layer by layer")
    instead.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="config of a measurement under another degradation; both are finished, and their difference is written",
    )

    def work(config: Config, arguments: argparse.Namespace) -> None:
        if arguments.against:
            contrast_runs(config, read_config(arguments.against))
        elif arguments.dry_run:
            forecast_run(config)
        else:
            explain_run(config)

    return run_script(parser, work)


if __name__ == "__main__":
    sys.exit(main())
