"""Is a signed map faithful? ``python -m CEM_Demo.faithfulness --config FILE`` tests the maps of a finished run.

Where the map says that blocks help, replacing them together must cost the ROI more than replacing others; where it says
that they hurt, the ROI must gain. The draws had no part in making the map. See CEM_Demo/docs/faithfulness.md.
"""

from __future__ import annotations

import sys

from CEM_Demo.command_line import make_parser, run_script
from CEM_Demo.faithfulness.command import assess_maps


def main() -> int:
    parser = make_parser(__doc__ or "")
    parser.add_argument("--lam", action="store_true", help="try the order of the Local Attribution Map as well")
    return run_script(parser, lambda config, arguments: assess_maps(config, arguments.lam))


if __name__ == "__main__":
    sys.exit(main())
