"""One network on the ROIs of one image, ready for interventions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.geometry import ROI, Grid, mirrored
from CEM_Demo.inference.choice import RoiGroup
from CEM_Demo.inference.interface import Inference
from CEM_Demo.method.further_metrics import UNROUNDED
from CEM_Demo.method.intervention import Intervention, NaturalPatches, Pasted
from CEM_Demo.method.measurements import EFFECT_ROUNDS, FROZEN, Draws, MeasuredMetric, Measurements, round_of
from CEM_Demo.method.metric import PSNR, Metric
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
        metric: measures an ROI, and decides how its blocks are drawn.
        further: metrics that are measured beside it, on the same restored ROIs.
        frozen: restores the same with all frozen that the network gathers over the image, see
            :func:`~CEM_Demo.inference.frozen.frozen_inference`; None where that is not asked for.
    """

    network: nn.Module
    group: RoiGroup
    scene: Scene
    grid: Grid
    bank: PatchBank
    device: torch.device
    intervention: Intervention | None = None
    metric: Metric = PSNR
    further: tuple[Metric, ...] = ()
    frozen: Inference | None = None

    @property
    def natural_patches(self) -> NaturalPatches:
        """The published intervention."""
        return NaturalPatches(self.bank, self.grid.block, self.scene.degrade_patches)

    def fresh_measurements(
        self, restored: Tensor, room: Mapping[str, int], batch_size: int, restored_sha256: str = ""
    ) -> list[Measurements]:
        """Measure each ROI of the untouched output, 3 x sH x sW, and make room for the draws of each round."""
        untouched = restored[(None, slice(None), *self.group.hull.window)]
        origins, unrounded = self._measure(untouched, self.metric), self._measure(untouched, UNROUNDED)
        further = {metric.name: (metric, self._measure(untouched, metric)) for metric in self.further}
        if self.frozen:
            untouched = self.frozen.baseline()[(None, slice(None), *self.group.hull.window)]
            further[FROZEN] = self.metric, self._measure(untouched, self.metric)
        return [
            Measurements(
                origin=float(values[0]),
                unrounded_origin=float(exact[0]),
                reached=reached.reshape(self.grid.shape),
                rounds=self._make_room(room),
                inference=self.group.inference.kind,
                batch_size=batch_size,
                threads=torch.get_num_threads(),
                restored_sha256=restored_sha256,
                metrics={
                    name: MeasuredMetric(metric.unit, metric.higher_is_better, float(of_rois[number][0]))
                    for name, (metric, of_rois) in further.items()
                },
            )
            for number, (values, exact, reached) in enumerate(zip(origins, unrounded, self.group.reached, strict=True))
        ]

    def _make_room(self, room: Mapping[str, int]) -> dict[str, Draws]:
        """Make room for the draws of each round, and of each further metric in those that make effects."""
        names = {name: draws for name, draws in room.items() if name in EFFECT_ROUNDS}
        metrics = [*(metric.name for metric in self.further), *([FROZEN] if self.frozen else [])]
        further = {round_of(name, metric): names[name] for metric in metrics for name in names}
        return {name: Draws.none_yet(self.grid.shape, draws) for name, draws in {**room, **further}.items()}

    def measure(self, batch: Interventions) -> list[NDArray[np.float64]]:
        """Make the interventions of a batch, and measure each ROI: for each, N values of the metric."""
        return self.measure_pasted(self.paste(batch))

    def paste(self, batch: Interventions) -> Pasted:
        """Give what the interventions of a batch put where."""
        return (self.intervention or self.natural_patches)(batch)

    def measure_pasted(self, pasted: Pasted) -> list[NDArray[np.float64]]:
        """Restore N intervened inputs, and measure each ROI: for each, N values of the metric."""
        return self._measure(self.group.inference.restore(pasted.corners, pasted.pixels), self.metric)

    def measure_all(self, batch: Interventions) -> list[dict[str, NDArray[np.float64]]]:
        """Make the interventions of a batch: for each ROI, N values of each metric, by its name."""
        pasted = self.paste(batch)
        restored = self.group.inference.restore(pasted.corners, pasted.pixels)
        measured = {metric.name: self._measure(restored, metric) for metric in (self.metric, *self.further)}
        if self.frozen:
            if self.frozen is not self.group.inference:
                restored = self.frozen.restore(pasted.corners, pasted.pixels)
            measured[FROZEN] = self._measure(restored, self.metric)
        return [{name: values[number] for name, values in measured.items()} for number in range(len(self.group.rois))]

    def _measure(self, restored: Tensor, metric: Metric) -> list[NDArray[np.float64]]:
        """For what the inference restores, N x 3 x h x w, the values of each ROI in it."""
        values = []
        for roi in self.group.rois:
            truth = torch.from_numpy(truth_around(self.scene, roi, metric.margin)).permute(2, 0, 1)
            window = restored[(..., *roi.window_in(self.group.hull))]
            if metric.margin:
                rows, columns = places_around(self.scene, roi, metric.margin)
                window = restored[..., rows[:, None] - self.group.hull.top, columns - self.group.hull.left]
            values.append(metric.measure(window, truth.to(restored.device)))
        return values


def places_around(scene: Scene, roi: ROI, margin: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of an ROI with a margin on each side, mirrored at the border of the image."""
    height, width = scene.ground_truth.shape[:2]
    rows = mirrored(roi.top - margin, roi.bottom + margin, height)
    return rows, mirrored(roi.left - margin, roi.right + margin, width)


def truth_around(scene: Scene, roi: ROI, margin: int) -> NDArray[np.uint8]:
    """The ground truth of an ROI with a margin: h x w x 3 uint8, contiguous."""
    return np.ascontiguousarray(scene.ground_truth[np.ix_(*places_around(scene, roi, margin))])
