"""One network on the ROIs of one image, ready for interventions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.geometry import Grid
from CEM_Demo.inference.choice import Shared
from CEM_Demo.method.intervention import Intervention, NaturalPatches, Pasted
from CEM_Demo.method.measurements import Draws, Measurements
from CEM_Demo.method.metric import PSNR, Measure, Metric, unrounded_psnr
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.method.plan import Interventions
from CEM_Demo.tasks import Scene


@dataclass(frozen=True)
class Experiment:
    """What interventions are made on, what they put there, and how their effect is measured.

    Attributes:
        network: maps N x 3 x H x W in 0..1 to N x 3 x sH x sW.
        group: ROIs of the image that are restored together, and what restores them.
        scene: the image as the task poses it.
        grid: the blocks.
        bank: the patches.
        device: that computes.
        intervention: gives what stands in a block's place; None pastes patches of the bank.
        metric: measures an ROI.
    """

    network: nn.Module
    group: Shared
    scene: Scene
    grid: Grid
    bank: PatchBank
    device: torch.device
    intervention: Intervention | None = None
    metric: Metric = PSNR

    @property
    def natural_patches(self) -> NaturalPatches:
        """The published intervention."""
        return NaturalPatches(self.bank, self.grid.block, self.scene.degrade_patches)

    def fresh_measurements(
        self, restored: Tensor, room: Mapping[str, int], batch_size: int, restored_sha256: str = ""
    ) -> list[Measurements]:
        """Measure each ROI of the untouched output, 3 x sH x sW, and make room for the draws of each round."""
        untouched = restored[(None, slice(None), *self.group.around.window)]
        origins, unrounded = self._measure(untouched), self._measure(untouched, unrounded_psnr)
        return [
            Measurements(
                origin=float(values[0]),
                unrounded_origin=float(exact[0]),
                reached=reached.reshape(self.grid.shape),
                rounds={name: Draws.none_yet(self.grid.shape, draws) for name, draws in room.items()},
                inference=self.group.inference.kind,
                batch_size=batch_size,
                threads=torch.get_num_threads(),
                restored_sha256=restored_sha256,
            )
            for values, exact, reached in zip(origins, unrounded, self.group.reached, strict=True)
        ]

    def measure(self, batch: Interventions) -> list[NDArray[np.float64]]:
        """Make the interventions of a batch, and measure each ROI: for each, N values of the metric."""
        return self.measure_pasted(self.paste(batch))

    def paste(self, batch: Interventions) -> Pasted:
        """Give what the interventions of a batch put where."""
        return (self.intervention or self.natural_patches)(batch)

    def measure_pasted(self, pasted: Pasted) -> list[NDArray[np.float64]]:
        """Restore N intervened inputs, and measure each ROI: for each, N values of the metric."""
        return self._measure(self.group.inference.restore(pasted.corners, pasted.pixels))

    def _measure(self, restored: Tensor, measure: Measure | None = None) -> list[NDArray[np.float64]]:
        """For what the inference restores, N x 3 x h x w, the values of each ROI in it."""
        values = []
        for roi in self.group.rois:
            truth = torch.from_numpy(np.ascontiguousarray(self.scene.ground_truth[roi.window])).permute(2, 0, 1)
            window = restored[(..., *roi.window_in(self.group.around))]
            values.append((measure or self.metric.measure)(window, truth.to(restored.device)))
        return values
