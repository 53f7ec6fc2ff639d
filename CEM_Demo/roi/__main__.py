"""Choose an ROI: write a page on which you draw boxes on an image, with proposals of boxes that are worth a look.

``python -m CEM_Demo.roi IMAGE`` proposes boxes with structure; with ``--config FILE`` it proposes boxes whose structure
the config's first network restores badly. The page is one HTML file that works offline and gives the YAML lines.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from CEM_Demo.command_line import exit_code
from CEM_Demo.roi.page import choose


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m CEM_Demo.roi", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a clean image")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file, such as demo-SR_CEM.yml")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the page (default: <IMAGE's stem>_ROI.html, here)")
    arguments = parser.parse_args()
    return exit_code(lambda: choose(arguments.image, arguments.config, arguments.output))


if __name__ == "__main__":
    sys.exit(main())
