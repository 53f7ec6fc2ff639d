"""Change pixels rather than blocks: a bound on what any content outside the ROI could do to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.counterfactual.search import Goal
from CEM_Demo.errors import InputError, brief
from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.gradient import error_gradient
from CEM_Demo.method.intervention import Pasted

# Steps of one level each, in units of the largest change that is allowed.
STEPS_PER_LEVEL = 2


def find_perturbation(joint: JointExperiment, goal: Goal, epsilon: int) -> tuple[NDArray[np.int64], UInt8Image]:
    """Find few blocks whose pixels, moved by at most ``epsilon`` levels, reach the goal.

    The blocks are those of which the gradient promises most; how many are needed is found by doubling and halving.

    Returns:
        The blocks, and the edited input, H x W x 3 uint8. If the goal is not reached, those that came farthest.

    Raises:
        InputError: the network has no gradient.
    """
    ranked = _steepest_first(joint)[: goal.most_blocks]
    met: tuple[NDArray[np.int64], UInt8Image] | None = None
    enough, too_few, count = len(ranked) + 1, 0, 1
    while too_few + 1 < enough:
        blocks = ranked[: min(count, len(ranked))]
        image, reached = _perturb(joint, blocks, goal, epsilon)
        if reached:
            enough, met = len(blocks), (blocks, image)
        else:
            too_few, farthest = len(blocks), (blocks, image)
        count = 2 * count if met is None else (too_few + enough) // 2
    return met or farthest


def change_of(joint: JointExperiment, edited: UInt8Image) -> float:
    """Measure what an edited input, H x W x 3 uint8, changes: dB, intervened minus untouched PSNR of the ROI."""
    rows, columns = np.nonzero((edited != joint.experiment.scene.degraded).any(axis=2))
    if not len(rows):
        return 0.0
    window = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    pasted = Pasted(np.array([[rows.min(), columns.min()]]), edited[window][None])
    return float(joint.experiment.measure_pasted(pasted)[0][0]) - joint.origin


def _steepest_first(joint: JointExperiment) -> NDArray[np.int64]:
    """Sort the blocks that may be edited by the absolute gradient on them."""
    steepness = np.abs(_gradient(joint, joint.experiment.scene.degraded)).sum(axis=2)
    block, shape = joint.experiment.grid.block, joint.experiment.grid.shape
    whole = np.zeros((shape[0] * block, shape[1] * block))
    whole[: steepness.shape[0], : steepness.shape[1]] = steepness
    sums = whole.reshape(shape[0], block, shape[1], block).sum(axis=(1, 3)).reshape(-1)
    return joint.candidates[np.argsort(-sums[joint.candidates], kind="stable")]


def _perturb(joint: JointExperiment, blocks: NDArray[np.int64], goal: Goal, epsilon: int) -> tuple[UInt8Image, bool]:
    """Move the pixels of some blocks by signed gradient steps (Madry 2018) until the goal is met.

    Every step is of one level, so that the input stays an 8-bit image.
    """
    untouched = joint.experiment.scene.degraded.astype(np.int16)
    pixels = _pixels_of(joint, blocks)[..., None]
    low, high = np.maximum(untouched - epsilon, 0), np.minimum(untouched + epsilon, 255)
    direction = 1 if goal.change < 0 else -1
    image, best, farthest = joint.experiment.scene.degraded, joint.experiment.scene.degraded, 0.0
    for _ in range(STEPS_PER_LEVEL * epsilon):
        step = direction * np.sign(_gradient(joint, image)).astype(np.int16) * pixels
        image = np.clip(image + step, low, high).astype(np.uint8)
        change = change_of(joint, image)
        if -direction * change > -direction * farthest:
            best, farthest = image, change
        if goal.is_met(change):
            return image, True
    return best, False


def _pixels_of(joint: JointExperiment, blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """H x W, True for the pixels of some blocks."""
    grid = joint.experiment.grid
    chosen = joint.mask(blocks).reshape(grid.shape)
    height, width = joint.experiment.scene.degraded.shape[:2]
    return chosen.repeat(grid.block, axis=0).repeat(grid.block, axis=1)[:height, :width]


def _gradient(joint: JointExperiment, image: UInt8Image) -> NDArray[np.float32]:
    """The gradient of the ROI's squared error by an input, H x W x 3."""
    experiment = joint.experiment
    (roi,) = experiment.group.rois
    try:
        found = error_gradient(experiment.network, image, experiment.scene.ground_truth, roi, experiment.device)
    except Exception as error:
        raise InputError(f"edit: continuous needs the network's gradient: {brief(error)}; set edit: natural") from error
    return found.gradient.transpose(1, 2, 0)
