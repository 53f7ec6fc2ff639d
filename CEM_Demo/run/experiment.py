"""One network on the ROIs of one image, ready for interventions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CEM_Demo.geometry import Grid
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.choice import Shared
from CEM_Demo.method.intervention import Intervention
from CEM_Demo.method.measurements import Draws, Measurements
from CEM_Demo.method.metric import PSNR, Metric
from CEM_Demo.method.plan import Interventions, Plan


@dataclass(frozen=True)
class Experiment:
    """What interventions are made on, what they put there, and how their effect is measured.

    Attributes:
        group: ROIs of the image that are restored together.
        ground_truth: sH x sW x 3 uint8 RGB.
        grid: the blocks.
        intervention: gives what stands in a block's place.
        metric: measures an ROI.
    """

    group: Shared
    ground_truth: UInt8Image
    grid: Grid
    intervention: Intervention
    metric: Metric = PSNR

    def fresh_measurements(
        self, restored: Tensor, plans: Mapping[str, Plan], batch_size: int, restored_sha256: str = ""
    ) -> list[Measurements]:
        """Measure each ROI of the untouched output, 3 x sH x sW, and make room for the draws of the rounds."""
        origins = self._measure(restored[(None, slice(None), *self.group.around.window)])
        return [
            Measurements(
                origin=float(values[0]),
                reached=reached.reshape(self.grid.shape),
                rounds={name: Draws.none_yet(self.grid.shape, plan.draws) for name, plan in plans.items()},
                inference=self.group.inference.kind,
                batch_size=batch_size,
                threads=torch.get_num_threads(),
                restored_sha256=restored_sha256,
            )
            for values, reached in zip(origins, self.group.reached, strict=True)
        ]

    def measure(self, batch: Interventions) -> list[NDArray[np.float64]]:
        """Make the interventions of a batch, and measure each ROI: for each, N values of the metric."""
        pasted = self.intervention(batch)
        return self._measure(self.group.inference.restore(pasted.corners, pasted.pixels))

    def _measure(self, restored: Tensor) -> list[NDArray[np.float64]]:
        """For what the inference restores, N x 3 x h x w, the values of each ROI in it."""
        values = []
        for roi in self.group.rois:
            truth = torch.from_numpy(np.ascontiguousarray(self.ground_truth[roi.window])).permute(2, 0, 1)
            window = restored[(..., *roi.window_in(self.group.around))]
            values.append(self.metric.measure(window, truth.to(restored.device)))
        return values
