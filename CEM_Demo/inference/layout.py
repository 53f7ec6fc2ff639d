"""How channels lie in values that are no feature maps: in what linear layers give, and in what attention gives."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from CEM_Demo.inference.graph import Shape


@dataclass(frozen=True, eq=False)
class Layout:
    """The way from a value to its channels, and back.

    The last two dimensions of the value hold matrices, of positions and channels; what the dimensions before them count
    are its entries, such as windows and heads.

    Attributes:
        shape: of the value.
        along: the dimension of the matrices that counts channels, -1 or -2.
        groups: how many groups of entries have channels of their own, such as heads; 1 if all have the same channels.
        order: numbers of the entries, those of the first group first; None if they lie in this order.
    """

    shape: Shape
    along: int = -1
    groups: int = 1
    order: Tensor | None = None

    @property
    def is_spatial(self) -> bool:
        """Whether rows and columns of the channels are those of a feature map: the value is 1 x H x W x C."""
        return len(self.shape) == 4 and self.shape[0] == 1 and self.groups == 1 and self.along == -1

    @property
    def channels(self) -> int:
        """The number of channels of all groups."""
        return self.groups * self.shape[self.along]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the channels; see :meth:`to_channels`."""
        return math.prod(self.shape[:-2]) // self.groups, self.shape[-2 if self.along == -1 else -1]

    def to_channels(self, value: Tensor) -> Tensor:
        """Lay a value out as 1 x C x rows x columns: the channels of the first group first, then of the second, ...

        A row is an entry of the channel's group, and a column a position.
        """
        matrices = value.reshape(-1, *self.shape[-2:])
        matrices = matrices if self.along == -1 else matrices.mT
        ordered = matrices if self.order is None else matrices[self.order]
        return ordered.unflatten(0, (self.groups, -1)).permute(0, 3, 1, 2).flatten(0, 1)[None]

    def to_value(self, channels: Tensor) -> Tensor:
        """Undo :meth:`to_channels`."""
        ordered = channels[0].unflatten(0, (self.groups, -1)).permute(0, 2, 3, 1).flatten(0, 1)
        matrices = ordered if self.order is None else ordered[self.order.argsort()]
        return (matrices if self.along == -1 else matrices.mT).reshape(self.shape)
