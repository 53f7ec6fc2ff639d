"""What would change the ROI by so many dB? ``python -m CEM_Demo.counterfactual --config FILE`` asks a finished run.

It searches for the fewest blocks outside the ROI whose edit costs the ROI, or gains it, ``change_db``: on average over
natural patches, by one patch in each, by removing their degradation, or by any small change of their pixels. See
CEM_Demo/docs/counterfactuals.md.
"""

from __future__ import annotations

import argparse
import sys

from CEM_Demo.command_line import make_parser, run_script
from CEM_Demo.config.schema import Config
from CEM_Demo.counterfactual.command import find_counterfactuals


def main() -> int:
    parser = make_parser(__doc__ or "")
    parser.add_argument("--replay", action="store_true", help="measure what was found before once more, and compare")

    def work(config: Config, arguments: argparse.Namespace) -> None:
        find_counterfactuals(config, arguments.replay)

    return run_script(parser, work)


if __name__ == "__main__":
    sys.exit(main())
