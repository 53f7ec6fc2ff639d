"""Do people look where the network looks? ``python -m CEM_Demo.people --config FILE --masks FOLDER``.

Annotators see the ground truth, the input and the ROI, and mark what they would use to restore the ROI (helps) and what
could mislead them (hurts). ``--page`` writes the page on which they draw; masks may also come from LabelMe or in COCO's
form. See CEM_Demo/docs/people.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from CEM_Demo.command_line import make_parser, run_script
from CEM_Demo.config.schema import Config
from CEM_Demo.people.command import compare_with_people
from CEM_Demo.people.page import write_page


def main() -> int:
    parser = make_parser(__doc__ or "")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--masks", type=Path, metavar="FOLDER", help="the masks, as JSON files")
    task.add_argument("--page", action="store_true", help="write the page on which annotators draw")

    def work(config: Config, arguments: argparse.Namespace) -> None:
        if arguments.page:
            write_page(config)
        else:
            compare_with_people(config, arguments.masks)

    return run_script(parser, work)


if __name__ == "__main__":
    sys.exit(main())
