"""Find and check all that a config names, before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from CEM_Demo.config.schema import Config
from CEM_Demo.device import pick_device
from CEM_Demo.errors import InputError, naming
from CEM_Demo.files import writing
from CEM_Demo.geometry import ROI, Grid, grid_of
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.inference.checks import check_network
from CEM_Demo.inference.choice import RoiGroup
from CEM_Demo.inference.frozen import frozen_inference
from CEM_Demo.inference.graph import export_graph
from CEM_Demo.inference.interface import Inference
from CEM_Demo.method.metric import Metric
from CEM_Demo.method.patch_bank import PatchBank, load_bank
from CEM_Demo.networks.loading import Model, resolve
from CEM_Demo.results.paths import check_nothing_is_shared
from CEM_Demo.results.provenance import digest_of
from CEM_Demo.run.interventions import Chosen, bank_of, choose_intervention
from CEM_Demo.run.metrics import choose_with_margin, load_metrics, try_metrics
from CEM_Demo.run.sampling import Sampling, make_sampling
from CEM_Demo.tasks import Scene, make_scene

TRIAL_SIDE = 128


@dataclass(frozen=True)
class PosedImage:
    """An image of the run, ready for interventions; shared by all models."""

    name: str
    scene: Scene
    grid: Grid
    rois: list[ROI]
    chosen: Chosen
    sampling: Sampling
    provenance: dict[str, Any]

    def most_interventions(self, *rounds: str) -> int:
        """Count the most interventions that the named rounds can make."""
        blocks = self.grid.shape[0] * self.grid.shape[1]
        return blocks * sum(draws for name, draws in self.sampling.room.items() if name in rounds)


@dataclass(frozen=True)
class Run:
    """A config whose every file was found and checked; nothing is written yet.

    ``further`` are the metrics beside PSNR.
    """

    config: Config
    device: torch.device
    bank: PatchBank
    posed_images: list[PosedImage]
    models: dict[str, Model]
    further: tuple[Metric, ...]


@dataclass(frozen=True)
class Shared:
    """What all models and images of a run share.

    Attributes:
        bank: the patches.
        further: the metrics beside PSNR.
        recorded: what manifests say of the above.
    """

    bank: PatchBank
    further: tuple[Metric, ...]
    recorded: dict[str, Any]


def prepare(config: Config) -> Run:
    """Find and check all that a config names.

    Raises:
        InputError: a model, checkpoint, image, patch bank or device is missing; an ROI reaches out of an image; a block
            is larger than an image; or results cannot be written, or would share a file.
    """
    check_nothing_is_shared(config)
    _check_writable(Path(config.output_dir))
    device = pick_device(config.device)
    models = {label: find_model(config, label) for label in config.models}
    # All images are read before the patches are, which takes longer.
    images = {name: read_image_of(config, name) for name in config.Imagelist}
    shared = prepare_shared(config)
    posed_images = [pose_image(config, name, image, shared) for name, image in images.items()]
    return Run(config, device, shared.bank, posed_images, models, shared.further)


def prepare_shared(config: Config) -> Shared:
    """Load what all models and images of a run share.

    Raises:
        InputError: the patch bank or a metric is missing or broken.
    """
    source = config.intervention_source
    bank = bank_of(source, lambda: load_bank(Path(config.patch_path)), config.mask_block_size, config.seed)
    further, of_metrics = load_metrics(config.further_metrics)
    return Shared(bank, further, {"bank_sha256": bank.digest, **of_metrics})


def find_model(config: Config, label: str) -> Model:
    """Find a model of the config, by its label.

    Raises:
        InputError: it is missing, or cannot run at the config's scale.
    """
    return resolve(config.models[label], config.task, config.sr, config.seed if config.allow_random else None)


def read_image_of(config: Config, name: str) -> UInt8Image:
    """Read an image of the config, H x W x 3 uint8 RGB.

    Raises:
        InputError: it is missing or damaged, an ROI reaches out of it, or a block is larger than it.
    """
    image = read_image(config.image_path(name))
    _check_rois(config, image, name, name)
    _check_block(config.mask_block_size, image, name)
    return image


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
    with writing(folder):
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
    if not existing.is_dir():
        raise InputError(f"output_dir: {existing} is not a folder; give another output_dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"output_dir: you may not write into {existing}; give another output_dir")


def pose_image(config: Config, name: str, image: UInt8Image, shared: Shared) -> PosedImage:
    """Make an image ready for interventions.

    Raises:
        InputError: an ROI reaches out of it once it is cropped, or the user's own code fails on it.
    """
    scene = make_scene(config.task_degradation, image, name)
    _check_rois(config, scene.ground_truth, name, f"{name} cropped to a multiple of sr")
    grid = grid_of(scene.degraded, config.block, config.sr)
    chosen = choose_intervention(config.intervention_source, scene, grid, shared.bank)
    sampling = make_sampling(config, name, grid.shape, chosen)
    # A degradation or intervention of the user's own that fails does so here, before anything is written.
    chosen.intervention(sampling.first())
    try_metrics(shared.further, scene, config.rois_of(name)[0])
    provenance = {
        **scene.provenance,
        **chosen.provenance,
        "plan_sha256": sampling.digest,
        "image_sha256": digest_of(scene.ground_truth),
        "degraded_sha256": digest_of(scene.degraded),
        **shared.recorded,
    }
    return PosedImage(name, scene, grid, config.rois_of(name), chosen, sampling, provenance)


def check_networks(run: Run, pairs: Container[tuple[str, str]]) -> None:
    """Try the networks on a corner of the images of all ``pairs`` (model, image), to find failures at once.

    Raises:
        InputError: a checkpoint does not fit its network, or a network does not restore an image.
    """
    for model in run.models:
        posed_images = [posed for posed in run.posed_images if (model, posed.name) in pairs]
        if posed_images:
            net = run.models[model].load()
            for posed in posed_images:
                try_network(run, net, model, posed)


def try_network(run: Run, net: nn.Module, model: str, posed: PosedImage) -> None:
    # A corner shows what is wrong; the whole of a huge image would take long, and more memory than the run.
    corner = posed.scene.degraded[:TRIAL_SIDE, :TRIAL_SIDE]
    height, width = (side * posed.scene.scale for side in corner.shape[:2])
    check_network(net, corner, (height, width), run.device, model)
    if run.config.paths:
        with naming("paths"):
            export_graph(net, corner.shape[0], corner.shape[1], run.device)


def inferences_for(
    run: Run, net: nn.Module, posed: PosedImage, rois: list[ROI], kind: str | None = None
) -> list[RoiGroup]:
    """Build a model's inferences on ROIs of an image, of ``kind`` or else of the kind that the config asks for."""
    config = run.config
    kind = kind or config.inference
    return choose_with_margin(net, posed.scene, rois, config.block, run.device, kind, run.further)


def frozen_for(run: Run, net: nn.Module, posed: PosedImage, group: RoiGroup) -> Inference | None:
    """Build the inference with frozen statistics beside that of ``group``, if the config asks for paths."""
    if not run.config.paths:
        return None
    return frozen_inference(net, posed.scene.degraded, group, run.config.block, run.device)


def batch_size_for(run: Run, model: str, inference: Inference) -> int:
    """Choose how many interventions are restored at a time: what the config says, or what suits the inference."""
    chosen = run.config.batch_size_dict.get(model, run.config.batch_size)
    return chosen or inference.automatic_batch_size()
