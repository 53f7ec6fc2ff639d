"""Is a signed map faithful? ``python -m CEM_Demo.faithfulness --config FILE`` tests the maps of a finished run.

Where the map says that blocks help, replacing them together must cost the ROI more than replacing others; where it says
that they hurt, the ROI must gain. The draws had no part in making the map. See CEM_Demo/docs/faithfulness.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from CEM_Demo.command_line import make_parser, read_config, run_script
from CEM_Demo.config.schema import Config
from CEM_Demo.faithfulness.command import Extras, assess_maps


def main() -> int:
    parser = make_parser(__doc__ or "")
    parser.add_argument("--lam", action="store_true", help="try the order of the Local Attribution Map as well")
    parser.add_argument(
        "--randomize", action="store_true", help="compare the map with those of networks with new weights as well"
    )

    parser.add_argument(
        "--against",
        type=Path,
        metavar="FILE",
        help="config of another finished run, of another seed or bank, whose maps these are compared with as well",
    )

    def work(config: Config, arguments: argparse.Namespace) -> None:
        against = read_config(arguments.against) if arguments.against else None
        assess_maps(config, Extras(arguments.lam, arguments.randomize, against))

    return run_script(parser, work)


if __name__ == "__main__":
    sys.exit(main())
