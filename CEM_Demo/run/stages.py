"""The two stages of interventions on the ROIs of one image (paper, section 3.3); knows nothing of files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from CEM_Demo.geometry import Grid
from CEM_Demo.inference.choice import Shared
from CEM_Demo.method.metric import psnr, squared_errors, to_uint8
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.method.plan import Interventions, Plan
from CEM_Demo.results.cache import Effects, blank
from CEM_Demo.tasks import Scene

SECONDS_BETWEEN_SAVES = 2.0


@dataclass(frozen=True)
class Scope:
    """What interventions are made on and measured by: ROIs that share an inference, their image, the patches."""

    shared: Shared
    scene: Scene
    grid: Grid
    bank: PatchBank
    device: torch.device

    def fresh_effects(
        self, restored: Tensor, coarse: Plan, fine: Plan, batch_size: int, restored_sha256: str = ""
    ) -> list[Effects]:
        """For each ROI of the untouched output, 3 x sH x sW, its origin, and nothing measured yet."""
        origins = self._psnr(restored[(None, slice(None), *self.shared.around.window)])
        return [
            Effects(
                origin=float(values[0]),
                coarse=np.zeros((*self.grid.shape, coarse.draws)),
                fine=np.zeros((*self.grid.shape, fine.draws)),
                inference=self.shared.inference.kind,
                reached=reached.reshape(self.grid.shape),
                batch_size=batch_size,
                threads=torch.get_num_threads(),
                restored_sha256=restored_sha256,
            )
            for values, reached in zip(origins, self.shared.reached, strict=True)
        ]

    def measure(self, batch: Interventions) -> list[NDArray[np.float64]]:
        """PSNRs (dB) of each ROI after the interventions of a batch."""
        corners = np.stack((batch.rows, batch.columns), axis=1) * self.grid.block
        patches = self.bank.at_size(batch.patches, self.grid.block)
        blocks = self.scene.degrade_patches(patches, corners, batch.noise_seeds)
        return self._psnr(self.shared.inference.restore(corners, blocks))

    def _psnr(self, restored: Tensor) -> list[NDArray[np.float64]]:
        """For what the inference restores, N x 3 x h x w, the PSNRs of each ROI in it."""
        rounded = to_uint8(restored)
        values = []
        for roi in self.shared.rois:
            truth = torch.from_numpy(np.ascontiguousarray(self.scene.ground_truth[roi.window])).permute(2, 0, 1)
            errors = squared_errors(rounded[(..., *roi.window_in(self.shared.around))], truth.to(self.device))
            values.append(psnr(errors.cpu().numpy(), truth.numel()))
        return values


@dataclass(frozen=True)
class Keeper:
    """What happens to effects while they are computed.

    Attributes:
        save: called with a stage now and then, when it is done, and when it is interrupted.
        recover_fine: called before the fine stage with the plan of each ROI, to fill in what an earlier run did.
    """

    save: Callable[[str], None]
    recover_fine: Callable[[Sequence[Plan]], None]


NOT_KEPT = Keeper(save=lambda stage: None, recover_fine=lambda plans: None)


def run_stages(
    scope: Scope, coarse: Plan, fine: Plan, tol: float, effects: Sequence[Effects], keeper: Keeper, label: str
) -> None:
    """Run what is left of both stages and fill ``effects``, one for each ROI.

    Args:
        scope: where.
        coarse, fine: the plans for all blocks of the image.
        tol: dB; blocks that moved the PSNR so far at least once pass to the fine stage.
        effects: may hold what an earlier run did; of the ROIs that share an inference, all run at the batch size
            of the first.
        keeper: saves and recovers.
        label: before the progress bars.
    """
    everywhere = np.ones((len(effects), *scope.grid.shape), dtype=bool)
    _run_stage("coarse", scope, coarse, everywhere, effects, keeper, label)
    passing = np.stack([passes_to_fine(part.origin, part.coarse, tol) for part in effects])
    plans = [fine.of_blocks(blocks) for blocks in passing]
    keeper.recover_fine(plans)
    for part, plan in zip(effects, plans, strict=True):
        part.progress.fine_planned = len(plan)
    _run_stage("fine", scope, fine.of_blocks(np.logical_or.reduce(passing)), passing, effects, keeper, label)


def passes_to_fine(origin: float, coarse: NDArray[np.float64], tol: float) -> NDArray[np.bool_]:
    """Rows x columns: whether any coarse draw moved the PSNR (dB) by ``tol`` or more."""
    # The extremes tell, without an array of all differences.
    return np.maximum(origin - coarse.min(axis=2), coarse.max(axis=2) - origin) >= tol


def _run_stage(
    stage: str,
    scope: Scope,
    plan: Plan,
    wanted: NDArray[np.bool_],
    effects: Sequence[Effects],
    keeper: Keeper,
    label: str,
) -> None:
    """Run what is left of a stage, batch by batch; ``wanted``, ROIs x rows x columns, says which block is whose."""
    owned = wanted.reshape(len(effects), -1)[:, plan.blocks]
    done = [getattr(part.progress, stage) for part in effects]
    batch_size = effects[0].batch_size
    # Batches start at multiples of their size, so that a resumed run has those of an uninterrupted one.
    begin = min(_place(own, plan.draws, count) for own, count in zip(owned, done, strict=True))
    begin = begin // batch_size * batch_size if begin < len(plan) else begin
    saved, unsaved = time.monotonic(), True
    try:
        with tqdm(total=len(plan), initial=begin, desc=f"{label} {stage}", unit="intervention") as bar:
            for start in range(begin, len(plan), batch_size):
                started = time.monotonic()
                batch = plan[start : start + batch_size]
                stop = start + len(batch)
                for part, own, measured in zip(effects, owned, scope.measure(batch), strict=True):
                    mine = own[np.arange(start, stop) // plan.draws]
                    places = batch.rows[mine], batch.columns[mine], batch.draws[mine]
                    getattr(part, stage)[places] = measured[mine]
                for part, own in zip(effects, owned, strict=True):
                    count = max(getattr(part.progress, stage), _count(own, plan.draws, stop))
                    setattr(part.progress, stage, count)
                    part.seconds += (time.monotonic() - started) / len(effects)
                bar.update(len(batch))
                unsaved = time.monotonic() - saved <= SECONDS_BETWEEN_SAVES
                if not unsaved:
                    keeper.save(stage)
                    saved = time.monotonic()
    except KeyboardInterrupt:
        for part, blocks in zip(effects, wanted, strict=True):  # of a batch that may be cut short
            blank(getattr(part, stage), plan.of_blocks(blocks), getattr(part.progress, stage))
        keeper.save(stage)
        raise
    # Once is enough: what a killed run left half-written beside complete results, nobody would take away.
    if unsaved:
        keeper.save(stage)


def _count(own: NDArray[np.bool_], draws: int, stop: int) -> int:
    """How many of the first ``stop`` interventions of a shared plan are on an ROI's own blocks."""
    whole, part = divmod(stop, draws)
    return int(own[:whole].sum()) * draws + part * int(own[whole : whole + 1].sum())


def _place(own: NDArray[np.bool_], draws: int, done: int) -> int:
    """Where in a shared plan an ROI stands that has done so many interventions on its own blocks."""
    whole, part = divmod(done, draws)
    blocks = np.flatnonzero(own)
    return int(blocks[whole]) * draws + part if whole < len(blocks) else len(own) * draws
