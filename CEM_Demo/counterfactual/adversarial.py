"""Change pixels rather than blocks: a bound on what any content outside the ROI could do to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.counterfactual.group_lasso import Array, least_change
from CEM_Demo.counterfactual.search import Goal
from CEM_Demo.errors import InputError, brief
from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.geometry import Grid, in_blocks
from CEM_Demo.images import PEAK, UInt8Image
from CEM_Demo.inference.gradient import ErrorGradient, cone_error_gradient, error_gradient
from CEM_Demo.method.intervention import Pasted

# Rounding to 8 bits costs a little of a change; the goal is raised by that so often.
ROUNDINGS = 5
# No restoration is better than one value of the ROI that is off by one level.
LEAST_ERROR = 1 / PEAK**2


@dataclass(frozen=True)
class Perturbation:
    """A change of the input that is small by the sum of its blocks' norms.

    Attributes:
        blocks: N int64, those that change, the largest norm first.
        norms: N float64, the root of each block's sum of squares, in levels of 255.
        change: dB, intervened minus untouched PSNR of the ROI.
        edited: the changed input, H x W x 3 uint8.
    """

    blocks: NDArray[np.int64]
    norms: NDArray[np.float64]
    change: float
    edited: UInt8Image


def find_perturbation(joint: JointExperiment, goal: Goal, epsilon: int) -> Perturbation:
    """Find the least change of the blocks' values, each by at most ``epsilon`` levels, that reaches the goal.

    It minimizes the sum of the blocks' norms, which leaves most blocks as they are, for the PSNR of the unrounded ROI;
    then it is rounded to 8 bits, and the goal raised until what is rounded reaches it, too. The blocks may be those,
    outside the ROI and as many as the goal allows, of which the gradient promises most.

    Returns:
        The least change that was found to reach the goal; if none does, the farthest.

    Raises:
        InputError: the network has no gradient.
    """
    task = _task(joint, goal, epsilon)
    best, start, asked = task.rounded(np.zeros_like(task.low)), None, goal.change
    for _ in range(ROUNDINGS):
        aim = float(goal.progress(np.array(asked)))
        found = least_change(task.measure, task.low, task.high, aim, start)
        rounded = task.rounded(found.delta)
        if abs(rounded.change) > abs(best.change) and rounded.change * goal.change > 0:
            best = rounded
        if goal.is_met(best.change) or not found.reaches(aim):
            break
        start, asked = found.delta, asked + 2 * (goal.change - rounded.change)
    return best


def change_of(joint: JointExperiment, edited: UInt8Image) -> float:
    """Measure what an edited input, H x W x 3 uint8, changes: dB, intervened minus untouched PSNR of the ROI."""
    rows, columns = np.nonzero((edited != joint.experiment.scene.degraded).any(axis=2))
    if not len(rows):
        return 0.0
    window = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    pasted = Pasted(np.array([[rows.min(), columns.min()]]), edited[window][None])
    return float(joint.experiment.measure_pasted(pasted)[0][0]) - joint.origin


@dataclass(frozen=True)
class _Task:
    """How the blocks' values stand for an input, and what that does.

    Attributes:
        joint: makes the edits.
        goal: to reach.
        untouched: the squared error of the untouched ROI, for values in 0..1.
        blocks: N int64, the blocks that may change.
        low, high: N x values, the least and greatest change of each of their values, in levels.
    """

    joint: JointExperiment
    goal: Goal
    untouched: float
    blocks: NDArray[np.int64]
    low: Array
    high: Array

    def measure(self, delta: Array) -> tuple[float, Array]:
        """Give the progress of a change, see :meth:`Goal.progress`, and its derivative."""
        found = _gradient(self.joint, self.joint.experiment.scene.degraded + self._as_image(delta).astype(np.float32))
        sign = 1 if self.goal.change < 0 else -1
        slope = _listed(found.gradient.transpose(1, 2, 0), self.joint.experiment.grid)[self.blocks]
        progress = sign * (found.squared_error / self.untouched - 1)
        return progress, sign * slope / (PEAK * self.untouched)

    def rounded(self, delta: Array) -> Perturbation:
        """Round the input that a change makes to 8 bits."""
        degraded = self.joint.experiment.scene.degraded
        whole = np.rint(delta)
        edited = (degraded + self._as_image(whole)).astype(np.uint8)
        norms = np.linalg.norm(whole, axis=1)
        order = np.argsort(-norms, kind="stable")[: np.count_nonzero(norms)]
        return Perturbation(self.blocks[order], norms[order], change_of(self.joint, edited), edited)

    def _as_image(self, delta: Array) -> Array:
        """Turn the changes of the blocks into that of the image, H x W x 3."""
        grid = self.joint.experiment.grid
        values = np.zeros((grid.shape[0] * grid.shape[1], delta.shape[1]))
        values[self.blocks] = delta
        tiled = values.reshape(*grid.shape, grid.block, grid.block, 3).swapaxes(1, 2)
        height, width = self.joint.experiment.scene.degraded.shape[:2]
        return tiled.reshape(grid.shape[0] * grid.block, grid.shape[1] * grid.block, 3)[:height, :width]


def _task(joint: JointExperiment, goal: Goal, epsilon: int) -> _Task:
    """Choose the blocks of which the gradient promises most, and bound their changes."""
    degraded, grid = joint.experiment.scene.degraded, joint.experiment.grid
    here = _gradient(joint, degraded)
    steepness = np.linalg.norm(_listed(here.gradient.transpose(1, 2, 0), grid), axis=1)[joint.candidates]
    blocks = joint.candidates[np.argsort(-steepness, kind="stable")[: goal.most_blocks]]
    values = degraded.astype(np.float64)
    low = _listed(np.maximum(-epsilon, -values), grid)[blocks]
    high = _listed(np.minimum(epsilon, PEAK - values), grid)[blocks]
    return _Task(joint, goal, max(here.squared_error, LEAST_ERROR), blocks, low, high)


def _listed(image: NDArray[np.floating], grid: Grid) -> Array:
    """Cut H x W x 3 values into blocks x values, row by row."""
    blocks = in_blocks(image, grid.block)
    return blocks.reshape(-1, blocks.shape[-1])


def _gradient(joint: JointExperiment, image: NDArray[np.uint8] | NDArray[np.float32]) -> ErrorGradient:
    """The ROI's squared error and its gradient for an input, H x W x 3 in 0..255."""
    experiment = joint.experiment
    (roi,) = experiment.group.rois
    truth, device = experiment.scene.ground_truth, experiment.device
    try:
        found = cone_error_gradient(experiment.group.inference, image, truth, roi, device)
        return found or error_gradient(experiment.network, image, truth, roi, device)
    except Exception as error:
        raise InputError(f"edit: continuous needs the network's gradient: {brief(error)}; set edit: natural") from error
