"""Before anything is computed: find and check all that a config names, and forecast the work."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import torch
from torch import nn

from CEM_Demo.config import Config
from CEM_Demo.device import pick_device
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI, Grid, grid_of
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.inference.choice import choose_inference, predict_cost
from CEM_Demo.inference.dense import activation_bytes
from CEM_Demo.inference.interface import Inference
from CEM_Demo.inference.reach import Cost
from CEM_Demo.interventions import PatchBank, Plan, load_bank, make_plan
from CEM_Demo.models import Model, resolve
from CEM_Demo.result_paths import result_paths
from CEM_Demo.tasks import Scene, make_scene


@dataclass(frozen=True)
class Subject:
    """An image of the run, ready for interventions; shared by all models."""

    name: str
    scene: Scene
    grid: Grid
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
        InputError: a missing model, checkpoint, image or patch bank; an ROI outside an image; no such device.
    """
    device = pick_device(config.device)
    models = {label: resolve(source, config.task, config.sr) for label, source in config.models.items()}
    images = {name: read_image(config.image_path(name)) for name in config.Imagelist}
    for name, image in images.items():
        _check_roi(config.roi, image, name)
    bank = load_bank(Path(config.patch_path))
    bank_digest = bank.digest
    subjects = [_make_subject(config, name, image, bank, bank_digest) for name, image in images.items()]
    return Run(config, device, bank, subjects, models)


def _check_roi(roi: ROI, image: UInt8Image, name: str) -> None:
    height, width = image.shape[:2]
    if roi.left + roi.side > width or roi.top + roi.side > height:
        raise InputError(
            f"w, h, ROI_size: the ROI (columns {roi.left} to {roi.left + roi.side}, rows {roi.top} to "
            f"{roi.top + roi.side}) reaches out of {name}, which is {width} x {height} pixels"
        )


def _make_subject(config: Config, name: str, image: UInt8Image, bank: PatchBank, bank_digest: str) -> Subject:
    scene = make_scene(config.task, image, name, config.sr)
    _check_roi(config.roi, scene.ground_truth, f"{name} cropped to a multiple of sr")
    grid = grid_of(scene.degraded, config.block, config.sr)
    coarse, fine = (
        make_plan(config.seed, name, stage, grid.shape, draws, len(bank))
        for stage, draws in (("coarse", config.coarse_num), ("fine", config.fine_num))
    )
    keys = ("task", "sr", "w", "h", "ROI_size", "mask_block_size", "coarse_num", "fine_num", "tol", "seed", "inference")
    provenance = {key: getattr(config, key) for key in keys}
    provenance["plan_sha256"] = hashlib.sha256((coarse.digest + fine.digest).encode()).hexdigest()
    provenance["image_sha256"] = hashlib.sha256(image.tobytes()).hexdigest()
    provenance["bank_sha256"] = bank_digest
    return Subject(name, scene, grid, coarse, fine, provenance)


def versions() -> dict[str, str]:
    """Of what may move the numbers."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }


def inference_for(run: Run, net: nn.Module, subject: Subject) -> Inference:
    """A model's inference on an image, of the kind that the config asks for."""
    config = run.config
    return choose_inference(net, subject.scene.degraded, config.roi, config.block, run.device, config.inference)


def batch_size_for(run: Run, model: str, inference: Inference) -> int:
    """Interventions that are restored at a time: what the config says, or what the inference takes well."""
    chosen = run.config.batch_size_dict.get(model, run.config.batch_size)
    return chosen or inference.automatic_batch_size()


@dataclass(frozen=True)
class Forecast:
    """The work ahead for one model on one image.

    Attributes:
        coarse, fine: interventions; those of the fine stage are at most.
        kind: dense or incremental.
        cost: multiply-adds of a mean intervention by either; None where only dense inference is possible.
        batch_size: interventions that are restored at a time.
        memory_bytes: about what the network's activations take.
        folder: where results will lie.
    """

    model: str
    image: str
    coarse: int
    fine: int
    kind: str
    cost: Cost | None
    batch_size: int
    memory_bytes: int
    folder: Path


def forecast(run: Run) -> Iterator[Forecast]:
    """What :func:`compute_effects` would do, without doing it."""
    for model in run.models:
        net = run.models[model].load()
        for subject in run.subjects:
            inference = inference_for(run, net, subject)
            batch_size = batch_size_for(run, model, inference)
            images = batch_size if inference.kind == "dense" else 1
            yield Forecast(
                model=model,
                image=subject.name,
                coarse=len(subject.coarse),
                fine=len(subject.fine),
                kind=inference.kind,
                cost=predict_cost(net, subject.scene.degraded, run.config.roi, run.config.block, run.device),
                batch_size=batch_size,
                memory_bytes=images * activation_bytes(net, subject.grid.height, subject.grid.width),
                folder=result_paths(run.config, model, subject.name).pair_folder,
            )
