"""What a study takes: jobs, passes, seconds and disk, from a sample of each model's interventions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from CEM_Demo.config.schema import Config
from CEM_Demo.device import cpu_threads, exact_arithmetic, pick_device
from CEM_Demo.errors import InputError
from CEM_Demo.images import read_image
from CEM_Demo.run.forecast import Forecast, forecast
from CEM_Demo.run.preparation import Run, Shared, find_model, pose_image, prepare_shared, read_image_of
from CEM_Demo.run.timing import readable
from CEM_Demo.study.jobs import Job

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Expected:
    """What a job takes.

    Attributes:
        passes: interventions, if the share that passes to the fine stage is that of the sample.
        seconds: of one worker, at this machine's present pace.
        bytes: on disk, at most.
    """

    passes: int
    seconds: float
    bytes: int


@dataclass(frozen=True)
class _Size:
    """How large an image is: pixels of the ground truth, blocks and ROIs."""

    pixels: int
    blocks: int
    rois: int


def expect(config: Config, jobs: Sequence[Job], threads: int) -> dict[Job, Expected]:
    """Find out what jobs take: each model is measured on the image of middle size, and other images count by theirs.

    A model or image that cannot be used is left out, with a warning.

    Raises:
        InputError: the device, the patch bank or a metric is missing.
    """
    sizes = _sizes(config, list(dict.fromkeys(job.image for job in jobs)))
    if not sizes:
        return {}
    shared, device = prepare_shared(config), pick_device(config.device)
    middle = sorted(sizes, key=lambda name: (sizes[name].pixels, name))[len(sizes) // 2]
    measured = {}
    with cpu_threads(threads), exact_arithmetic():
        for model in dict.fromkeys(job.model for job in jobs):
            try:
                measured[model] = _measure(config, shared, device, Job(model, middle))
            except InputError as error:
                log.warning("%s is left out of the plan: %s", model, error)
    return {
        job: _scaled(config, measured[job.model], sizes[middle], sizes[job.image])
        for job in jobs
        if job.model in measured and job.image in sizes
    }


def _sizes(config: Config, names: Sequence[str]) -> dict[str, _Size]:
    sizes = {}
    for name in names:
        try:
            height, width = read_image(config.image_path(name)).shape[:2]
        except InputError as error:
            log.warning("%s is left out of the plan: %s", name, error)
            continue
        side = config.mask_block_size
        sizes[name] = _Size(height * width, -(-height // side) * -(-width // side), len(config.rois_of(name)))
    return sizes


def _measure(config: Config, shared: Shared, device: torch.device, job: Job) -> list[Forecast]:
    posed = pose_image(config, job.image, read_image_of(config, job.image), shared)
    models = {job.model: find_model(config, job.model)}
    return list(forecast(Run(config, device, shared.bank, [posed], models, shared.further)))


def _scaled(config: Config, measured: Sequence[Forecast], at: _Size, size: _Size) -> Expected:
    """Carry what was measured on one image over to another one."""
    blocks, pixels = size.blocks / at.blocks, size.pixels / at.pixels
    # A dense pass restores the whole image, with all ROIs; an incremental one what depends on a block.
    dense = measured[0].kind == "dense"
    work = blocks * (pixels if dense else size.rois / at.rois)
    passes = sum(ahead.coarse + ahead.fine * _share(ahead) for ahead in measured)
    draws = max(ahead.coarse + ahead.fine for ahead in measured) / at.blocks
    effects = 8 * draws * size.blocks * size.rois * (1 + len(config.further_metrics))
    pictures = 3 * size.pixels * (1 + size.rois)
    return Expected(
        passes=round(passes * (blocks if dense else blocks * size.rois / at.rois)),
        seconds=work * sum(ahead.duration.total for ahead in measured),
        bytes=round(effects + pictures),
    )


def _share(ahead: Forecast) -> float:
    """The share of the blocks that passes to the fine stage."""
    return ahead.duration.fine / ahead.duration.fine_at_most if ahead.duration.fine_at_most else 0.0


def describe(config: Config, jobs: Sequence[Job], left: Sequence[Job], expected: Mapping[Job, Expected]) -> str:
    """Say what is planned, a line for each model and one for all."""
    lines = [f"{len(jobs)} jobs: {len(config.models)} models on {len(config.Imagelist)} images; {len(left)} are left"]
    for model in dict.fromkeys(job.model for job in left):
        lines.append(f"{model}: {_sum([job for job in left if job.model == model], expected)}")
    if len(config.models) > 1:
        lines.append(f"together: {_sum(left, expected)}")
    return "\n".join(lines)


def _sum(jobs: Sequence[Job], expected: Mapping[Job, Expected]) -> str:
    found = [expected[job] for job in jobs if job in expected]
    if not found:
        return f"{len(jobs)} jobs, which cannot be measured"
    passes, size = sum(each.passes for each in found), sum(each.bytes for each in found)
    seconds = readable(sum(each.seconds for each in found))
    return (
        f"{len(jobs)} jobs, about {passes:,} passes, {seconds} of one worker, at most {size / 2**20:,.0f} MiB on disk"
    )
