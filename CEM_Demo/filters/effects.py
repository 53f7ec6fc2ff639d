"""The effects of all filters of a network on one ROI, draw by draw, and what they say of each filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from CEM_Demo.config.schema import Config
from CEM_Demo.filters.experiment import FilterExperiment
from CEM_Demo.filters.replacements import Replacements
from CEM_Demo.method.classes import FDR, BlockClass, classify
from CEM_Demo.method.intervals import CONFIDENCE, Estimates, estimate

# Below it (dB), under every replacement, a filter is dead: it has nothing to say in the window of the ROI.
DEAD_BELOW = 1e-4

# By the name of the replacement, draws x filters float64, dB; NaN where nothing is measured yet.
Draws = dict[str, NDArray[np.float64]]


class Criteria(BaseModel):
    """What decides the classes of filters, once their effects are measured.

    Attributes:
        tol: dB, smaller effects count as negligible.
        confidence: of intervals, 0..1.
        fdr: the share of wrong ones, 0..1, that is expected among the certified filters.
    """

    model_config = ConfigDict(frozen=True)

    tol: float
    confidence: float = CONFIDENCE
    fdr: float = FDR


def criteria_of(config: Config) -> Criteria:
    """Give the criteria that a config sets."""
    return Criteria(tol=config.tol, confidence=config.confidence, fdr=config.fdr)


@dataclass(frozen=True)
class FilterLayer:
    """A layer whose filters were measured.

    Attributes:
        name: of its weight's parameter.
        channels: how many filters it has.
        gives_image: see :class:`~CEM_Demo.inference.sites.Layer`.
    """

    name: str
    channels: int
    gives_image: bool = False


@dataclass(frozen=True)
class FilterEffects:
    """What single filters do for an ROI; filters are counted layer by layer.

    Attributes:
        layers: in the order of their first use.
        draws: of each replacement, the one that ranks the filters first.
        criteria: of classes.
    """

    layers: tuple[FilterLayer, ...]
    draws: Mapping[str, NDArray[np.float64]]
    criteria: Criteria

    @property
    def first(self) -> str:
        """The replacement that ranks the filters."""
        return next(iter(self.draws))

    @property
    def layer_of(self) -> NDArray[np.int64]:
        """For each filter, the number of its layer."""
        return np.repeat(np.arange(len(self.layers)), [layer.channels for layer in self.layers])

    @property
    def channel_of(self) -> NDArray[np.int64]:
        """For each filter, its number within its layer."""
        return np.concatenate([np.arange(layer.channels) for layer in self.layers])

    def name_of(self, filter_number: int) -> str:
        """Name a filter, as in ``body.3.conv2 #17``."""
        return f"{self.layers[self.layer_of[filter_number]].name} #{self.channel_of[filter_number]}"

    def mean(self, kind: str | None = None) -> NDArray[np.float64]:
        """Give the effect (dB) of each filter under a replacement, by default the first; positive where it helps."""
        return self.draws[kind or self.first].mean(axis=0)

    def in_layers(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lay filters' values out as layers x channels; NaN where a layer has fewer channels."""
        table = np.full((len(self.layers), max(layer.channels for layer in self.layers)), np.nan)
        table[self.layer_of, self.channel_of] = values
        return table

    @property
    def dead(self) -> NDArray[np.bool_]:
        """For each filter, whether no replacement moves the ROI."""
        largest = np.max([np.abs(draws).max(axis=0) for draws in self.draws.values()], axis=0)
        return np.asarray(largest < DEAD_BELOW)

    @property
    def ranked(self) -> NDArray[np.bool_]:
        """For each filter, whether it takes part in rankings: dead filters do not, nor do the colors of an image.

        Nobody doubts that the network needs those.
        """
        colors = np.array([layer.gives_image for layer in self.layers])[self.layer_of]
        return ~self.dead & (~colors | colors.all())

    def strongest(self, sign: int, most: int) -> list[int]:
        """Give the filters that help (1) or hurt (-1) most, at most so many, the strongest first."""
        effects = np.where(self.ranked, sign * self.mean(), 0)
        return [int(number) for number in np.argsort(-effects, kind="stable")[:most] if effects[number] > 0]

    def estimates(self, kind: str) -> Estimates:
        """Give means and intervals under a replacement; intervals are infinite where it has one draw."""
        draws = self.draws[kind].T
        return estimate(draws, np.ones(draws.shape, dtype=bool), self.criteria.confidence)

    def classes(self, kind: str | None = None) -> NDArray[np.int8]:
        """Give the class of each filter, a value of :class:`~CEM_Demo.method.classes.BlockClass`.

        Without chance in a replacement, the effect alone decides. Dead filters are kept out of the tests.
        """
        kind = kind or self.first
        if len(self.draws[kind]) > 1:
            alive, nowhere = ~self.dead, np.zeros(len(self.dead), dtype=bool)
            found = classify(self.estimates(kind), self.criteria.tol, alive, ~nowhere, nowhere, self.criteria.fdr)
            return found.codes
        effects = self.mean(kind)
        codes = np.where(np.abs(effects) < self.criteria.tol, BlockClass.NEGLIGIBLE, np.sign(effects)).astype(np.int8)
        codes[self.dead] = BlockClass.NOT_TESTED
        return codes


def effects_of(experiment: FilterExperiment, draws: Draws, criteria: Criteria) -> FilterEffects:
    """Name the filters of an experiment whose effects are all measured."""
    layers = (FilterLayer(layer.name, layer.channels, layer.gives_image) for layer in experiment.layers)
    return FilterEffects(tuple(layers), draws, criteria)


def decibels(values: NDArray[np.float64]) -> list[str]:
    """Write effects (dB) as the cells of a table; an interval without ends is empty."""
    return [f"{value:.6f}" if np.isfinite(value) else "" for value in values]


def no_effects(experiment: FilterExperiment, kinds: Sequence[str], replacements: Replacements) -> Draws:
    """Make room for all effects: NaN everywhere."""
    return {kind: np.full((replacements.draws(kind), experiment.filters), np.nan) for kind in kinds}


def measure_effects(
    experiment: FilterExperiment, replacements: Replacements, found: Draws, save: Callable[[], None] = lambda: None
) -> None:
    """Measure the effects that are missing in ``found``, layer by layer, and put them there.

    Args:
        experiment: of all filters.
        replacements: of the network.
        found: what an earlier run left.
        save: is called after each layer.
    """
    for kind, draws in found.items():
        for draw in range(len(draws)):
            left = [layer for layer in experiment.layers if np.isnan(draws[draw, experiment.slice_of(layer)]).any()]
            if not left:
                continue
            values = replacements.values(kind, draw)
            for layer in left:
                draws[draw, experiment.slice_of(layer)] = experiment.single_effects(layer, values)
                save()
