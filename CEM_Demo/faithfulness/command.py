"""From the finished results of a run to the tests of its maps: a figure and a JSON file each, and one table."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from io import BytesIO
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from CEM_Demo.config.schema import Config
from CEM_Demo.device import describe_device, exact_arithmetic
from CEM_Demo.errors import InputError
from CEM_Demo.faithfulness.assessment import Design, Faithfulness, assess
from CEM_Demo.faithfulness.experiment import JointExperiment, make_joint_experiment
from CEM_Demo.faithfulness.figure import draw
from CEM_Demo.faithfulness.randomization import randomize
from CEM_Demo.faithfulness.record import Record, read_record
from CEM_Demo.faithfulness.reliability import compare_runs, split_half
from CEM_Demo.faithfulness.second_run import SecondMap, read_second_map
from CEM_Demo.faithfulness.table import comma_separated, markdown, row
from CEM_Demo.files import sole_writer, write_bytes
from CEM_Demo.geometry import image_with_rois
from CEM_Demo.networks.loading import Model
from CEM_Demo.report.panels import Panel, read_panels
from CEM_Demo.results.cache import shared_files
from CEM_Demo.results.lam_files import MissingLam, read_lam, read_lam_manifest
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.paths import ResultPaths, faithfulness_path, result_paths
from CEM_Demo.results.provenance import differences, digest_of, of_config, versions
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.preparation import PosedImage, Run, batch_size_for, inferences_for, prepare

log = logging.getLogger(__name__)

# A network that restores the untouched ROI otherwise than it did is not the one that the map is of.
SAME_ORIGIN = 0.01
RANDOMIZATION_DRAWS = 4


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
    """A model's finished map of one ROI, ready to be tested."""

    run: Run
    model: Model
    posed: PosedImage
    panel: Panel
    extras: Extras

    @property
    def paths(self) -> ResultPaths:
        return result_paths(self.run.config, self.panel.model, self.posed.name, self.panel.roi)

    @property
    def image(self) -> str:
        return image_with_rois(self.posed.name, [self.panel.roi], of=len(self.posed.rois))

    @property
    def title(self) -> str:
        return f"{self.panel.model} on {self.image}"

    @property
    def design(self) -> Design:
        return Design(self.run.config.test_num, tuple(self.run.config.subset_sizes))

    @cached_property
    def decides_the_map(self) -> dict[str, Any]:
        return {**of_config(self.run.config, self.panel.roi), **self.posed.provenance, **self.model.provenance()}

    @cached_property
    def second(self) -> SecondMap | None:
        """The map of the run that this one is to be compared with; None where none was named."""
        if self.extras.against is None:
            return None
        where = self.panel.model, self.posed.name, self.panel.roi
        return read_second_map(self.extras.against, *where, self.decides_the_map, self.model.provenance())

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """All that decides what the tests give."""
        return {
            **self.decides_the_map,
            **asdict(self.design),
            "subset_sizes": list(self.design.subset_sizes),
            "lam": self.extras.lam,
            "randomize": self.extras.randomize,
            "against_sha256": self.second and self.second.effects_sha256,
            "effects_sha256": digest_of(self.panel.map.effect_map.effects),
            "device": describe_device(self.run.device),
            "versions": versions(),
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
    if config.intervention != "natural":
        raise InputError("intervention: maps of natural patches alone are tested; leave the key out, or set natural")
    run = prepare(config)
    pairs = [
        _finished(run, model, posed, panel, extras)
        for label, model in run.models.items()
        for posed in run.posed_images
        for (panel,) in read_panels(config, [posed.name], [label])
    ]
    rows = {}
    for _, of_model in groupby(pairs, lambda pair: pair.panel.model):
        net: nn.Module | None = None
        for pair in of_model:
            record = read_record(pair.paths) if config.load_previous else None
            if record is None or record.provenance != pair.provenance:
                net = net or pair.model.load()
                record = _assess_and_write(pair, net)
            rows[pair.panel.model, pair.image] = row(record.result)
            log.info("%s: %s", pair.title, record.result.sentence)
    _write_table(config, pairs[0].paths, rows)


def _finished(run: Run, model: Model, posed: PosedImage, panel: Panel, extras: Extras) -> Pair:
    """Check that a map is of the image, the bank and the network that there are now.

    Raises:
        InputError: it is not.
    """
    pair = Pair(run, model, posed, panel, extras)
    manifest = read_manifest(pair.paths)
    if manifest is not None:
        asked = pair.decides_the_map
        changes = differences({key: manifest.provenance.get(key) for key in asked}, asked)
        if changes:
            raise InputError(
                f"{pair.paths.pair_folder} was computed differently: {'; '.join(changes)}; set that back, or compute "
                "the effects anew with load_previous: 0"
            )
    return pair


def _assess_and_write(pair: Pair, net: nn.Module) -> Record:
    log.info("%s: testing the map", pair.title)
    with sole_writer(pair.paths.pair_folder), exact_arithmetic():
        began = time.monotonic()
        result = _assess(pair, net)
        seconds = round(time.monotonic() - began, 1)
        record = Record(provenance=pair.provenance, result=result, sentence=result.sentence, seconds=seconds)
        write_bytes(pair.paths.faithfulness_figure, _png(draw(result, pair.title)))
        # Last, since it vouches for the figure as well.
        write_bytes(pair.paths.faithfulness, record.to_bytes())
    return record


def _assess(pair: Pair, net: nn.Module) -> Faithfulness:
    joint = _joint_experiment(pair, net)
    if abs(joint.origin - pair.panel.origin) > SAME_ORIGIN:
        raise InputError(
            f"{pair.paths.origin} says {pair.panel.origin:.2f} dB, {pair.panel.model} restores the ROI with "
            f"{joint.origin:.2f} dB here; compute the effects anew with load_previous: 0"
        )
    others = {"LAM": _lam_sums(pair, net)} if pair.extras.lam else {}
    found = pair.panel.map
    result = assess(joint, found.effect_map.effects, split_half(found.certainty), pair.design, others)
    further: dict[str, Any] = {}
    if second := pair.second:
        further["second_run"] = compare_runs(found.certainty, second.certainty, second.differs)
    if pair.extras.randomize:
        draws = min(RANDOMIZATION_DRAWS, pair.design.test_num)
        further["randomization"] = randomize(net, partial(_joint_experiment, pair), draws)
    return result.model_copy(update=further)


def _joint_experiment(pair: Pair, net: nn.Module) -> JointExperiment:
    run, posed = pair.run, pair.posed
    manifest = read_manifest(pair.paths)
    (group,) = inferences_for(run, net, posed, [pair.panel.roi], manifest.inference if manifest else None)
    experiment = Experiment(net, group, posed.scene, posed.grid, run.bank, run.device)
    batch_size = batch_size_for(run, pair.panel.model, group.inference)
    return make_joint_experiment(experiment, run.config.seed, posed.name, batch_size, pair.design.test_num)


def _lam_sums(pair: Pair, net: nn.Module) -> NDArray[np.float64]:
    """The block sums of the Local Attribution Map of the ROI, rows x columns: those of the run where it has them.

    Raises:
        InputError: there is no such map, because the network or the ROI has none.
    """
    if read_lam_manifest(pair.paths) is not None:
        stored = read_lam(pair.paths)
        if isinstance(stored, MissingLam):
            raise InputError(f"--lam: {pair.title}: {stored.reason}")
        return stored.block_sums
    from CEM_Demo.attribution import block_sums, lam

    attribution = lam(net, pair.posed.scene.degraded, pair.panel.roi, pair.posed.scene.scale, pair.run.device)
    return block_sums(attribution.map, pair.posed.grid)


def _write_table(config: Config, paths: ResultPaths, rows: Mapping[tuple[str, str], Mapping[str, str]]) -> None:
    with shared_files(paths):
        for suffix, text in ((".md", markdown(rows)), (".csv", comma_separated(rows))):
            write_bytes(faithfulness_path(config, suffix), text.encode())
    log.info("table: %s and .csv", faithfulness_path(config, ".md"))


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
