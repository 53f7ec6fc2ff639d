"""Joint effects of sets of filters: effects in dB do not add, so sets are replaced at once and measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from CEM_Demo.filters.effects import FilterEffects
from CEM_Demo.filters.experiment import FilterExperiment
from CEM_Demo.filters.replacements import Replacements
from CEM_Demo.method.plan import make_generator

TOP, RANDOM, BOTTOM = "top", "random", "bottom"
RANDOM_SETS = 8
# The largest set, as a share of all filters.
LARGEST_SHARE = 0.1


class JointCurve(BaseModel):
    """What the ROI loses where the first filters of an order are replaced at once.

    Attributes:
        points: sizes of the sets.
        effects: points x samples, dB: draws of the replacement, times the random sets if these are several. If there
            are several draws, these are every second one, which had no part in choosing the sets.
        summed: dB, for each point, the sum of the filters' single effects, which is what their set would cost if
            effects added; None for random sets.
    """

    model_config = ConfigDict(frozen=True)

    points: list[int]
    effects: list[list[float]]
    summed: list[float] | None = None

    @property
    def means(self) -> NDArray[np.float64]:
        """For each point, the mean over the samples, dB."""
        return np.array([np.mean(samples) for samples in self.effects])


def joint_curves(
    experiment: FilterExperiment, effects: FilterEffects, replacements: Replacements, seed: int
) -> dict[str, JointCurve]:
    """Replace the filters that help most, as many random ones of the same layers, and those that hurt most.

    Args:
        experiment: of all filters.
        effects: the single effects; those of the first replacement rank the filters, and sets get the same one. Of
            several draws, the odd ones rank and the even ones measure, or the best would be those that were lucky.
        replacements: of the network.
        seed: of the random sets.
    """
    draws = effects.draws[effects.first]
    measuring = range(len(draws))[1::2] or range(1)
    mean, ranked = draws[::2].mean(axis=0), effects.ranked
    single = draws[measuring].mean(axis=0)
    orders = {TOP: _order(-mean, ranked & (mean > 0)), BOTTOM: _order(mean, ranked & (mean < 0))}
    points = {name: sizes(min(len(order), _most(len(mean)))) for name, order in orders.items()}
    sets = {name: [_mask(len(mean), orders[name][:size]) for size in points[name]] for name in orders}
    random = make_generator(seed)
    likes = [alike(best, effects, random) for best in sets[TOP] for _ in range(RANDOM_SETS)]
    stacked = np.array([*sets[TOP], *likes, *sets[BOTTOM]], dtype=bool).reshape(-1, len(mean))
    measured = measure_sets(experiment, stacked, effects.first, replacements, measuring)
    top, like, bottom = np.split(measured, np.cumsum([len(sets[TOP]), len(likes)]))
    of_points = like.reshape(len(points[TOP]), RANDOM_SETS * like.shape[1])
    return {
        TOP: JointCurve(points=points[TOP], effects=top.tolist(), summed=_summed(single, sets[TOP])),
        RANDOM: JointCurve(points=points[TOP], effects=of_points.tolist()),
        BOTTOM: JointCurve(points=points[BOTTOM], effects=bottom.tolist(), summed=_summed(single, sets[BOTTOM])),
    }


def layer_effects(experiment: FilterExperiment, kind: str, replacements: Replacements) -> NDArray[np.float64]:
    """Replace all filters of each layer at once: layers float64, dB, means over the draws."""
    sets = np.zeros((len(experiment.layers), 1, experiment.filters), dtype=bool)
    for number, layer in enumerate(experiment.layers):
        sets[number, 0, experiment.slice_of(layer)] = True
    total = np.zeros(len(sets))
    draws = replacements.draws(kind)
    for draw in range(draws):
        values = replacements.values(kind, draw)
        # One by one, since what is computed begins at the first layer that any set touches.
        total += [experiment.joint_effects(one, values)[0] for one in sets]
    return total / draws


def measure_sets(
    experiment: FilterExperiment,
    sets: NDArray[np.bool_],
    kind: str,
    replacements: Replacements,
    draws: Sequence[int],
) -> NDArray[np.float64]:
    """Replace N sets of filters (N x filters bool), each at once, in some draws: N x draws float64, dB."""
    return np.stack([experiment.joint_effects(sets, replacements.values(kind, draw)) for draw in draws], axis=1)


def sizes(most: int) -> list[int]:
    """Give the powers of two below ``most``, and ``most`` itself; nothing for zero.

    >>> sizes(11), sizes(0)
    ([1, 2, 4, 8, 11], [])
    """
    return [1 << power for power in range(most.bit_length()) if 1 << power < most] + [most] * bool(most)


def _most(filters: int) -> int:
    return max(1, round(LARGEST_SHARE * filters))


def _order(scores: NDArray[np.float64], among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give the places of the filters that count, the lowest score first."""
    places = np.flatnonzero(among)
    return places[np.argsort(scores[places], kind="stable")]


def _mask(filters: int, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    mask = np.zeros(filters, dtype=bool)
    mask[places] = True
    return mask


def alike(like: NDArray[np.bool_], effects: FilterEffects, random: np.random.RandomState) -> NDArray[np.bool_]:
    """Draw a set that has as many filters of each layer as another one has; dead filters would be no rivals."""
    mask = np.zeros_like(like)
    for layer in np.unique(effects.layer_of[like]):
        candidates = np.flatnonzero((effects.layer_of == layer) & effects.ranked)
        mask[random.permutation(candidates)[: like[effects.layer_of == layer].sum()]] = True
    return mask


def _summed(effects: NDArray[np.float64], sets: Sequence[NDArray[np.bool_]]) -> list[float]:
    return [float(effects[one].sum()) for one in sets]
