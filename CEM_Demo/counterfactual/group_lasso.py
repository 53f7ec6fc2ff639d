"""The smallest change, by the sum of its blocks' norms, that brings the ROI as far as is asked; on arrays alone.

It solves ``min sum_b ||delta_b||`` under ``progress(delta) >= goal`` and ``low <= delta <= high``, where only the value
and the gradient of the progress are known. Steps are those of proximal gradient: along the gradient, then shrunk block
by block (group soft-thresholding; Yuan & Lin 2006). Lambda, the price of a block's norm, is found by bisection at each
step, such that the linearized progress comes to what the step aims at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
# From a change (blocks x values) to its progress, and the derivative of that by the change.
Measure = Callable[[Array], tuple[float, Array]]

# The goal is approached in so many steps at least: a path along which block after block begins to change.
STEPS = 10
MOST_GRADIENTS = 120
# The search ends when so many steps bring so little, as a share of what there is.
PATIENCE, LITTLE = 8, 2e-3
# How near progress must come to the goal, as a share of it.
NEAR = 1e-3
BISECTIONS = 50
# The highest price of progress, relative to that of the block of which the gradient promises most.
DEAREST = 1e6


@dataclass(frozen=True)
class Point:
    """A change that was measured.

    Attributes:
        delta: blocks x values float64.
        progress: how far it goes.
        gradient: blocks x values, of the progress by the change.
    """

    delta: Array
    progress: float
    gradient: Array

    @property
    def size(self) -> float:
        """The sum of the blocks' norms."""
        return float(np.linalg.norm(self.delta, axis=1).sum())

    def reaches(self, goal: float) -> bool:
        """Whether it reaches a goal, nearly."""
        return self.progress >= goal * (1 - NEAR)

    def merit(self, aim: float, price: float) -> float:
        """What it costs, if each unit of progress that lacks to ``aim`` costs ``price``."""
        return self.size + price * max(0.0, aim - self.progress)


def least_change(measure: Measure, low: Array, high: Array, goal: float, start: Array | None = None) -> Point:
    """Find the change of least size that reaches the goal; where none is found that does, the farthest.

    The problem is convex where progress is concave: for a linear network whose error is to shrink, the result is the
    global optimum, to ``LITTLE``. Otherwise it is a local one.

    Args:
        measure: the progress of a change, 0 for none.
        low, high: blocks x values, the least and greatest change of each value; 0 lies between them.
        goal: to reach, positive.
        start: where to begin; None begins with no change.
    """
    here = _at(measure, np.zeros_like(low) if start is None else start)
    best, history = here, [here]
    if not here.gradient.any():
        return here
    # What one block would have to change for the first step of the path, were the network linear.
    stride, rise = goal / STEPS / _steepest(here), goal / STEPS
    for _ in range(MOST_GRADIENTS):
        aim = min(goal, here.progress + rise)
        delta, price = _step(here, aim, stride, low, high)
        there = _at(measure, delta)
        if there.merit(aim, 2 * price) <= here.merit(aim, 2 * price):
            here, stride, rise = there, 1.5 * stride, min(1.5 * rise, goal / STEPS)
            best = _better(best, here, goal)
        else:
            stride, rise = stride / 4, rise / 1.2
        history.append(best)
        if len(history) > PATIENCE and _brings_little(history[-PATIENCE - 1], best, goal):
            break
    return best


def shrunk(values: Array, threshold: float, low: Array, high: Array) -> Array:
    """Give the minimum of ``|x - values|^2 / 2 + threshold * sum_b ||x_b||`` over ``low <= x <= high``.

    In each block it is ``values * s / (s + threshold)``, clipped, where ``s`` is the norm of just that.

    Args:
        values, low, high: blocks x values.
        threshold: not negative.
    """
    norms = np.linalg.norm(values, axis=1)
    sizes = np.maximum(norms - threshold, 0)
    # Clipping only makes a block smaller, so that the sizes fall to the fixed point.
    for _ in range(BISECTIONS):
        share = np.divide(sizes, sizes + threshold, out=np.ones_like(sizes), where=sizes + threshold > 0)
        found = np.clip(values * share[:, None], low, high)
        anew = np.linalg.norm(found, axis=1)
        if np.all(sizes - anew <= 1e-9 * (norms + 1e-300)):
            break
        sizes = anew
    return found


def _step(here: Point, aim: float, stride: float, low: Array, high: Array) -> tuple[Array, float]:
    """Find the step to the least size, within ``stride``, whose linearized progress comes to ``aim``.

    Returns:
        The change, and the price of progress: 1 / lambda.
    """

    def stepped(price: float) -> Array:
        return shrunk(here.delta + stride * price * here.gradient, stride, low, high)

    def falls_short(price: float) -> bool:
        return float(np.vdot(here.gradient, stepped(price) - here.delta)) < aim - here.progress

    if not here.gradient.any() or not falls_short(0.0):
        return stepped(0.0), 0.0
    cheap, dear = 0.0, 2 / _steepest(here)
    while falls_short(dear) and dear < DEAREST / _steepest(here):
        cheap, dear = dear, 2 * dear
    for _ in range(BISECTIONS):
        middle = (cheap + dear) / 2
        cheap, dear = (middle, dear) if falls_short(middle) else (cheap, middle)
        if dear - cheap < 1e-6 * dear:
            break
    return stepped(dear), dear


def _steepest(here: Point) -> float:
    return float(np.linalg.norm(here.gradient, axis=1).max())


def _at(measure: Measure, delta: Array) -> Point:
    return Point(delta, *measure(delta))


def _better(best: Point, other: Point, goal: float) -> Point:
    """The smaller of two changes that reach the goal, or else the one that goes farther."""
    if best.reaches(goal) and other.reaches(goal):
        return min(best, other, key=lambda point: point.size)
    return max(best, other, key=lambda point: point.progress)


def _brings_little(before: Point, after: Point, goal: float) -> bool:
    if after.reaches(goal):
        return before.reaches(goal) and before.size - after.size <= LITTLE * before.size
    return after.progress - before.progress <= LITTLE * goal
