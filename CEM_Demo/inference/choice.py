"""Choose the inference that is predicted to be faster, and the ROIs that share one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.inference.interface import Inference
from CEM_Demo.inference.process_memory import free_bytes
from CEM_Demo.inference.roi_graph import Cost

# How many multiply-adds of a convolution take as long as writing one value elsewhere; measured on CPUs.
MULTIPLY_ADDS_PER_VALUE = 50
# Windows cost more than their share of the work, because of gathering, padding and small kernels.
CLEARLY_CHEAPER = 0.75
# The memory that the baseline's activations may take; networks that see the whole image keep all of them.
MOST_KEPT_BYTES = 1 << 30


@dataclass(frozen=True)
class RoiGroup:
    """ROIs of an image that are restored together.

    Attributes:
        inference: restores ``hull``.
        hull: the smallest ROI that holds all of ``rois``.
        reached: ROIs x blocks, in row-major order of the image's blocks; False where a block cannot change the ROI.
    """

    inference: Inference
    hull: ROI
    rois: tuple[ROI, ...]
    reached: NDArray[np.bool_]


def is_cheaper(cost: Cost) -> bool:
    """Say whether incremental inference clearly pays and fits into the memory."""
    return _pays([cost])


def _pays(costs: Sequence[Cost]) -> bool:
    dense = costs[0].dense + MULTIPLY_ADDS_PER_VALUE * costs[0].dense_values
    fits = sum(cost.kept_bytes for cost in costs) <= MOST_KEPT_BYTES
    return sum(map(_incremental_time, costs)) < CLEARLY_CHEAPER * dense and fits


def _incremental_time(cost: Cost) -> float:
    # Every value is gathered about once more than dense inference reads it.
    return cost.incremental + 2 * MULTIPLY_ADDS_PER_VALUE * cost.incremental_values


def choose_inference(
    net: nn.Module,
    degraded: UInt8Image,
    rois: Sequence[ROI],
    block: int,
    device: torch.device,
    kind: str = "auto",
) -> list[RoiGroup]:
    """Build the inferences that a config's ``inference`` key asks for; each ROI is in one of them.

    Args:
        net: maps N x 3 x H x W to N x 3 x sH x sW, float32 in 0..1.
        degraded: H x W x 3 uint8 RGB.
        rois: in pixels of the output.
        block: side of a block in pixels of the input.
        kind: ``dense``, ``incremental``, or ``auto`` for whichever is predicted to be faster.

    Raises:
        InputError: ``incremental`` is asked for, but torch.export cannot flatten the network or there is too little
            memory for what it keeps.
    """
    cost = None
    if kind != "dense":
        try:
            cones = _share_cones(IncrementalInference(net, degraded, rois[0], block, device), rois)
        except InputError:
            if kind == "incremental":
                raise
        else:
            if kind == "incremental":
                _check_memory(cones, type(net).__name__, device)
            costs = [cost for cone in cones if (cost := cone.inference.predicted_cost)]
            if kind == "incremental" or _pays(costs):
                return cones
            cost = costs[0]
    around = reduce(ROI.hull_with, rois)
    blocks = -(-degraded.shape[0] // block) * -(-degraded.shape[1] // block)
    inference = DenseInference(net, degraded, around, device, cost)
    return [RoiGroup(inference, around, tuple(rois), np.ones((len(rois), blocks), dtype=bool))]


def predict_cost(net: nn.Module, degraded: UInt8Image, roi: ROI, block: int, device: torch.device) -> Cost | None:
    """Predict the mean work of an intervention by either inference; None if torch.export cannot flatten the network."""
    try:
        return IncrementalInference(net, degraded, roi, block, device).predicted_cost
    except InputError:
        return None


def reached_blocks(
    net: nn.Module, degraded: UInt8Image, roi: ROI, block: int, device: torch.device
) -> NDArray[np.bool_]:
    """For the blocks of an image, row by row, whether they can change the ROI, whatever inference restores it.

    All are taken to reach it where torch.export cannot flatten the network.
    """
    try:
        return IncrementalInference(net, degraded, roi, block, device).reached_blocks
    except InputError:
        return np.ones(-(-degraded.shape[0] // block) * -(-degraded.shape[1] // block), dtype=bool)


def _check_memory(cones: Sequence[RoiGroup], name: str, device: torch.device) -> None:
    """Raise InputError if the inferences need more memory than there is."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_bytes()
    engines = [cone.inference for cone in cones]
    needed = sum(engine.memory_bytes(engine.automatic_batch_size()) for engine in engines)
    if free is not None and needed > free:
        raise InputError(
            f"inference: incremental needs about {needed / 2**30:.1f} GiB of memory for {name} on this image, "
            f"but only {free / 2**30:.1f} GiB are free; use auto or dense"
        )


def _share_cones(first: IncrementalInference, rois: Sequence[ROI]) -> list[RoiGroup]:
    """Merge groups of ROIs as long as one cone around two of them is cheaper than one for each."""
    engines = {roi: first.at(roi) for roi in rois}
    reached = {roi: engine.reached_blocks for roi, engine in engines.items()}
    groups: dict[ROI, tuple[ROI, ...]] = {roi: (roi,) for roi in rois}
    while len(groups) > 1:
        savings = {}
        for one, other in combinations(groups, 2):
            around = one.hull_with(other)
            if around not in engines:
                engines[around] = first.at(around)
            apart, together = (
                sum(_incremental_time(engines[roi].predicted_cost) for roi in group)
                for group in ((one, other), (around,))
            )
            savings[one, other] = apart - together
        one, other = max(savings, key=lambda pair: savings[pair])
        if savings[one, other] <= 0:
            break
        around = one.hull_with(other)
        groups[around] = groups.pop(one) + groups.pop(other) + groups.pop(around, ())
    return [
        RoiGroup(engines[around], around, members, np.stack([reached[roi] for roi in members]))
        for around, members in groups.items()
    ]
