"""From the finished results of a run to the tests of its maps: a figure and a JSON file each, and one table."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from CEM_Demo.config.schema import Config
from CEM_Demo.device import exact_arithmetic
from CEM_Demo.errors import InputError
from CEM_Demo.faithfulness.assessment import Design, Faithfulness, assess
from CEM_Demo.faithfulness.figure import draw
from CEM_Demo.faithfulness.finished import FinishedMap, finished_maps
from CEM_Demo.faithfulness.randomization import randomize
from CEM_Demo.faithfulness.record import Record, read_record
from CEM_Demo.faithfulness.reliability import compare_runs, split_half
from CEM_Demo.faithfulness.second_run import SecondMap, read_second_map
from CEM_Demo.faithfulness.table import row
from CEM_Demo.files import sole_writer, write_bytes
from CEM_Demo.images import figure_bytes
from CEM_Demo.report.row_tables import write_table
from CEM_Demo.results.lam_files import MissingLam, read_lam, read_lam_manifest
from CEM_Demo.run.preparation import prepare

log = logging.getLogger(__name__)

RANDOMIZATION_DRAWS = 4
FIGURE_DPI = 130


@dataclass(frozen=True)
class Extras:
    """What is tried on request.

    Attributes:
        lam: the order of the block sums of a Local Attribution Map.
        randomize: the maps of networks whose layers were initialized anew.
        against: the config of another finished run, whose maps these are compared with.
    """

    lam: bool = False
    randomize: bool = False
    against: Config | None = None


NO_EXTRAS = Extras()


@dataclass(frozen=True)
class Pair:
    """A finished map, and how it is tested."""

    found: FinishedMap
    extras: Extras

    @property
    def design(self) -> Design:
        config = self.found.run.config
        return Design(config.test_num, tuple(config.subset_sizes))

    @cached_property
    def second(self) -> SecondMap | None:
        """The map of the run that this one is to be compared with; None where none was named."""
        if self.extras.against is None:
            return None
        found = self.found
        where = found.panel.model, found.posed.name, found.panel.roi
        return read_second_map(self.extras.against, *where, found.decided_by, found.model.provenance())

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """All that decides what the tests give."""
        return {
            **self.found.provenance,
            **asdict(self.design),
            "subset_sizes": list(self.design.subset_sizes),
            "lam": self.extras.lam,
            "randomize": self.extras.randomize,
            "against_sha256": self.second and self.second.effects_sha256,
        }


def assess_maps(config: Config, extras: Extras = NO_EXTRAS) -> None:
    """Test the maps of all models and images of a finished run, and write what that gives.

    Maps that were tested before, with the same config, are not tested again under ``load_previous: 1``.

    Args:
        config: of the run.
        extras: what is tried besides.

    Raises:
        InputError: results are missing, unfinished, or computed with another config, image, bank or network, or with
            another intervention than natural patches.
    """
    pairs = [Pair(found, extras) for found in finished_maps(prepare(config))]
    rows = {}
    for _, of_model in groupby(pairs, lambda pair: pair.found.panel.model):
        net: nn.Module | None = None
        for pair in of_model:
            found = pair.found
            record = read_record(found.paths) if config.load_previous else None
            if record is None or record.provenance != pair.provenance:
                net = net or found.model.load()
                record = _assess_and_write(pair, net)
            rows[found.panel.model, found.image] = row(record.result)
            log.info("%s: %s", found.title, record.result.sentence)
    write_table(config, pairs[0].found.paths, "Faithfulness", rows)


def _assess_and_write(pair: Pair, net: nn.Module) -> Record:
    paths, title = pair.found.paths, pair.found.title
    log.info("%s: testing the map", title)
    with sole_writer(paths.pair_folder), exact_arithmetic():
        began = time.monotonic()
        result = _assess(pair, net)
        seconds = round(time.monotonic() - began, 1)
        record = Record(provenance=pair.provenance, result=result, sentence=result.sentence, seconds=seconds)
        write_bytes(paths.faithfulness_figure, figure_bytes(draw(result, title), FIGURE_DPI))
        # Last, since it vouches for the figure as well.
        write_bytes(paths.faithfulness, record.to_bytes())
    return record


def _assess(pair: Pair, net: nn.Module) -> Faithfulness:
    found, draws = pair.found, pair.design.test_num
    joint = found.joint_experiment(net, draws)
    found.check_origin(joint.origin)
    others = {"LAM": _lam_sums(found, net)} if pair.extras.lam else {}
    certainty = found.panel.map.certainty
    result = assess(joint, found.panel.map.effect_map.effects, split_half(certainty), pair.design, others)
    further: dict[str, Any] = {}
    if second := pair.second:
        further["second_run"] = compare_runs(certainty, second.certainty, second.differs)
    if pair.extras.randomize:
        anew = partial(found.joint_experiment, draws=draws)
        further["randomization"] = randomize(net, anew, min(RANDOMIZATION_DRAWS, draws))
    return result.model_copy(update=further)


def _lam_sums(found: FinishedMap, net: nn.Module) -> NDArray[np.float64]:
    """The block sums of the Local Attribution Map of the ROI, rows x columns: those of the run where it has them.

    Raises:
        InputError: there is no such map, because the network or the ROI has none.
    """
    if read_lam_manifest(found.paths) is not None:
        stored = read_lam(found.paths)
        if isinstance(stored, MissingLam):
            raise InputError(f"--lam: {found.title}: {stored.reason}")
        return stored.block_sums
    from CEM_Demo.attribution import block_sums, lam

    posed = found.posed
    attribution = lam(net, posed.scene.degraded, found.panel.roi, posed.scene.scale, found.run.device)
    return block_sums(attribution.map, posed.grid)
