"""From two finished measurements to the table of what filters do under one degradation more than under the other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.files import sole_writer, write_bytes
from CEM_Demo.filters.contrast import Contrast, contrast
from CEM_Demo.filters.effects import FilterEffects, criteria_of
from CEM_Demo.filters.record import FilterRecord, read_finished
from CEM_Demo.geometry import ROI
from CEM_Demo.report.row_tables import comma_separated, markdown
from CEM_Demo.results.paths import ResultPaths, result_paths
from CEM_Demo.results.second_runs import check_has, check_same

log = logging.getLogger(__name__)

# What two measurements may differ in; all else that decides them must be the same.
FREE = ("task", "degradation", "degraded_sha256", "donors_sha256", "device", "versions")
NAMES = ("layer", "channel")
MOST_LINES = 40  # of the Markdown table; the CSV file has all filters


@dataclass(frozen=True)
class Case:
    """A model, an image and an ROI."""

    model: str
    image: str
    roi: ROI

    def paths(self, config: Config) -> ResultPaths:
        """Say where the results of a run on it are."""
        return result_paths(config, self.model, self.image, self.roi)


def contrast_runs(config: Config, against: Config) -> None:
    """Compare the filters' effects of a run with those of another degradation, for every model, image and ROI.

    Args:
        config: of the run A, whose filters are measured.
        against: of the run B.

    Raises:
        InputError: a measurement is missing or unfinished, or is one of another network, image, ROI, replacement or
            donors, or of the same degradation.
    """
    found = [(case, *_read(case, config, against)) for case in _cases(config)]
    for case, title, compared in found:
        _write(case.paths(config), title, compared)
        log.info("%s on %s, ROI %s: %s", case.model, case.image, case.roi, compared.sentence)


def _cases(config: Config) -> Iterator[Case]:
    for model in config.models:
        for image in config.Imagelist:
            yield from (Case(model, image, roi) for roi in config.rois_of(image))


def _read(case: Case, config: Config, against: Config) -> tuple[str, Contrast]:
    """Read the effects of a case in both runs, and compare them under a title."""
    check_has(against, case.model, case.image, case.roi, "measurement")
    (ours, first), (theirs, second) = (_finished(case.paths(one)) for one in (config, against))
    folder = case.paths(against).pair_folder
    same = {key: value for key, value in ours.provenance.items() if key not in FREE}
    check_same(theirs.provenance, same, folder, "measurement")
    if ours.provenance["degraded_sha256"] == theirs.provenance["degraded_sha256"]:
        raise InputError(f"--against: {folder} has the same degradation; name a run of another sigma, rain or task")
    title = f"{case.model} on {case.image}, ROI {case.roi}. A: {_degradation(ours)}; B: {_degradation(theirs)}."
    return title, contrast(first, second, criteria_of(config))


def _finished(paths: ResultPaths) -> tuple[FilterRecord, FilterEffects]:
    found = read_finished(paths)
    if found is None:
        raise InputError(
            f"{paths.pair_folder} has no finished measurement of filters; run python -m CEM_Demo.filters without "
            "--against first"
        )
    return found


def _degradation(record: FilterRecord) -> str:
    strength: dict[str, Any] = record.provenance.get("degradation", {})
    words = [record.provenance["task"], *(f"{name} {value}" for name, value in strength.items())]
    return f"{' '.join(words)}, {record.origin:.2f} dB"


def _write(paths: ResultPaths, title: str, compared: Contrast) -> None:
    """Write the table beside the measurement of run A."""
    rows = compared.rows()
    strongest = dict(islice(rows.items(), MOST_LINES))
    text = f"{title}\n\n{compared.sentence}\n\n{markdown(strongest, NAMES)}"
    with sole_writer(paths.pair_folder):
        write_bytes(paths.of_filters("-against.csv"), comma_separated(rows, NAMES).encode())
        write_bytes(paths.of_filters("-against.md"), text.encode())
    log.info("table: %s and .csv", paths.of_filters("-against.md"))
