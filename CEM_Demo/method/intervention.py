"""What stands in a block's place: the do() of the method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.method.plan import Interventions


@dataclass(frozen=True)
class Pasted:
    """What N interventions put into the network's input, and where.

    Attributes:
        corners: N x 2 int64, row and column of each top left pixel in the network's input.
        pixels: N x h x w x 3 uint8 RGB; what overhangs the input is cut.
    """

    corners: NDArray[np.int64]
    pixels: NDArray[np.uint8]


class Intervention(Protocol):
    """Turns the interventions of a batch into what the network sees."""

    def __call__(self, batch: Interventions) -> Pasted: ...


DegradePatches = Callable[[NDArray[np.uint8], NDArray[np.integer], NDArray[np.uint64]], NDArray[np.uint8]]


@dataclass(frozen=True)
class NaturalPatches:
    """Patches of a bank, degraded as the task degrades, in the place of one block each (paper, section 3.2).

    Attributes:
        bank: the patches.
        block: side of a block, in pixels of the network's input.
        degrade: the task's own way for a patch to enter its input; see :class:`~CEM_Demo.tasks.scene.Scene`.
    """

    bank: PatchBank
    block: int
    degrade: DegradePatches

    def __call__(self, batch: Interventions) -> Pasted:
        """See :class:`Intervention`."""
        corners = np.stack((batch.rows, batch.columns), axis=1) * self.block
        patches = self.bank.at_size(batch.patches, self.block)
        return Pasted(corners, self.degrade(patches, corners, batch.noise_seeds))
