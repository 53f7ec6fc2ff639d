"""From the finished results of a run to the tests of its maps: a figure and a JSON file each, and one table."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from io import BytesIO
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
from CEM_Demo.faithfulness.reliability import reliability_of
from CEM_Demo.faithfulness.table import comma_separated, markdown, row
from CEM_Demo.files import sole_writer, write_bytes
from CEM_Demo.geometry import ROI, image_with_rois
from CEM_Demo.method.effect_map import EffectMap, make_effect_map
from CEM_Demo.method.intervention import NaturalPatches
from CEM_Demo.networks.loading import Model
from CEM_Demo.results.cache import shared_files
from CEM_Demo.results.paths import ResultPaths, faithfulness_path, result_paths
from CEM_Demo.results.provenance import differences, digest_of, of_config, versions
from CEM_Demo.results.reading import Results, read_results
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.preparation import Run, Subject, batch_size_for, inferences_for, prepare

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
    """

    lam: bool = False
    randomize: bool = False


NO_EXTRAS = Extras()


@dataclass(frozen=True)
class Pair:
    """A model's finished map of one ROI, ready to be tested."""

    run: Run
    label: str
    model: Model
    subject: Subject
    roi: ROI
    stored: Results
    extras: Extras

    @property
    def paths(self) -> ResultPaths:
        return result_paths(self.run.config, self.label, self.subject.name, self.roi)

    @property
    def image(self) -> str:
        return image_with_rois(self.subject.name, [self.roi], of=len(self.subject.rois))

    @property
    def design(self) -> Design:
        return Design(self.run.config.test_num, tuple(self.run.config.subset_sizes))

    @cached_property
    def map(self) -> EffectMap:
        roi_blocks = self.subject.grid.overlaps(self.roi)
        return make_effect_map(self.stored.origin, self.stored.rounds.values(), self.run.config.tol, roi_blocks)

    @cached_property
    def decides_the_map(self) -> dict[str, Any]:
        return {**of_config(self.run.config, self.roi), **self.subject.provenance, **self.model.provenance()}

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """All that decides what the tests give."""
        return {
            **self.decides_the_map,
            **asdict(self.design),
            "subset_sizes": list(self.design.subset_sizes),
            **asdict(self.extras),
            "effects_sha256": digest_of(self.map.effects),
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
        InputError: results are missing, unfinished, or computed with another config, image, bank or network.
    """
    run = prepare(config)
    pairs = [
        _finished(run, label, model, subject, roi, extras)
        for label, model in run.models.items()
        for subject in run.subjects
        for roi in subject.rois
    ]
    records = {}
    for label, model in run.models.items():
        net: nn.Module | None = None
        for pair in [pair for pair in pairs if pair.label == label]:
            earlier = read_record(pair.paths) if config.load_previous else None
            if earlier is None or earlier.provenance != pair.provenance:
                net = net or model.load()
                earlier = _assess_and_write(pair, net)
            records[label, pair.image] = earlier
            log.info("%s on %s: %s", label, pair.image, earlier.result.sentence)
    _write_table(config, pairs[0].paths, {names: row(record.result) for names, record in records.items()})


def _finished(run: Run, label: str, model: Model, subject: Subject, roi: ROI, extras: Extras) -> Pair:
    """Read a map, and check that it is what the config would give.

    Raises:
        InputError: it is not, or it is not finished.
    """
    paths = result_paths(run.config, label, subject.name, roi)
    pair = Pair(run, label, model, subject, roi, read_results(paths), extras)
    manifest = pair.stored.manifest
    if manifest is not None:
        asked = pair.decides_the_map
        changes = differences({key: manifest.provenance.get(key) for key in asked}, asked)
        if changes:
            raise InputError(
                f"{paths.pair_folder} was computed differently: {'; '.join(changes)}; set that back, or compute the "
                "effects anew with load_previous: 0"
            )
    for name, draws in pair.stored.rounds.items():
        if draws.counts.shape != subject.grid.shape:
            raise InputError(
                f"{paths.of_round(name)} has {draws.counts.shape} blocks, the image has {subject.grid.shape}; recompute"
            )
    return pair


def _assess_and_write(pair: Pair, net: nn.Module) -> Record:
    log.info("%s on %s: testing the map", pair.label, pair.image)
    with sole_writer(pair.paths.pair_folder), exact_arithmetic():
        began = time.monotonic()
        result = _assess(pair, net)
        record = Record(provenance=pair.provenance, result=result, seconds=round(time.monotonic() - began, 1))
        figure = _png(draw(result, f"{pair.label} on {pair.image}"))
        write_bytes(pair.paths.faithfulness_figure, figure)
        # Last, since it vouches for the figure as well.
        write_bytes(pair.paths.faithfulness, record.to_bytes())
    return record


def _assess(pair: Pair, net: nn.Module) -> Faithfulness:
    joint = _joint_experiment(pair, net)
    if abs(joint.origin - pair.stored.origin) > SAME_ORIGIN:
        raise InputError(
            f"{pair.paths.origin} says {pair.stored.origin:.2f} dB, {pair.label} restores the ROI with "
            f"{joint.origin:.2f} dB here; compute the effects anew with load_previous: 0"
        )
    others = {"LAM": _lam_sums(pair, net)} if pair.extras.lam else {}
    result = assess(joint, pair.map.effects, reliability_of(joint, pair.stored.rounds), pair.design, others)
    if not pair.extras.randomize:
        return result
    forgotten = randomize(net, partial(_joint_experiment, pair), min(RANDOMIZATION_DRAWS, pair.design.test_num))
    return result.model_copy(update={"randomization": forgotten})


def _joint_experiment(pair: Pair, net: nn.Module) -> JointExperiment:
    run, subject = pair.run, pair.subject
    kind = pair.stored.manifest.inference if pair.stored.manifest else None
    (group,) = inferences_for(run, net, subject, [pair.roi], kind)
    patches = NaturalPatches(run.bank, subject.grid.block, subject.scene.degrade_patches)
    return make_joint_experiment(
        Experiment(group, subject.scene.ground_truth, subject.grid, patches),
        subject.scene.degraded,
        run.config.seed,
        subject.name,
        len(run.bank),
        batch_size_for(run, pair.label, group.inference),
        pair.design.draws,
    )


def _lam_sums(pair: Pair, net: nn.Module) -> NDArray[np.float64]:
    """The block sums of the Local Attribution Map of the ROI, rows x columns."""
    from CEM_Demo.attribution import block_sums, lam

    attribution = lam(net, pair.subject.scene.degraded, pair.roi, pair.subject.scene.scale, pair.run.device)
    return block_sums(attribution.map, pair.subject.grid)


def _write_table(config: Config, paths: ResultPaths, rows: Mapping[tuple[str, str], Mapping[str, str]]) -> None:
    with shared_files(paths):
        for suffix, text in ((".md", markdown(rows)), (".csv", comma_separated(rows))):
            write_bytes(faithfulness_path(config, suffix), text.encode())
    log.info("table: %s and .csv", faithfulness_path(config, ".md"))


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
