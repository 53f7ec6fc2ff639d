"""What stands in a block's place: the do() of the method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.method.plan import DrawSource, Interventions


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


class BlockIntervention(Intervention, Protocol):
    """Replaces one block in each intervention; ``block`` is its side, in pixels of the network's input."""

    @property
    def block(self) -> int: ...


def block_corners(batch: Interventions, block: int) -> NDArray[np.int64]:
    """Give N x 2, row and column of the top left pixel of each block of a batch; ``block`` is their side."""
    return np.stack((batch.rows, batch.columns), axis=1) * block


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
        corners = block_corners(batch, self.block)
        patches = self.bank.at_size(batch.patches, self.block)
        return Pasted(corners, self.degrade(patches, corners, batch.noise_seeds))


@dataclass(frozen=True)
class JointPatches:
    """One patch in the place of each block of a group, all at once.

    Attributes:
        single: makes the patches.
        source: tells which patch a draw on a block pastes.
        groups: rows x columns int64, the group of each block; -1 for blocks of none.
        image: H x W x 3 uint8 RGB, the network's input, which stands around the patches.
    """

    single: BlockIntervention
    source: DrawSource
    groups: NDArray[np.int64]
    image: NDArray[np.uint8]

    def __call__(self, batch: Interventions) -> Pasted:
        """See :class:`Intervention`; an intervention on any block of a group replaces the whole group."""
        members = [
            np.argwhere(self.groups == self.groups[place]) for place in zip(batch.rows, batch.columns, strict=True)
        ]
        starts = np.array([blocks.min(axis=0) for blocks in members])
        # Rectangles of one size for the whole batch; what lies around a smaller group stays as it is.
        spans = np.array([blocks.max(axis=0) + 1 for blocks in members]) - starts
        corners, sides = starts * self.single.block, spans.max(axis=0) * self.single.block
        return Pasted(corners, np.stack([self._paste(*pair, sides) for pair in zip(members, corners, strict=True)]))

    def _paste(
        self, blocks: NDArray[np.int64], corner: NDArray[np.int64], sides: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Make the rectangle at ``corner`` with a patch in each of the blocks (N x 2, rows and columns)."""
        numbers = blocks[:, 0] * self.groups.shape[1] + blocks[:, 1]
        patches, noise_seeds = self.source(numbers, np.zeros(len(blocks), np.int64))
        first_draws = Interventions(blocks[:, 0], blocks[:, 1], np.zeros_like(patches), patches, noise_seeds)
        return rectangle(self.image, corner, sides, self.single(first_draws))


def join(pasted: Pasted, members: NDArray[np.int64], image: NDArray[np.uint8]) -> Pasted:
    """Join interventions on single blocks into interventions on several blocks each.

    All of them become rectangles of one place and size, around all the blocks; between the blocks, a rectangle shows
    the untouched image.

    Args:
        pasted: what the N single interventions put where; where two overlap, the later one stays.
        members: N int64, the number of the joint intervention that each belongs to, counted from 0 without gaps.
        image: H x W x 3 uint8 RGB, the untouched input of the network.

    Returns:
        As many interventions as there are numbers.
    """
    start = pasted.corners.min(axis=0)
    sides = pasted.corners.max(axis=0) + pasted.pixels.shape[1:3] - start
    count = int(members.max()) + 1
    chosen = (np.flatnonzero(members == number) for number in range(count))
    parts = (Pasted(pasted.corners[some], pasted.pixels[some]) for some in chosen)
    return Pasted(np.tile(start, (count, 1)), np.stack([rectangle(image, start, sides, part) for part in parts]))


def rectangle(
    image: NDArray[np.uint8], corner: NDArray[np.int64], sides: NDArray[np.int64], pasted: Pasted
) -> NDArray[np.uint8]:
    """Cut a rectangle out of an image, H x W x 3, with patches pasted into it; black where it overhangs the image."""
    pixels = np.zeros((*sides, 3), np.uint8)
    standing = image[corner[0] : corner[0] + sides[0], corner[1] : corner[1] + sides[1]]
    pixels[: standing.shape[0], : standing.shape[1]] = standing
    for (row, column), patch in zip(pasted.corners - corner, pasted.pixels, strict=True):
        pixels[row : row + patch.shape[0], column : column + patch.shape[1]] = patch
    return pixels
