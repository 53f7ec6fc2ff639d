"""How the values of a feature map lie in a tensor: channels last, say, or as a list of pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from CEM_Demo.inference.graph import Node, Shape

BATCH, CHANNELS, ROWS, COLUMNS = range(4)


@dataclass(frozen=True)
class Arrangement:
    """Which dimension of a tensor runs along which axes of the feature map, 1 x C x H x W, that it holds.

    Attributes:
        axes: of each dimension, the slowest first. The batch comes first, and the channels have a dimension of their
            own.
    """

    axes: tuple[tuple[int, ...], ...]

    @property
    def channels(self) -> int:
        """The dimension that runs along the channels."""
        return self.axes.index((CHANNELS,))

    def of_map(self, feature_map: Tensor) -> Tensor:
        """Arrange a feature map, N x C x h x w."""
        sides = [math.prod(feature_map.shape[axis] for axis in axes) for axes in self.axes]
        return feature_map.permute(self._order).reshape(sides)

    def to_map(self, values: Tensor, size: tuple[int, ...]) -> Tensor:
        """Undo :meth:`of_map` for a feature map of ``size``, h x w."""
        order, full = self._order, (len(values), values.shape[self.channels], *size)
        return values.reshape([full[axis] for axis in order]).permute([order.index(axis) for axis in range(4)])

    def after(self, node: Node, feature_map: Shape) -> Arrangement | None:
        """Give the arrangement of what a node makes of this one; None if it does more than move dimensions.

        Args:
            node: whose only input has this arrangement.
            feature_map: the shape of the map.
        """
        name, arguments = node.name.removeprefix("aten::"), node.arguments
        if name == "permute":
            return _checked([self.axes[dimension] for dimension in arguments["dims"]])
        if name == "transpose":
            axes = list(self.axes)
            first, second = arguments["dim0"], arguments["dim1"]
            axes[first], axes[second] = axes[second], axes[first]
            return _checked(axes)
        if name in ("reshape", "flatten", "unflatten") and node.shape:
            return _checked(_grouped(self._order, feature_map, node.shape))
        return None

    @property
    def _order(self) -> list[int]:
        return [axis for axes in self.axes for axis in axes]


OF_MAPS = Arrangement(((BATCH,), (CHANNELS,), (ROWS,), (COLUMNS,)))


def _checked(axes: Sequence[tuple[int, ...]]) -> Arrangement | None:
    """Make an arrangement, if it is one."""
    return Arrangement(tuple(axes)) if (CHANNELS,) in axes and axes[0] == (BATCH,) else None


def _grouped(order: Sequence[int], feature_map: Shape, shape: Shape) -> list[tuple[int, ...]]:
    """Share the axes of a feature map out among the dimensions of ``shape``; empty if one is cut or left."""
    waiting, found = list(order), []
    for side in shape:
        axes = [waiting.pop(0)] if waiting else []
        while waiting and math.prod(feature_map[axis] for axis in axes) < side:
            axes.append(waiting.pop(0))
        if not axes or math.prod(feature_map[axis] for axis in axes) != side:
            return []
        found.append(tuple(axes))
    return [] if waiting else found
