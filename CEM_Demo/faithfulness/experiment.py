"""Joint interventions on sets of blocks, with draws that had no part in making the map."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.inference.choice import reached_blocks
from CEM_Demo.method.intervention import Pasted, join
from CEM_Demo.method.metric import Metric, unrounded_psnr
from CEM_Demo.method.plan import Plan, make_generator, make_plan, number_of_name
from CEM_Demo.run.experiment import Experiment

# What the rectangles of a batch may take.
BATCH_BYTES = 1 << 26
UNROUNDED = Metric("unrounded psnr", "dB", True, unrounded_psnr)


@dataclass(frozen=True)
class JointExperiment:
    """One network on one ROI of an image, ready for interventions on several blocks at once.

    A draw puts the same patch on a block whatever else is replaced, so that sets of blocks can be compared pairwise.

    Attributes:
        experiment: what is measured, of one ROI.
        plan: gives the draws.
        origin: the metric of the ROI without intervention, dB.
        reached: blocks bool, in row-major order, False for those that cannot change the ROI.
        roi: blocks bool, those that overlap the ROI.
        batch_size: interventions that are restored at a time.
        entropy: what random orders and sets are drawn from.
    """

    experiment: Experiment
    plan: Plan
    origin: float
    reached: NDArray[np.bool_]
    roi: NDArray[np.bool_]
    batch_size: int
    entropy: tuple[int, ...]

    @property
    def candidates(self) -> NDArray[np.int64]:
        """The blocks that may be replaced: those outside the ROI that can change it."""
        return np.flatnonzero(self.reached & ~self.roi)

    def unrounded(self) -> JointExperiment:
        """The same, measured by the PSNR of values that are clipped but not rounded: for effects below a level."""
        experiment = replace(self.experiment, metric=UNROUNDED)
        restored = experiment.group.inference.baseline()
        (untouched,) = experiment.fresh_measurements(restored, {}, self.batch_size)
        return replace(self, experiment=experiment, origin=untouched.origin)

    def mask(self, blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Blocks bool, True for the given ones."""
        mask = np.zeros(self.roi.size, dtype=bool)
        mask[blocks] = True
        return mask

    def effects(self, sets: NDArray[np.bool_], draws: NDArray[np.int64]) -> NDArray[np.float64]:
        """Replace sets of blocks, and measure what the ROI loses.

        Args:
            sets: N x blocks bool, the blocks that each intervention replaces; in an empty set, none.
            draws: N int64, numbers of the draws; or N x blocks int64, where each block has a draw of its own.

        Returns:
            N float64, dB: origin minus intervened PSNR.
        """
        effects = np.zeros(len(sets))
        some = np.flatnonzero(sets.any(axis=1))
        # Sets of the same extent share a rectangle, and so a batch.
        extents, members = np.unique(self._extents(sets[some]), axis=0, return_inverse=True)
        for extent in range(len(extents)):
            alike = some[members.reshape(-1) == extent]
            size = self._batch_size(extents[extent])
            for start in range(0, len(alike), size):
                batch = alike[start : start + size]
                effects[batch] = self._effects_at_once(sets[batch], draws[batch])
        return effects

    def single_effects(self, blocks: NDArray[np.int64], draws: NDArray[np.int64]) -> NDArray[np.float64]:
        """Replace N blocks, each alone, by given draws, and measure what the ROI loses: N float64, dB."""
        effects = np.zeros(len(blocks))
        for start in range(0, len(blocks), self.batch_size):
            part = slice(start, start + self.batch_size)
            effects[part] = self.origin - self.experiment.measure_pasted(self.single(blocks[part], draws[part]))[0]
        return effects

    def single(self, blocks: NDArray[np.int64], draws: NDArray[np.int64]) -> Pasted:
        """Give what draws put in the place of N blocks, each alone."""
        return self.experiment.paste(self.plan.at(blocks, draws))

    def random(self, *key: int) -> np.random.RandomState:
        """Make a generator that depends on the seed, the image and ``key`` alone, in every version of NumPy."""
        return make_generator(*self.entropy, *key)

    def _extents(self, sets: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For N sets: first row, row after the last, first column, column after the last; N x 4."""
        grids = sets.reshape(len(sets), *self.experiment.grid.shape)
        ends: list[NDArray[np.int64]] = []
        for across in (2, 1):
            present: NDArray[np.bool_] = np.any(grids, axis=across)
            ends += [present.argmax(axis=1), present.shape[1] - present[:, ::-1].argmax(axis=1)]
        return np.stack(ends, axis=1)

    def _batch_size(self, extent: NDArray[np.int64]) -> int:
        top, bottom, left, right = extent * self.experiment.grid.block
        return int(max(1, min(self.batch_size, BATCH_BYTES // (3 * (bottom - top) * (right - left)))))

    def _effects_at_once(self, sets: NDArray[np.bool_], draws: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.origin - self.experiment.measure_pasted(self.joined(sets, draws))[0]

    def joined(self, sets: NDArray[np.bool_], draws: NDArray[np.int64]) -> Pasted:
        """Give what stands where N sets of blocks are replaced, none of them empty; see :meth:`effects`."""
        members, blocks = np.nonzero(sets)
        numbers = draws[members] if draws.ndim == 1 else draws[members, blocks]
        return join(self.single(blocks, numbers), members, self.experiment.scene.degraded)


def make_joint_experiment(
    experiment: Experiment, seed: int, image_name: str, batch_size: int, draws: int
) -> JointExperiment:
    """Prepare joint interventions with fresh draws; the experiment is one of a single ROI.

    Args:
        experiment: what is measured.
        seed, image_name: the draws depend on them, as those of the map do.
        batch_size: interventions that are restored at a time.
        draws: how many there are of each block.
    """
    grid, (roi,) = experiment.grid, experiment.group.rois
    (untouched,) = experiment.fresh_measurements(experiment.group.inference.baseline(), {}, batch_size)
    reached = untouched.reached.reshape(-1)
    if reached.all():
        # Dense inference knows of no bounds; random blocks that cannot change the ROI would be no rivals.
        reached = reached_blocks(experiment.network, experiment.scene.degraded, roi, grid.block, experiment.device)
    return JointExperiment(
        experiment=experiment,
        plan=make_plan(seed, image_name, "test", grid.shape, draws, len(experiment.bank)),
        origin=untouched.origin,
        reached=reached,
        roi=grid.overlaps(roi).reshape(-1),
        batch_size=batch_size,
        entropy=(seed, number_of_name(image_name)),
    )
