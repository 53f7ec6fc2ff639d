"""Draws that spread evenly over the colors of the bank, however many of them a block gets.

The bank stands in the order of a kd-tree over the patches' mean colors; the draws of a block follow a van der Corput
sequence along that order, scrambled as Owen (1995) does. The first n draws are stratified for every n, and more draws
extend them. The mean of a block's draws then varies two to three times less than with independent draws.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.plan import number_of_name

LEVELS = 9  # 512 strata, more than the draws of a block
STAGE = 2  # after the coarse and the fine stage of the published plan, in the seeds of the streams

# Raw words of a generator are used: unlike the distributions of NumPy's generators, they are the same in every version.
WORDS_PER_TURN = 4  # of Philox-4x64: what one step of its counter yields
WORD_BITS = 64
FLIP_WORDS = 2**LEVELS // WORD_BITS  # one bit for each node of the tree of strata
WORDS_PER_DRAW = 2  # where in its stratum the draw lies, and its noise


@dataclass(frozen=True)
class DrawnPatches:
    """Some draws; every array is of the shape that was asked for.

    Attributes:
        positions: float64 in 0..1, where in the order of the bank the patch lies.
        patches: int64, index into the bank.
        noise_seeds: uint64, the seed of the patch's own noise (DN).
    """

    positions: NDArray[np.float64]
    patches: NDArray[np.int64]
    noise_seeds: NDArray[np.uint64]


@dataclass(frozen=True)
class StratifiedSequence:
    """The stratified draws of all blocks of an image, made when they are asked for.

    Attributes:
        key: two uint64, of all random words.
        order: int64, the indices of the bank's patches in the order of :func:`color_order`.
    """

    key: NDArray[np.uint64]
    order: NDArray[np.int64]

    def __call__(
        self, blocks: NDArray[np.int64], draws: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """See :class:`~CEM_Demo.method.plan.DrawSource`."""
        drawn = self.draw(blocks, draws)
        return drawn.patches, drawn.noise_seeds

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides the draws."""
        return hashlib.sha256(self.key.tobytes() + self.order.tobytes()).hexdigest()

    def draw(self, blocks: NDArray[np.integer], draws: NDArray[np.integer]) -> DrawnPatches:
        """Make the draws of the given numbers of the given blocks, two arrays of one shape.

        A draw depends on the seed, the image, its block and its number alone.

        Args:
            blocks: counted row by row.
            draws: from zero; their strata repeat after 512.
        """
        shape = np.shape(blocks)
        block, number = np.ravel(blocks).astype(np.int64), np.ravel(draws).astype(np.int64)
        inside, noise = self._draw_words(block, number)
        stratum = self._strata(block, number)
        words = (stratum << np.uint64(WORD_BITS - LEVELS)) | (inside >> np.uint64(LEVELS))
        positions = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
        # The product of 32 bits and the size of the bank fits a word: the floor is exact.
        places = ((words >> np.uint64(32)) * np.uint64(len(self.order))) >> np.uint64(32)
        return DrawnPatches(positions.reshape(shape), self.order[places].reshape(shape), noise.reshape(shape))

    def _strata(self, blocks: NDArray[np.int64], draws: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Give the strata of some draws: the bits of the draw reversed, each flipped by its node of the tree."""
        if not len(blocks):
            return np.empty(0, np.uint64)
        first = int(blocks.min())
        flips = self._words(0, first * FLIP_WORDS, (int(blocks.max()) + 1) * FLIP_WORDS).reshape(-1, FLIP_WORDS)
        node, stratum = np.ones(len(blocks), np.int64), np.zeros(len(blocks), np.uint64)
        for level in range(LEVELS):
            bit = (draws >> level) & 1
            word = flips[blocks - first, node // WORD_BITS]
            flip = (word >> (node % WORD_BITS).astype(np.uint64)) & np.uint64(1)
            stratum = (stratum << np.uint64(1)) | (bit.astype(np.uint64) ^ flip)
            node = 2 * node + bit
        return stratum

    def _draw_words(
        self, blocks: NDArray[np.int64], draws: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Give the two random words of some draws."""
        if not len(blocks):
            return np.empty(0, np.uint64), np.empty(0, np.uint64)
        begin, end = (int(block) * WORDS_PER_DRAW for block in (blocks.min(), blocks.max() + 1))
        used = np.flatnonzero(np.bincount(draws))
        words = np.stack([self._words(1 + int(draw), begin, end) for draw in used]).reshape(len(used), -1, 2)
        chosen = words[np.searchsorted(used, draws), blocks - begin // WORDS_PER_DRAW]
        return chosen[:, 0], chosen[:, 1]

    def _words(self, stream: int, begin: int, end: int) -> NDArray[np.uint64]:
        """Give the random words ``begin`` to ``end`` of a stream: 0 for the flips, 1 + draw for a draw."""
        turns, surplus = divmod(begin, WORDS_PER_TURN)
        generator = np.random.Philox(key=self.key, counter=turns + (stream << WORD_BITS))
        return generator.random_raw(surplus + end - begin)[surplus:]


def make_sequence(seed: int, image_name: str, order: NDArray[np.int64]) -> StratifiedSequence:
    """Make the stratified draws of an image; all models of the image share them.

    Args:
        seed: of the run.
        image_name: name of the image's file.
        order: from :func:`color_order`.
    """
    key = np.random.SeedSequence([seed, number_of_name(image_name), STAGE]).generate_state(2, np.uint64)
    return StratifiedSequence(key.astype(np.uint64), order)


def draw_positions(seed: int, image_name: str, shape: tuple[int, int], draws: int) -> NDArray[np.float64]:
    """Give where in the order of the bank the draws of all blocks lie, whatever the bank: rows x columns x draws."""
    blocks, numbers = np.indices((shape[0] * shape[1], draws))
    return make_sequence(seed, image_name, np.zeros(1, np.int64)).draw(blocks, numbers).positions.reshape(*shape, draws)


def color_order(colors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Order patches as the leaves of a kd-tree over their mean colors, so that neighbors look alike.

    Each node is split in the middle of the channel that varies most, nine times over.

    Args:
        colors: N x 3, the mean red, green and blue of each patch.
    """
    order = np.arange(len(colors))
    for level in range(LEVELS):
        for node in range(2**level):
            part = slice(len(colors) * node >> level, len(colors) * (node + 1) >> level)
            inside = colors[order[part]]
            if len(inside) > 1:
                channel = int(inside.var(axis=0).argmax())
                order[part] = order[part][np.argsort(inside[:, channel], kind="stable")]
    return order
