"""What stands in the place of a filter's output: the mean or the values of donors, nothing, or another filter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from CEM_Demo.filters.donors import Donor
from CEM_Demo.inference.suffix import FilterInference, SiteValues

MEAN, RESAMPLE, ZERO, WEIGHTS = "mean", "resample", "zero", "weights"
OF_DONORS = (MEAN, RESAMPLE)


@dataclass(frozen=True)
class Replacements:
    """What may stand at the sites of a network.

    A replacement is ``mean``, that of a channel over all donors and the window that the ROI depends on; ``resample``,
    what one donor has in the same place of the same channel; ``zero``, what is there if weights and bias of the filter
    are zero; or ``weights``, what the filter of another network makes of the same input.

    Attributes:
        inference: of the network.
        donors: at least one for ``mean`` and ``resample``.
    """

    inference: FilterInference
    donors: tuple[Donor, ...]

    def draws(self, kind: str) -> int:
        """Count the draws of a replacement; all but ``resample`` have one, without chance."""
        return len(self.donors) if kind == RESAMPLE else 1

    def values(self, kind: str, draw: int) -> SiteValues | None:
        """Give what stands at every site instead.

        Returns:
            1 x C x h x w or 1 x C x 1 x 1 for each site; None for ``weights``, which depends on what else is replaced.
        """
        if kind == WEIGHTS:
            return None
        if kind == ZERO:
            return {site.number: site.deleted for layer in self.inference.layers for site in layer.sites}
        if kind == RESAMPLE:
            return self.inference.values_of(self.donors[draw].degraded)
        return self._mean

    @cached_property
    def _mean(self) -> SiteValues:
        return _mean_of(self.inference.values_of(donor.degraded) for donor in self.donors)


def _mean_of(of_donors: Iterator[SiteValues]) -> SiteValues:
    sums: dict[int, Tensor] = {}
    types: dict[int, torch.dtype] = {}
    count = 0
    for values in of_donors:
        count += 1
        for number, value in values.items():
            types[number] = value.dtype
            mean = value.double().mean(dim=(-2, -1), keepdim=True)
            sums[number] = sums[number] + mean if number in sums else mean
    return {number: (total / count).to(types[number]) for number, total in sums.items()}
