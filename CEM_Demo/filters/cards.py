"""Cards of the strongest filters: where they fire on the image, and the natural patches that excite them most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from CEM_Demo.filters.donors import Donor
from CEM_Demo.filters.effects import FilterEffects
from CEM_Demo.filters.experiment import FilterExperiment
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.sites import Site

CARDS = 8
PATCHES = 4
PATCH_SIDE = 32


@dataclass(frozen=True)
class Card:
    """One filter.

    Attributes:
        number: among all filters.
        activation: h x w float32, what it gives on the image, in the window that the ROI depends on, at its last use;
            of a head, the root mean square over its channels. Of values in windows, it is windows x pixels.
        patches: cut from the donors where it is highest, the best first; side x side x 3 uint8 RGB. None where rows and
            columns of the activation are not those of a feature map.
    """

    number: int
    activation: NDArray[np.float32]
    patches: tuple[UInt8Image, ...]


def make_cards(experiment: FilterExperiment, effects: FilterEffects, donors: Sequence[Donor]) -> tuple[Card, ...]:
    """Make the cards of the filters that help most, the best first, and of those that hurt most, the worst first."""
    numbers = [*effects.strongest(1, CARDS), *effects.strongest(-1, CARDS)]
    places = {number: _place(experiment, effects, number) for number in numbers}
    sites = [site for site, _ in places.values()]
    own = experiment.inference.own_values(sites)
    found: dict[int, list[tuple[float, UInt8Image]]] = {number: [] for number in numbers}
    for donor in donors:
        values = experiment.inference.values_of(donor.degraded)
        for number, (site, channels) in places.items():
            if site.layout is None or site.layout.is_spatial:
                activation = _activation(values[site.number], channels)
                row, column = np.unravel_index(activation.argmax(), activation.shape)
                patch = _patch(experiment, site, donor.image, int(row), int(column))
                found[number].append((float(activation.max()), patch))
    cards = []
    for number, (site, channels) in places.items():
        ranked = sorted(found[number], key=lambda pair: -pair[0])
        patches = tuple(patch for _, patch in ranked[:PATCHES])
        cards.append(Card(number, _activation(own[site.number], channels), patches))
    return tuple(cards)


def _place(experiment: FilterExperiment, effects: FilterEffects, number: int) -> tuple[Site, slice]:
    """Give the last use of a filter's layer, and the filter's channels there."""
    layer, filter_number = experiment.layers[effects.layer_of[number]], int(effects.channel_of[number])
    site = layer.sites[-1]
    each = site.deleted.shape[1] // layer.channels
    return site, slice(filter_number * each, (filter_number + 1) * each)


def _activation(values: Tensor, channels: slice) -> NDArray[np.float32]:
    found = values[0, channels].float()
    return (found[0] if len(found) == 1 else found.square().mean(dim=0).sqrt()).cpu().numpy()


def _patch(experiment: FilterExperiment, site: Site, image: UInt8Image, row: int, column: int) -> UInt8Image:
    """Cut the patch of an image around a pixel of a site's window."""
    window, size = experiment.inference.window(site), experiment.inference.size(site)
    centers = (window.top + row + 0.5) / size[0], (window.left + column + 0.5) / size[1]
    corners = [
        int(np.clip(center * side - PATCH_SIDE / 2, 0, max(side - PATCH_SIDE, 0)))
        for center, side in zip(centers, image.shape[:2], strict=True)
    ]
    return image[corners[0] : corners[0] + PATCH_SIDE, corners[1] : corners[1] + PATCH_SIDE]
