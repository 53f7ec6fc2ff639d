"""Draw the causal effect maps of a config from the effects on disk, and put them into one HTML report."""

from __future__ import annotations

import argparse
import sys

from CEM_Demo.command_line import make_parser, run_script
from CEM_Demo.config.schema import Config
from CEM_Demo.figure.metric_maps import write_metric_maps
from CEM_Demo.mediation.record import write_mediations
from CEM_Demo.report.report import make_report


def work(config: Config, arguments: argparse.Namespace) -> None:
    for path in write_mediations(config) if config.paths else []:
        print(f"wrote {path}")
    print(f"wrote {make_report(config, summary=arguments.summary)}")
    for path in write_metric_maps(config):
        print(f"wrote {path}")


if __name__ == "__main__":
    parser = make_parser(__doc__ or "")
    parser.add_argument("--summary", action="store_true", help="say how sure each map is")
    sys.exit(run_script(parser, work))
