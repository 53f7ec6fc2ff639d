"""Which filters carry an ROI? ``python -m CEM_Demo.filters --config FILE`` replaces them one by one, and in sets.

It needs no finished run, and writes filters.csv, .json, .mat, .npz and .png beside the results of one. See
CEM_Demo/docs/filters.md.
"""

from __future__ import annotations

import argparse
import sys

from CEM_Demo.command_line import make_parser, run_script
from CEM_Demo.config.schema import Config
from CEM_Demo.filters.command import explain_run, forecast_run


def main() -> int:
    parser = make_parser(__doc__ or "")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, layer by layer")

    def work(config: Config, arguments: argparse.Namespace) -> None:
        forecast_run(config) if arguments.dry_run else explain_run(config)

    return run_script(parser, work)


if __name__ == "__main__":
    sys.exit(main())
