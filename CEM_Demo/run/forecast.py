"""Forecast what a run takes without running it: interventions, work, memory, time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from CEM_Demo.geometry import ROI
from CEM_Demo.inference.choice import RoiGroup, predict_cost
from CEM_Demo.inference.interface import Inference
from CEM_Demo.inference.process_memory import most_resident_bytes, resident_bytes
from CEM_Demo.inference.roi_graph import Cost
from CEM_Demo.results.paths import result_paths
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.preparation import PosedImage, Run, batch_size_for, frozen_for, inferences_for, try_network
from CEM_Demo.run.timing import Duration, predict_seconds

# The memory that libraries take when they load and compile for the first network.
FIRST_PASS_BYTES = 32 << 20
# How many copies of a stage's PSNRs exist while its .mat file is made.
COPIES_TO_SAVE = 4
# Bytes for each value of the restored picture: as a float, clipped, as 8 bits, and as PNG.
COPIES_OF_PICTURE = 12


@dataclass(frozen=True)
class Forecast:
    """The work ahead for one model on ROIs of an image that share an inference.

    Attributes:
        coarse, fine: interventions at most; of adaptive draws, those of the audit and all others; where one draw on
            each block is enough, those are the coarse ones.
        kind: dense or incremental.
        cost: mean multiply-adds of an intervention by either; None if only dense inference is possible.
        batch_size: interventions that are restored at a time.
        memory_bytes: about the most of the host's memory that the process holds, Python and libraries included.
        device_bytes: about the most of a GPU's memory that it holds; None without a GPU.
        duration: seconds that both stages take at the machine's present pace.
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
    duration: Duration
    folders: list[Path]


def forecast(run: Run) -> Iterator[Forecast]:
    """Forecast what :func:`compute_effects` would do; only a sample is computed, to find out how long it takes."""
    for model in run.models:
        net = run.models[model].load()
        for posed in run.posed_images:
            try_network(run, net, model, posed)
            groups = inferences_for(run, net, posed, posed.rois)
            for group in groups:
                batch_size = batch_size_for(run, model, group.inference)
                frozen = frozen_for(run, net, posed, group)
                host, device = _memory_bytes(run, posed, group, frozen, batch_size)
                cost = group.inference.predicted_cost
                if run.config.inference == "dense":
                    cost = predict_cost(net, posed.scene.degraded, group.hull, run.config.block, run.device)
                yield Forecast(
                    model=model,
                    image=posed.name,
                    rois=group.rois,
                    coarse=posed.most_interventions("coarse", "audit", "single"),
                    fine=posed.most_interventions("fine", "adaptive"),
                    kind=group.inference.kind,
                    cost=cost,
                    batch_size=batch_size,
                    memory_bytes=host,
                    device_bytes=device,
                    duration=_duration(run, net, posed, group, frozen, batch_size),
                    folders=[result_paths(run.config, model, posed.name, roi).pair_folder for roi in group.rois],
                )


def _duration(
    run: Run, net: nn.Module, posed: PosedImage, group: RoiGroup, frozen: Inference | None, batch_size: int
) -> Duration:
    chosen = posed.chosen
    experiment = Experiment(
        net,
        group,
        posed.scene,
        posed.grid,
        chosen.bank,
        run.device,
        intervention=chosen.intervention,
        further=run.further,
        frozen=frozen,
    )
    return predict_seconds(experiment, *posed.sampling.typical, run.config.tol, batch_size)


def _memory_bytes(
    run: Run, posed: PosedImage, group: RoiGroup, frozen: Inference | None, batch_size: int
) -> tuple[int, int | None]:
    """Estimate the peaks of the host's and the GPU's memory: what is held now, plus the inference and the results."""
    coarse, fine = 8 * posed.most_interventions("coarse"), 8 * posed.most_interventions("fine", "adaptive")
    # This is all PSNRs, and those of one stage several times over while they are saved.
    effects = len(group.rois) * (coarse + fine) + COPIES_TO_SAVE * max(coarse, fine)
    pictures = COPIES_OF_PICTURE * posed.scene.ground_truth.size
    inference_bytes = group.inference.memory_bytes(batch_size)
    if frozen is not None and frozen is not group.inference:
        inference_bytes += frozen.memory_bytes(batch_size)
    on_host, on_device = effects + pictures + FIRST_PASS_BYTES, None
    if run.device.type == "cuda":
        on_device = torch.cuda.memory_allocated(run.device) + inference_bytes
    else:
        on_host += inference_bytes
    return max(most_resident_bytes(), resident_bytes() + on_host), on_device
