"""From a config to the filters' effects of all its models on all its ROIs, beside the results of the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import nn

from CEM_Demo.config.model_sources import CHECKPOINT_SUFFIXES
from CEM_Demo.config.schema import Config
from CEM_Demo.device import describe_device, exact_arithmetic
from CEM_Demo.errors import InputError, naming
from CEM_Demo.files import sole_writer
from CEM_Demo.filters.donors import Donor, check_enough, make_donors, others_than
from CEM_Demo.filters.effects import Draws, criteria_of, effects_of, measure_effects, no_effects
from CEM_Demo.filters.experiment import FilterExperiment, make_experiment
from CEM_Demo.filters.explanation import ALL, Subject, choose_layers, explain_effects
from CEM_Demo.filters.record import FilterFiles, FilterRecord
from CEM_Demo.filters.replacements import OF_DONORS, RESAMPLE, WEIGHTS, Replacements
from CEM_Demo.geometry import ROI, image_with_rois
from CEM_Demo.images import read_image
from CEM_Demo.inference.suffix import FilterInference
from CEM_Demo.ModelZoo.checkpoints import load_weights, sha256_of
from CEM_Demo.networks.fitting import innermost
from CEM_Demo.networks.loading import Model
from CEM_Demo.patches.photographs import read_photographs
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.provenance import digest_of, strength_of, versions
from CEM_Demo.run.preparation import PosedImage, Run, prepare, try_network

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """A model of a run and an ROI of an image."""

    run: Run
    label: str
    posed: PosedImage
    roi: ROI
    donors: tuple[Donor, ...]

    @property
    def model(self) -> Model:
        return self.run.models[self.label]

    @property
    def image(self) -> str:
        return image_with_rois(self.posed.name, [self.roi], of=len(self.posed.rois))

    @cached_property
    def files(self) -> FilterFiles:
        config = self.run.config
        provenance = {
            "task": config.task,
            "sr": config.sr,
            "roi": str(self.roi),
            "image_sha256": self.posed.provenance["image_sha256"],
            "degraded_sha256": self.posed.provenance["degraded_sha256"],
            "degradation": strength_of(config),
            **self.model.provenance(),
            "filter_layers": list(config.filter_layers),
            "filter_replacement": [sha256_of(file) if file else kind for kind, file in _kinds(config).items()],
            "donors_sha256": digest_of(np.array([donor.degraded for donor in self.donors])),
            "donor_images_sha256": digest_of(np.array([donor.image for donor in self.donors])),
            "seed": config.seed,
            "device": describe_device(self.run.device),
            "versions": versions(),
        }
        paths = result_paths(config, self.label, self.posed.name, self.roi)
        return FilterFiles(paths, provenance, criteria_of(config))


def explain_run(config: Config) -> None:
    """Measure, or go on measuring, the filters of every model on every ROI of every image, and write what it gives.

    Raises:
        InputError: a file is missing or of the wrong kind, torch.export cannot flatten a network, results of another
            kind are there, or another process writes them.
    """
    with exact_arithmetic():
        for net, other, pair in _pairs(config):
            _explain_pair(net, other, pair)


def forecast_run(config: Config) -> None:
    """Say what would be done: work and memory, layer by layer."""
    for net, other, pair in _pairs(config):
        experiment = _experiment(net, other, pair)
        replacements = Replacements(experiment.inference, pair.donors)
        draws = sum(replacements.draws(kind) for kind in _kinds(config))
        total = 0.0
        log.info("%s on %s: %d donors, %s", pair.label, pair.image, len(pair.donors), pair.files.paths.pair_folder)
        for layer in experiment.layers:
            work = experiment.inference.work(layer)
            total += draws * layer.channels * work.multiply_adds
            log.info(
                "  %s: %d filters x %d draws, %s million multiply-adds each (%.0f %% of the network), %.1f MiB",
                layer.name,
                layer.channels,
                draws,
                f"{work.multiply_adds / 1e6:,.0f}",
                100 * work.multiply_adds / work.whole,
                work.bytes / 2**20,
            )
        log.info(
            "  together at most %.2f T multiply-adds; dead filters take none; %.1f GiB of the untouched image are kept",
            total / 1e12,
            experiment.inference.bytes / 2**30,
        )


def _pairs(config: Config) -> Iterator[tuple[nn.Module, nn.Module | None, Pair]]:
    """Give each network, the one whose filters it may take, and each ROI of each image; all is checked first."""
    run = prepare(config)
    with_donors = _with_donors(run)
    pairs = [
        Pair(run, label, posed, roi, donors)
        for label in run.models
        for posed, donors in with_donors
        for roi in posed.rois
    ]
    if config.load_previous:
        for pair in pairs:
            pair.files.earlier()  # It refuses what was computed differently.
    if len(run.models) > 1:
        _check_all_have_filters(run, pairs[0])
    for label, model in run.models.items():
        net, other = model.load(), _other_network(run, label)
        for posed in run.posed_images:
            try_network(run, net, label, posed)
        yield from ((net, other, pair) for pair in pairs if pair.label == label)


def _check_all_have_filters(run: Run, pair: Pair) -> None:
    """Raise InputError if a network lacks a layer that is named, or cannot take the filters of the checkpoint."""
    if run.config.filter_layers != [ALL] or _kinds(run.config).get(WEIGHTS):
        for label in run.models:
            _experiment(run.models[label].load(), _other_network(run, label), replace(pair, label=label))


def _with_donors(run: Run) -> list[tuple[PosedImage, tuple[Donor, ...]]]:
    """Draw the donors of each image, if any replacement needs them.

    Raises:
        InputError: there is no photograph besides the image, or too few of them.
    """
    config = run.config
    if not any(kind in OF_DONORS for kind in _kinds(config)):
        return [(posed, ()) for posed in run.posed_images]
    default = config.TextImg_path if config.input_path is None else config.input_path
    with naming("filter_images"):
        photographs = read_photographs(Path(config.filter_images or default), 1)
    found = []
    for posed in run.posed_images:
        images = [posed.scene.degraded, posed.scene.ground_truth]
        if config.task != "PAIR":
            images.append(read_image(config.image_path(posed.name)))  # The ground truth may be cropped.
        others = others_than(images, photographs)
        if not others:
            raise InputError(f"filter_images: there is no photograph but {posed.name} itself; name a folder of others")
        if RESAMPLE in config.filter_replacement:
            with naming("filter_images"):
                check_enough(len(others), config.filter_draws, "filter_draws")
        if len(others) < config.filter_draws:
            log.info("%s: %d donors are drawn from %d photographs", posed.name, config.filter_draws, len(others))
        degradation, count = config.task_degradation, config.filter_draws
        found.append((posed, make_donors(others, posed.scene, degradation, config.seed, posed.name, count)))
    return found


def _kinds(config: Config) -> dict[str, Path | None]:
    """Give the replacements that a config asks for, and the file of the one that has one."""
    files = {name for name in config.filter_replacement if Path(name).suffix.lower() in CHECKPOINT_SUFFIXES}
    return {
        WEIGHTS if name in files else name: Path(name) if name in files else None for name in config.filter_replacement
    }


def _other_network(run: Run, label: str) -> nn.Module | None:
    """Load the model once more, with the weights of the checkpoint that ``filter_replacement`` names."""
    file = _kinds(run.config).get(WEIGHTS)
    if file is None:
        return None
    net = run.models[label].load()
    with naming(f"filter_replacement: {file}"):
        load_weights(innermost(net)[0], file, label)
    return net


def _experiment(net: nn.Module, other: nn.Module | None, pair: Pair) -> FilterExperiment:
    scene, run = pair.posed.scene, pair.run
    with naming(pair.label):
        inference = FilterInference(net, scene.degraded, pair.roi, run.device, other)
        layers = choose_layers(inference.layers, run.config.filter_layers, innermost(net)[1])
    return make_experiment(inference, scene, pair.roi, layers)


def _explain_pair(net: nn.Module, other: nn.Module | None, pair: Pair) -> None:
    config, files = pair.run.config, pair.files
    with sole_writer(files.paths.pair_folder):
        draws = files.earlier() if config.load_previous else None
        record = files.finished(draws, bool(config.filter_first_order)) if draws else None
        if record is None:
            experiment = _experiment(net, other, pair)
            replacements = Replacements(experiment.inference, pair.donors)
            found = draws or no_effects(experiment, list(_kinds(config)), replacements)
            log.info("%s on %s: %d filters", pair.label, pair.image, experiment.filters)
            measure_effects(experiment, replacements, found, lambda: files.save(found))
            record = _finish(pair, experiment, replacements, found)
    log.info("%s on %s: %s", pair.label, pair.image, record.sentence)


def _finish(pair: Pair, experiment: FilterExperiment, replacements: Replacements, found: Draws) -> FilterRecord:
    config = pair.run.config
    effects = effects_of(experiment, found, criteria_of(config))
    subject = Subject(config.task, pair.label, pair.image, pair.roi)
    first_order = bool(config.filter_first_order)
    explanation = explain_effects(experiment, effects, replacements, subject, config.seed, first_order)
    return pair.files.finish(explanation)
