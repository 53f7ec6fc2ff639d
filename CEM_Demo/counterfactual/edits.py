"""What stands in the edited blocks: patches of several draws, one patch for each block, or the clean image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.images import UInt8Image
from CEM_Demo.method.intervention import rectangle


@dataclass(frozen=True)
class Edit:
    """A way to edit any set of blocks; it makes one image for each of its draws.

    Attributes:
        joint: makes the interventions.
        draws: images x blocks int64, the number of the draw that stands in each block of each image.
    """

    joint: JointExperiment
    draws: NDArray[np.int64]

    def changes(self, sets: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Measure what N sets of blocks change: N x images float64, dB, intervened minus untouched PSNR."""
        masks = np.array([self.joint.mask(blocks) for blocks in sets]).reshape(len(sets), self.joint.roi.size)
        images = len(self.draws)
        effects = self.joint.effects(masks.repeat(images, axis=0), np.tile(self.draws, (len(sets), 1)))
        return -effects.reshape(len(sets), images)

    def mean_changes(self, sets: Sequence[NDArray[np.int64]]) -> NDArray[np.float64]:
        """Measure the mean over the images of what N sets of blocks change: N float64, dB."""
        return self.changes(sets).mean(axis=1)

    def input_with(self, blocks: NDArray[np.int64]) -> UInt8Image:
        """The first of the edited inputs, H x W x 3 uint8; the degraded image itself where there is no block."""
        degraded = self.joint.experiment.scene.degraded
        if not len(blocks):
            return degraded.copy()
        pasted = self.joint.single(blocks, self.draws[0, blocks])
        return rectangle(degraded, np.zeros(2, np.int64), np.array(degraded.shape[:2]), pasted)


def same_draw_everywhere(joint: JointExperiment, numbers: Sequence[int]) -> Edit:
    """Edit all blocks by the same numbers of draws, an image for each number."""
    return Edit(joint, np.array(numbers)[:, None].repeat(joint.roi.size, axis=1))


def best_draw_of_each_block(
    joint: JointExperiment, candidates: NDArray[np.int64], numbers: Sequence[int], sign: int
) -> Edit:
    """Edit each block by the draw that, alone, changes the ROI most: up for ``sign`` 1, down for -1."""
    effects = joint.single_effects(candidates.repeat(len(numbers)), np.tile(numbers, len(candidates)))
    chosen = (-sign * effects).reshape(len(candidates), len(numbers)).argmax(axis=1)
    draws = np.zeros((1, joint.roi.size), np.int64)
    draws[0, candidates] = np.array(numbers)[chosen]
    return Edit(joint, draws)
