"""Before anything is computed: find and check all that a config names, and forecast the work."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from CEM_Demo.config.schema import Config
from CEM_Demo.device import pick_device
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI, Grid, grid_of
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.inference.checks import check_network
from CEM_Demo.inference.choice import Shared, choose_inference, predict_cost
from CEM_Demo.inference.interface import Inference
from CEM_Demo.inference.process_memory import most_resident_bytes, resident_bytes
from CEM_Demo.inference.reach import Cost
from CEM_Demo.method.patch_bank import PatchBank, load_bank
from CEM_Demo.method.plan import Plan, make_plans
from CEM_Demo.networks.loading import Model, resolve
from CEM_Demo.results.paths import check_nothing_is_shared, result_paths
from CEM_Demo.results.provenance import digest_of
from CEM_Demo.tasks import Scene, make_scene

TRIAL_SIDE = 128

# What libraries load and compile when the first network runs.
FIRST_PASS = 32 << 20
# Of the effects of a stage, in the making of a .mat file.
COPIES_TO_SAVE = 4
# Of the restored picture, in bytes: as floats, clipped, as 8 bits, and as PNG.
COPIES_OF_PICTURE = 12


@dataclass(frozen=True)
class Subject:
    """An image of the run, ready for interventions; shared by all models."""

    name: str
    scene: Scene
    grid: Grid
    rois: list[ROI]
    coarse: Plan
    fine: Plan
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A config whose every file was found and checked; nothing is written yet."""

    config: Config
    device: torch.device
    bank: PatchBank
    subjects: list[Subject]
    models: dict[str, Model]


def prepare(config: Config) -> Run:
    """Find and check all that a config names.

    Raises:
        InputError: a missing model, checkpoint, image or patch bank; an ROI outside an image; a block larger than one;
            no such device; results that cannot be written, or not apart from each other.
    """
    check_nothing_is_shared(config)
    _check_writable(Path(config.output_dir))
    device = pick_device(config.device)
    random_seed = config.seed if config.allow_random else None
    models = {label: resolve(source, config.task, config.sr, random_seed) for label, source in config.models.items()}
    images = {name: read_image(config.image_path(name)) for name in config.Imagelist}
    for name, image in images.items():
        _check_rois(config, image, name, name)
        _check_block(config.mask_block_size, image, name)
    bank = load_bank(Path(config.patch_path))
    bank_digest = bank.digest
    subjects = [_make_subject(config, name, image, bank, bank_digest) for name, image in images.items()]
    return Run(config, device, bank, subjects, models)


def _check_rois(config: Config, image: UInt8Image, name: str, description: str) -> None:
    height, width = image.shape[:2]
    for roi in config.rois_of(name):
        if roi.right > width or roi.bottom > height:
            raise InputError(
                f"{'rois' if config.rois else 'w, h, ROI_size'}: the ROI (columns {roi.left} to {roi.right}, rows "
                f"{roi.top} to {roi.bottom}) reaches out of {description}, which is {width} x {height} pixels"
            )


def _check_block(side: int, image: UInt8Image, name: str) -> None:
    height, width = image.shape[:2]
    if side > min(height, width):
        raise InputError(f"mask_block_size {side} is larger than {name}, which is {width} x {height} pixels; try 8")


