"""Draws that know when to stop: blocks that cannot matter get none, the others as many as their effects need.

One backward pass predicts how much each block can matter; blocks far below the tolerance are not tried, but for one
joint draw on each neighborhood of them, which checks on the prediction. The others are drawn in rounds, and each round
asks for more draws only where those so far leave the effect or its class open.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.geometry import ROI
from CEM_Demo.inference.gradient import error_gradient
from CEM_Demo.method.allocation import Rule, allocate
from CEM_Demo.method.intervention import JointPatches
from CEM_Demo.method.measurements import Measurements
from CEM_Demo.method.plan import Interventions, Plan
from CEM_Demo.method.screening import audit_groups, live_blocks, predict_deviation, revive
from CEM_Demo.method.stratified_draws import StratifiedSequence
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.stages import run_round

SCREENING_PATCHES = 300

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AdaptiveSampling:
    """How the draws of an image are chosen where ``sampling`` is adaptive.

    Attributes:
        sequence: the draws of all blocks.
        shape: block rows and block columns.
        rule: when a block has enough of them.
        roi_blocks: whether the ROI's own blocks are tried too, which no map shows.
    """

    sequence: StratifiedSequence
    shape: tuple[int, int]
    rule: Rule
    roi_blocks: bool

    @property
    def room(self) -> dict[str, int]:
        """See :attr:`~CEM_Demo.run.sampling.Sampling.room`."""
        return {"screen": 1, "audit": 1, "adaptive": self.rule.most}

    @property
    def digest(self) -> str:
        """See :attr:`~CEM_Demo.run.sampling.Sampling.digest`."""
        return self.sequence.digest

    @property
    def positions(self) -> NDArray[np.float64]:
        """See :attr:`~CEM_Demo.run.sampling.Sampling.positions`."""
        blocks, draws = np.indices((self.shape[0] * self.shape[1], self.rule.most))
        return self.sequence.draw(blocks, draws).positions.reshape(*self.shape, self.rule.most)

    @property
    def typical(self) -> tuple[Plan, Plan]:
        """See :attr:`~CEM_Demo.run.sampling.Sampling.typical`."""
        first, more = (np.full(self.shape, draws) for draws in (self.rule.first, round(self.rule.constant)))
        return Plan(self.sequence, np.zeros_like(first), first), Plan(self.sequence, np.zeros_like(more), more)

    def first(self) -> Interventions:
        """See :meth:`~CEM_Demo.run.sampling.Sampling.first`."""
        return self.typical[0][:1]

    def run(
        self,
        experiment: Experiment,
        measurements: Sequence[Measurements],
        save: Callable[[], None] = lambda: None,
        label: str | None = None,
    ) -> None:
        """See :meth:`~CEM_Demo.run.sampling.Sampling.run`."""
        candidates = [self._candidates(experiment, roi, of_roi) for roi, of_roi in _pairs(experiment, measurements)]
        for roi, of_roi in _pairs(experiment, measurements):
            self._screen(experiment, roi, of_roi)
        live = [
            self._audited(experiment, number, candidates[number], measurements, save, label)
            for number in range(len(measurements))
        ]
        while (due := self._next_round(measurements, live)) is not None:
            made, wanted = due
            most = wanted.max(axis=0)
            plan = Plan(self.sequence, np.where(wanted > made, made, most).min(axis=0), most)
            run_round(experiment, "adaptive", plan, wanted, measurements, save, label)

    def _candidates(self, experiment: Experiment, roi: ROI, of_roi: Measurements) -> NDArray[np.bool_]:
        """Rows x columns, the blocks that may be tried."""
        overlaps = experiment.grid.overlaps(roi)
        return of_roi.reached & (self.roi_blocks | ~overlaps)

    def _screen(self, experiment: Experiment, roi: ROI, of_roi: Measurements) -> None:
        """Predict how much each block can matter, unless an earlier run did, or went on without."""
        screen = of_roi.rounds["screen"]
        if any(draws.counts.any() for draws in of_roi.rounds.values()):
            return
        try:
            screen.values[..., 0] = self.predict(experiment, roi)
        except Exception as error:  # a network is anybody's code, and not every operator has a gradient
            log.warning("ROI %s: no block is screened out, for there is no gradient (%s)", roi, error)
        else:
            screen.counts[:] = 1

    def predict(self, experiment: Experiment, roi: ROI) -> NDArray[np.float64]:
        """Rows x columns, the root mean square effect (dB) of a block's draws, to first order."""
        scene, grid, bank = experiment.scene, experiment.grid, experiment.bank
        found = error_gradient(experiment.network, scene.degraded, scene.ground_truth, roi, experiment.device)
        # Evenly along the order of the bank.
        chosen = self.sequence.order[:: max(1, len(self.sequence.order) // SCREENING_PATCHES)]
        patches, around = bank.at_size(chosen, grid.block), scene.degraded
        if scene.pasted_clean:
            around = scene.ground_truth
        else:
            corners = np.zeros((len(chosen), 2), np.int64)
            patches = scene.degrade_patches(patches, corners, np.arange(len(chosen), dtype=np.uint64))
        return predict_deviation(found.gradient, around, patches, found.squared_error, grid.block)

    def _audited(
        self,
        experiment: Experiment,
        number: int,
        candidates: NDArray[np.bool_],
        measurements: Sequence[Measurements],
        save: Callable[[], None],
        label: str | None,
    ) -> NDArray[np.bool_]:
        """Rows x columns, the blocks of one ROI that get draws: those not screened out, and what the audit revives."""
        of_roi = measurements[number]
        predicted = _predicted(of_roi)
        if predicted is None:
            return candidates
        live = candidates & live_blocks(predicted, self.rule.tol)
        groups = audit_groups(candidates & ~live)
        anchors = _first_of_each(groups)
        joint = JointPatches(experiment.natural_patches, self.sequence, groups, experiment.scene.degraded)
        wanted = np.zeros((len(measurements), *groups.shape), np.int64)
        wanted[number] = anchors
        plan = Plan(self.sequence, np.zeros_like(groups), anchors.astype(np.int64))
        run_round(replace(experiment, intervention=joint), "audit", plan, wanted, measurements, save, label)
        effects = of_roi.origin - of_roi.rounds["audit"].values[..., 0][anchors]
        return revive(live, groups, effects, self.rule.tol)

    def _next_round(
        self, measurements: Sequence[Measurements], live: Sequence[NDArray[np.bool_]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """For each ROI, the draws that its blocks have before the next round, and those that it wants after it.

        All ROIs are in the same round, so that a resumed run has the batches of an uninterrupted one. None where every
        block has enough.
        """
        allocations = [
            allocate(
                of_roi.origin - of_roi.rounds["adaptive"].values,
                of_roi.rounds["adaptive"].tried,
                _predicted(of_roi),
                alive,
                self.rule,
            )
            for of_roi, alive in zip(measurements, live, strict=True)
        ]
        if all(allocation.finished for allocation in allocations):
            return None
        current = min(len(found.rounds) for found in allocations if not found.finished) - 1
        wanted = np.stack([found.rounds[min(current, len(found.rounds) - 1)] for found in allocations])
        made = np.stack([found.rounds[min(current, len(found.rounds)) - 1] for found in allocations])
        return (made if current else np.zeros_like(wanted)), wanted


def _pairs(experiment: Experiment, measurements: Sequence[Measurements]) -> list[tuple[ROI, Measurements]]:
    return list(zip(experiment.group.rois, measurements, strict=True))


def _predicted(of_roi: Measurements) -> NDArray[np.float64] | None:
    """Rows x columns, what the screen predicted (dB); None where there was no gradient."""
    screen = of_roi.rounds["screen"]
    return screen.values[..., 0] if screen.counts.all() else None


def _first_of_each(groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows x columns, True for the first block of each group, which stands for it."""
    found, first = np.unique(groups, return_index=True)
    anchors = np.zeros(groups.size, bool)
    anchors[first[found >= 0]] = True
    return anchors.reshape(groups.shape)
