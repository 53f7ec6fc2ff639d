"""Plan, run, watch and report a study: many models, images and ROIs in one config.

``plan`` says what it takes, ``run`` does what is left of it, ``status`` says how far it is, and ``report`` writes its
tables and its page. See CEM_Demo/docs/studies.md.
"""

from __future__ import annotations

import argparse
import sys

from CEM_Demo.command_line import make_parser, run_script
from CEM_Demo.config.schema import Config
from CEM_Demo.study.cluster import CLUSTERS, SLURM, split_slurm_options
from CEM_Demo.study.command import plan, run, status

ACTIONS = {"plan": plan, "run": run, "status": status}


def make_study_parser() -> argparse.ArgumentParser:
    """Make the parser of the command's arguments, apart from those for SLURM."""
    parser = make_parser(__doc__ or "")
    parser.prog = "python -m CEM_Demo.study"
    parser.add_argument("action", choices=[*ACTIONS, "report"])
    parser.add_argument(
        "--workers", default="auto", metavar="N", help="processes here; auto: one for each GPU, or what the cores hold"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of each worker (default 1, or as the study began)")
    parser.add_argument("--shard", metavar="I/N", help="take part I of N of the jobs, from 1/N to N/N")
    parser.add_argument("--cluster", choices=CLUSTERS, help="run: hand the jobs over through submitit")
    parser.add_argument(
        "--minutes-per-job", type=float, default=30, metavar="M", help="least of a task on a cluster (default 30)"
    )
    parser.epilog = f"{SLURM}NAME=VALUE is passed on to sbatch\n\n{parser.epilog}"
    return parser


def work(config: Config, arguments: argparse.Namespace) -> None:
    """Do what the arguments ask for."""
    if arguments.action == "report":
        from CEM_Demo.study.report import report_study

        report_study(config)
        return
    ACTIONS[arguments.action](config, arguments)


def main() -> int:
    words, slurm = split_slurm_options(sys.argv[1:])
    parser = make_study_parser()
    parser.set_defaults(slurm=slurm)
    return run_script(parser, work, words)


if __name__ == "__main__":
    sys.exit(main())