def _check_writable(folder: Path) -> None:
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not existing.is_dir():
        raise InputError(f"output_dir: {existing} is not a folder; give another output_dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"output_dir: you may not write into {existing}; give another output_dir")


def _make_subject(config: Config, name: str, image: UInt8Image, bank: PatchBank, bank_digest: str) -> Subject:
    scene = make_scene(config.task_degradation, image, name)
    _check_rois(config, scene.ground_truth, name, f"{name} cropped to a multiple of sr")
    grid = grid_of(scene.degraded, config.block, config.sr)
    coarse, fine = make_plans(config.seed, name, grid.shape, config.coarse_num, config.fine_num, len(bank))
    # A degradation of the user's own that fails does so here, before anything is written.
    first = coarse[:1]
    scene.degrade_patches(bank.at_size(first.patches, grid.block), np.zeros((1, 2), int), first.noise_seeds)
    provenance = {
        **scene.provenance,
        "plan_sha256": hashlib.sha256((coarse.digest + fine.digest).encode()).hexdigest(),
        "image_sha256": digest_of(scene.ground_truth),
        "degraded_sha256": digest_of(scene.degraded),
        "bank_sha256": bank_digest,
    }
    return Subject(name, scene, grid, config.rois_of(name), coarse, fine, provenance)


def check_networks(run: Run, pairs: Container[tuple[str, str]]) -> None:
    """Try the networks on a corner of the images of all ``pairs`` (model, image): what fails is known at once.

    Raises:
        InputError: a checkpoint does not fit its network, or a network does not restore an image.
    """
    for model in run.models:
        subjects = [subject for subject in run.subjects if (model, subject.name) in pairs]
        if subjects:
            net = run.models[model].load()
            for subject in subjects:
                _check_network(run, net, model, subject)


def _check_network(run: Run, net: nn.Module, model: str, subject: Subject) -> None:
    # A corner shows what is wrong; of a huge image the whole would take long, and more memory than the run.
    corner = subject.scene.degraded[:TRIAL_SIDE, :TRIAL_SIDE]
    height, width = (side * subject.scene.scale for side in corner.shape[:2])
    check_network(net, corner, (height, width), run.device, model)


def inferences_for(
    run: Run, net: nn.Module, subject: Subject, rois: list[ROI], kind: str | None = None
) -> list[Shared]:
    """A model's inferences on ROIs of an image, of a kind, or of the one that the config asks for."""
    config, degraded = run.config, subject.scene.degraded
    return choose_inference(net, degraded, rois, config.block, run.device, kind or config.inference)


def batch_size_for(run: Run, model: str, inference: Inference) -> int:
    """Interventions that are restored at a time: what the config says, or what the inference takes well."""
    chosen = run.config.batch_size_dict.get(model, run.config.batch_size)
    return chosen or inference.automatic_batch_size()


@dataclass(frozen=True)
class Forecast:
    """The work ahead for one model on ROIs of one image that share an inference.

    Attributes:
        coarse, fine: interventions; those of the fine stage are at most.
        kind: dense or incremental.
        cost: multiply-adds of a mean intervention by either; None where only dense inference is possible.
        batch_size: interventions that are restored at a time.
        memory_bytes: about what the process holds of the host's memory at most, Python, libraries and all.
        device_bytes: about what it holds of a GPU's memory at most; None where there is none.
        folders: where results will lie, for each ROI.
    """

    model: str
    image: str
    rois: tuple[ROI, ...]
    coarse: int
    fine: int
    kind: str
    cost: Cost | None
    batch_size: int
    memory_bytes: int
    device_bytes: int | None
    folders: list[Path]


def forecast(run: Run) -> Iterator[Forecast]:
    """What :func:`compute_effects` would do, without doing it."""
    for model in run.models:
        net = run.models[model].load()
        for subject in run.subjects:
            _check_network(run, net, model, subject)
            shares = inferences_for(run, net, subject, subject.rois)
            for shared in shares:
                batch_size = batch_size_for(run, model, shared.inference)
                host, device = _memory_bytes(run, subject, shared, batch_size)
                cost = shared.inference.predicted_cost
                if run.config.inference == "dense":
                    cost = predict_cost(net, subject.scene.degraded, shared.around, run.config.block, run.device)
                yield Forecast(
                    model=model,
                    image=subject.name,
                    rois=shared.rois,
                    coarse=len(subject.coarse),
                    fine=len(subject.fine),
                    kind=shared.inference.kind,
                    cost=cost,
                    batch_size=batch_size,
                    memory_bytes=host,
                    device_bytes=device,
                    folders=[result_paths(run.config, model, subject.name, roi).pair_folder for roi in shared.rois],
                )


def _memory_bytes(run: Run, subject: Subject, shared: Shared, batch_size: int) -> tuple[int, int | None]:
    """Peaks of the host's and the GPU's memory: what is held by now, and what the inference and the results take."""
    coarse, fine = (8 * len(plan) for plan in (subject.coarse, subject.fine))
    # All effects, and those of one stage several times over while they are saved.
    effects = len(shared.rois) * (coarse + fine) + COPIES_TO_SAVE * max(coarse, fine)
    pictures = COPIES_OF_PICTURE * subject.scene.ground_truth.size
    inference_bytes = shared.inference.memory_bytes(batch_size)
    on_host, on_device = effects + pictures + FIRST_PASS, None
    if run.device.type == "cuda":
        on_device = torch.cuda.memory_allocated(run.device) + inference_bytes
    else:
        on_host += inference_bytes
    return max(most_resident_bytes(), resident_bytes() + on_host), on_device
