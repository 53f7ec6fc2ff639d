"""The paper's experiments: what they ask, which checkpoints are missing, and published numbers beside one's own.

``python -m CEM_Demo.study.paper`` lists the experiments; with the name of one, it shows its studies. Their results are
looked for where the studies put them, changed as --set changes them.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from CEM_Demo.command_line import exit_code, read_config
from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.study.agreement import compare_studies
from CEM_Demo.study.findings import Findings, read_findings
from CEM_Demo.study.measures import MEASURES
from CEM_Demo.study.paper.experiments import (
    EXPERIMENTS,
    Experiment,
    Published,
    experiment_of,
    missing_line,
    published_of,
    study_file,
)
from CEM_Demo.study.summary import ModelRow, summarize

log = logging.getLogger(__name__)

# In the order in which pies and ranges are read.
SHOWN = ("psnr", "lowest", "highest", "helping", "hurting", "neither")


def main(words: Sequence[str] | None = None) -> int:
    """List the experiments or show one; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m CEM_Demo.study.paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"one of {', '.join(EXPERIMENTS)}")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value in all its studies; repeatable"
    )
    arguments = parser.parse_args(words)
    if arguments.name is None:
        return exit_code(lambda: _list(arguments.set))
    return exit_code(lambda: show(experiment_of(arguments.name), arguments.set))


def _list(changes: Sequence[str]) -> None:
    for name, experiment in EXPERIMENTS.items():
        log.info("%s: %s", name, experiment.question)
        for study in experiment.studies:
            log.info("  %s: %s", study_file(study).name, missing_line(read_config(study_file(study), changes)))


def show(experiment: Experiment, changes: Sequence[str]) -> None:
    """Print what an experiment needs, what was published of it, and what its studies found here.

    Args:
        experiment: one of ``EXPERIMENTS``.
        changes: ``key=value`` words that replace values in all its studies.

    Raises:
        InputError: a change is no valid one.
    """
    log.info(experiment.question)
    found: dict[str, Findings] = {}
    for study in experiment.studies:
        config = read_config(study_file(study), changes)
        log.info("%s: %s", study_file(study).name, missing_line(config))
        try:
            found[study] = read_findings(config)
        except InputError as error:
            log.info("  no own numbers yet: %s", error)
        _print_numbers(study, config, found.get(study))
    first = experiment.studies[0]
    if experiment.is_compared and first in found:
        for study in experiment.studies[1:]:
            for line in compare_studies(found[first], found[study], config.confidence) if study in found else ():
                log.info("%s against %s: %s", study, first, line)


def _print_numbers(study: str, config: Config, findings: Findings | None) -> None:
    """Print the published numbers of a study, each with the own ones of the same network under it."""
    rows = summarize(findings, config.confidence).models if findings else []
    published = published_of(study)
    for model in dict.fromkeys([*(row.model for row in published), *(_network(row.model) for row in rows)]):
        for numbers in published:
            if numbers.model == model:
                log.info("  published, %s on %s: %s", model, numbers.image, _published_words(numbers))
        for row in rows:
            if _network(row.model) == model:
                log.info("  own, %s on %d images: %s", row.model, row.estimates["psnr"].images, _own_words(row))


def _network(label: str) -> str:
    """The network of a label, whatever its training."""
    return label.partition("@")[0]


def _published_words(numbers: Published) -> str:
    by_key = {measure.key: measure for measure in MEASURES}
    given = {key: value for key in SHOWN if (value := getattr(numbers, key)) is not None}
    return ", ".join(f"{by_key[key].heading} {value:g}" for key, value in given.items())


def _own_words(row: ModelRow) -> str:
    shown = [measure for key in SHOWN for measure in MEASURES if measure.key == key]
    return ", ".join(f"{measure.heading} {measure.write(row.estimates[measure.key].mean)}" for measure in shown)


if __name__ == "__main__":
    sys.exit(main())
