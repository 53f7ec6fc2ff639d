"""Curves of deletion and insertion: what the ROI loses while blocks are replaced, or put back, in some order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.method.intervals import estimate

MAP, NEAREST, RANDOM, GREEDY = "map", "nearest", "random", "greedy"


class Interval(BaseModel):
    """A mean over draws with its 95 % Student interval, dB."""

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


class Curve(BaseModel):
    """What the ROI loses along an order of blocks.

    Attributes:
        points: how many of the order's first blocks were replaced, or put back.
        effects: points x draws, dB: origin minus intervened PSNR.
    """

    model_config = ConfigDict(frozen=True)

    points: list[int]
    effects: list[list[float]]

    @property
    def means(self) -> NDArray[np.float64]:
        """For each point, the mean over the draws, dB."""
        return np.array(self.effects).mean(axis=1)

    @property
    def standard_errors(self) -> NDArray[np.float64]:
        """For each point, of the mean over the draws, dB."""
        return np.array(self.effects).std(axis=1, ddof=1) / np.sqrt(len(self.effects[0]))

    def at(self, point: int) -> float | None:
        """The mean at a point, dB; None where the curve does not have it."""
        return float(self.means[self.points.index(point)]) if point in self.points else None


class Family(BaseModel):
    """The map's curve and the others that it is compared with.

    Attributes:
        sign: 1 where the map's curve must lie above the others, -1 where below.
        curves: by the name of the order; ``map`` is the map's.
    """

    model_config = ConfigDict(frozen=True)

    sign: int
    curves: dict[str, Curve]

    def advantage(self, name: str) -> Interval:
        """The area between the map's curve and another, over the number of blocks: dB, positive where the map wins.

        All curves begin at the same value, without any block of the order.
        """
        return area_between(self.curves[MAP], self.curves[name], self.sign)


def area_between(upper: Curve, lower: Curve, sign: int = 1) -> Interval:
    """The area between two curves that begin alike, over the number of blocks, dB; ``lower`` has no other points.

    Args:
        upper, lower: what the ROI loses along two orders.
        sign: 1 where the area counts as positive if ``upper`` lies above, -1 where below.
    """
    points = np.array([0, *lower.points])
    shared = [upper.points.index(point) for point in lower.points]
    gap = sign * (np.array(upper.effects)[shared] - np.array(lower.effects))
    heights = np.concatenate([np.zeros((1, gap.shape[1])), gap])
    areas = ((heights[1:] + heights[:-1]) / 2 * np.diff(points)[:, None]).sum(axis=0) / points[-1]
    return interval_of(areas)


def interval_of(draws: NDArray[np.float64]) -> Interval:
    """Give the mean of N independent draws with its interval."""
    found = estimate(draws[None], np.ones((1, len(draws)), dtype=bool))
    return Interval(mean=float(found.mean[0]), low=float(found.low[0]), high=float(found.high[0]))


def points_up_to(count: int) -> list[int]:
    """Give the powers of two below ``count``, and ``count`` itself.

    >>> points_up_to(11)
    [1, 2, 4, 8, 11]
    """
    return [point for point in (1 << power for power in range(count.bit_length())) if point < count] + [count]


def delete(
    joint: JointExperiment, orders: Mapping[str, Sequence[NDArray[np.int64]]], last: int, draws: int, sign: int = 1
) -> Family:
    """Replace the first 1, 2, 4, ... ``last`` blocks of each order; see :class:`Family` and :func:`trace`."""
    curves = {name: trace(joint, some, _points(some, last), draws, joint.mask) for name, some in orders.items()}
    return Family(sign=sign, curves=curves)


def insert(joint: JointExperiment, orders: Mapping[str, Sequence[NDArray[np.int64]]], last: int, draws: int) -> Family:
    """Replace all blocks that may be, and put the first 1, 2, 4, ... ``last`` of each order back; see :func:`trace`."""

    def without(kept: NDArray[np.int64]) -> NDArray[np.bool_]:
        return joint.mask(np.setdiff1d(joint.candidates, kept))

    curves = {name: trace(joint, some, _points(some, last), draws, without) for name, some in orders.items()}
    return Family(sign=-1, curves=curves)


def _points(orders: Sequence[NDArray[np.int64]], last: int) -> list[int]:
    return [point for point in points_up_to(last) if point <= len(orders[0])]


def trace(
    joint: JointExperiment,
    orders: Sequence[NDArray[np.int64]],
    points: list[int],
    draws: int,
    replaced: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
) -> Curve:
    """Measure one curve.

    Args:
        joint: the experiment.
        orders: one, or several random ones; these are dealt out to the draws in turn, and of a draw the mean counts.
            An interval over the draws then covers the orders as well.
        points: numbers of blocks.
        draws: how many; every one puts the same patches on all sets.
        replaced: from the first blocks of an order to the mask of those that are replaced.
    """
    dealt = orders if len(orders) > 1 else [orders[0]] * draws
    numbers = np.arange(len(dealt)) % draws
    sets = np.stack([replaced(order[:point]) for point in points for order in dealt])
    effects = joint.effects(sets, np.tile(numbers, len(points))).reshape(len(points), len(dealt))
    of_draws = np.stack([effects[:, numbers == draw].mean(axis=1) for draw in range(draws)], axis=1)
    return Curve(points=points, effects=of_draws.tolist())
