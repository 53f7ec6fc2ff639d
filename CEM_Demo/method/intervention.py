"""What stands in a block's place: the do() of the method.

An intervention is a callable from the corners of blocks and the draws on them to what the network sees there instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.method.plan import Interventions


class Intervention(Protocol):
    """Gives the blocks that a batch of interventions puts into the network's input."""

    def __call__(self, corners: NDArray[np.int64], batch: Interventions) -> NDArray[np.uint8]:
        """Make the blocks.

        Args:
            corners: N x 2, row and column of each block's top left pixel in the network's input.
            batch: the N interventions.

        Returns:
            N x b x b x 3 uint8 RGB, as they stand in the network's input.
        """
        ...


@dataclass(frozen=True)
class NaturalPatches:
    """Patches of a bank, degraded as the task degrades (paper, section 3.2).

    Attributes:
        bank: the patches.
        side: of a block, in pixels of the network's input.
        degrade: the task's own way for a patch to enter its input; see :class:`~CEM_Demo.tasks.scene.Scene`.
    """

    bank: PatchBank
    side: int
    degrade: Callable[[NDArray[np.uint8], NDArray[np.integer], NDArray[np.uint64]], NDArray[np.uint8]]

    def __call__(self, corners: NDArray[np.int64], batch: Interventions) -> NDArray[np.uint8]:
        """Make the blocks; see :class:`Intervention`."""
        return self.degrade(self.bank.at_size(batch.patches, self.side), corners, batch.noise_seeds)
