"""What the ROI loses where filters of a network are replaced: single filters, or sets of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CEM_Demo.geometry import ROI
from CEM_Demo.inference.sites import Layer
from CEM_Demo.inference.suffix import FilterInference, SiteValues, Suffix
from CEM_Demo.method.metric import unrounded_psnr
from CEM_Demo.tasks import Scene


@dataclass(frozen=True)
class FilterExperiment:
    """A network on one ROI of an image, ready for interventions on filters.

    PSNR is that of values that are clipped but not rounded: rounding moves the small effects of filters too far.

    Attributes:
        inference: restores the ROI.
        truth: 3 x h x w uint8, the ground truth of the ROI, on the inference's device.
        layers: whose filters are replaced.
    """

    inference: FilterInference
    truth: Tensor
    layers: tuple[Layer, ...]

    @property
    def origin(self) -> float:
        """PSNR (dB) of the ROI without intervention."""
        return float(unrounded_psnr(self.inference.restored()[None], self.truth)[0])

    @property
    def filters(self) -> int:
        """How many filters the layers have together."""
        return sum(layer.channels for layer in self.layers)

    def slice_of(self, layer: Layer) -> slice:
        """Give the places of a layer's filters among all filters, layer by layer."""
        start = sum(one.channels for one in self.layers[: self.layers.index(layer)])
        return slice(start, start + layer.channels)

    def single_effects(self, layer: Layer, values: SiteValues | None) -> NDArray[np.float64]:
        """Replace each filter of a layer, alone: C float64, dB, positive where the filter helps.

        Args:
            layer: one of :attr:`layers`.
            values: what stands there instead, see :func:`~CEM_Demo.filters.replacements.replacement`.
        """
        effects = np.zeros(layer.channels)
        moved = np.flatnonzero(self._moves(layer, values))
        if len(moved):
            mask = torch.eye(layer.channels, dtype=torch.bool)[moved]
            effects[moved] = self._effects([layer], {layer: mask}, values)
        return effects

    def joint_effects(self, sets: NDArray[np.bool_], values: SiteValues | None) -> NDArray[np.float64]:
        """Replace sets of filters, each set at once.

        Args:
            sets: N x filters bool, layer by layer.
            values: as above.

        Returns:
            N float64, dB: origin minus intervened PSNR.
        """
        masks = {layer: torch.from_numpy(sets[:, self.slice_of(layer)]) for layer in self.layers}
        touched = [layer for layer, mask in masks.items() if layer.sites and mask.any()]
        return self._effects(touched, masks, values) if touched else np.zeros(len(sets))

    def _moves(self, layer: Layer, values: SiteValues | None) -> NDArray[np.bool_]:
        """Say for each filter of a layer whether what stands there instead differs at all."""
        own = self.inference.own_values(layer.sites)
        instead = self.inference.other_values(layer.sites) if values is None else values
        moved = torch.zeros(layer.channels, dtype=torch.bool)
        for site in layer.sites:
            differs = (own[site.number] != instead[site.number]).transpose(0, 1)
            moved |= differs.unflatten(0, (layer.channels, -1)).flatten(1).any(dim=1).cpu()
        return moved.numpy()

    def _effects(
        self, layers: Sequence[Layer], masks: Mapping[Layer, Tensor], values: SiteValues | None
    ) -> NDArray[np.float64]:
        """Measure N interventions; masks are N x C bool for each layer."""
        suffix = self.inference.suffix(layers)
        count = len(masks[layers[0]])
        size = min(suffix.most, count)

        def measure(part: slice | None) -> NDArray[np.float64]:
            chosen: dict[int, Tensor] = {}
            for layer in layers:
                some = torch.zeros(size, layer.channels, dtype=torch.bool)
                if part is not None:
                    some[: part.stop - part.start] = masks[layer][part]
                chosen |= {site.number: some.to(self.inference.device) for site in layer.sites}
            return self._psnr(suffix, chosen, values)

        # The untouched ROI goes through the same steps in a batch of the same size, so that nothing else can differ.
        untouched = measure(None)[0]
        parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
        return np.concatenate([untouched - measure(part)[: part.stop - part.start] for part in parts])

    def _psnr(self, suffix: Suffix, chosen: Mapping[int, Tensor], values: SiteValues | None) -> NDArray[np.float64]:
        return unrounded_psnr(suffix.restore(chosen, values), self.truth)


def make_experiment(inference: FilterInference, scene: Scene, roi: ROI, layers: Sequence[Layer]) -> FilterExperiment:
    """Pose interventions on the filters of some layers, for an ROI of a scene."""
    truth = torch.from_numpy(np.ascontiguousarray(scene.ground_truth[roi.window])).permute(2, 0, 1)
    return FilterExperiment(inference, truth.to(inference.device), tuple(layers))
