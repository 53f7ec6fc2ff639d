"""The plan of the draws: which patch goes where, made from one seed before anything is computed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Of the method, and of the test whether a finished map is faithful; a round's place decides its draws.
ROUNDS = ("coarse", "fine", "test")

# Raw words of a generator are used: unlike the distributions of NumPy's generators, they are the same in every version.
WORDS_PER_TURN = 4  # of Philox-4x64: what one step of its counter yields
DIGESTED_AT_ONCE = 1 << 19


@dataclass(frozen=True)
class Interventions:
    """Some interventions of a round, in the order in which they are run; every array is of length N.

    Attributes:
        rows, columns: the block that is replaced.
        draws: number of the draw on that block.
        patches: index into the bank.
        noise_seeds: uint64, the seed of the patch's own noise (DN).
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    draws: NDArray[np.int64]
    patches: NDArray[np.int64]
    noise_seeds: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.rows)


class DrawSource(Protocol):
    """What a draw on a block pastes; each draw depends on its block and number alone."""

    def __call__(
        self, blocks: NDArray[np.int64], draws: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Give patches and noise seeds of N draws: blocks, counted row by row, and numbers of the draws on them."""
        ...


@dataclass(frozen=True)
class Plan:
    """The interventions of one round, block by block; a slice of them is made when it is asked for.

    Attributes:
        source: tells what each draw pastes.
        first, stop: rows x columns int64; of each block, the draws from ``first`` to before ``stop`` are made.
    """

    source: DrawSource
    first: NDArray[np.int64]
    stop: NDArray[np.int64]

    def __len__(self) -> int:
        return int((self.stop - self.first).sum())

    def __getitem__(self, part: slice) -> Interventions:
        return self.at(*self.places(part))

    def at(self, blocks: NDArray[np.int64], draws: NDArray[np.int64]) -> Interventions:
        """The interventions with N given numbers of draws on N blocks, counted row by row."""
        patches, noise_seeds = self.source(blocks, draws)
        columns = self.stop.shape[1]
        return Interventions(blocks // columns, blocks % columns, draws, patches, noise_seeds)

    @property
    def draws(self) -> int:
        """The most draws that a block has, those of earlier rounds of the same name included."""
        return int(self.stop.max(initial=0))

    def up_to(self, wanted: NDArray[np.int64]) -> Plan:
        """The part that makes no more than the first ``wanted`` draws (rows x columns) of each block."""
        return replace(self, stop=np.clip(wanted, self.first, self.stop))

    def places(self, part: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The block, counted row by row, and the draw of some interventions."""
        ends = np.cumsum(self.stop - self.first)
        numbers = np.arange(*part.indices(len(self)))
        blocks = np.searchsorted(ends, numbers, side="right")
        return blocks, numbers - ends[blocks] + self.stop.reshape(-1)[blocks]

    @property
    def digest(self) -> str:
        """SHA-256 of the arrays of all interventions, one array after the other."""
        digest = hashlib.sha256()
        for array in fields(Interventions):
            for start in range(0, len(self), DIGESTED_AT_ONCE):
                digest.update(getattr(self[start : start + DIGESTED_AT_ONCE], array.name).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class IndependentDraws:
    """Draws of the bank with replacement, as published, from random words that are keyed by draw and block.

    Attributes:
        keys: draws x 2 uint64, of each draw's random words.
        block_count: blocks of the image.
        bank_size: patches to draw from.
    """

    keys: NDArray[np.uint64]
    block_count: int
    bank_size: int

    def __call__(
        self, blocks: NDArray[np.int64], draws: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """See :class:`DrawSource`."""
        patches = self._words(blocks, draws, 0) % np.uint64(self.bank_size)
        return patches.astype(np.int64), self._words(blocks, draws, 1)

    def _words(self, blocks: NDArray[np.int64], draws: NDArray[np.int64], kind: int) -> NDArray[np.uint64]:
        """A random word for each of some interventions, of ``kind`` 0 (patch) or 1 (noise).

        A draw's stream holds the words of kind 0 of all blocks, then those of kind 1.
        """
        if not len(blocks):
            return np.empty(0, np.uint64)
        first, last = int(blocks.min()), int(blocks.max())
        turns, surplus = divmod(kind * self.block_count + first, WORDS_PER_TURN)
        used = np.unique(draws)
        words = np.empty((len(used), last + 1 - first), np.uint64)
        generator = np.random.Philox(key=0, counter=turns)
        begin = generator.state
        for row, draw in enumerate(used):
            # Many times faster than a generator for each draw.
            begin["state"]["key"] = self.keys[draw]
            generator.state = begin
            words[row] = generator.random_raw(surplus + words.shape[1])[surplus:]
        return words[np.searchsorted(used, draws), blocks - first]


def make_plan(seed: int, image_name: str, name: str, shape: tuple[int, int], draws: int, bank_size: int) -> Plan:
    """Make the plan for all blocks of an image in one of :data:`ROUNDS`, block by block in row-major order.

    Every draw's patch and noise depend on (seed, image name, round, draw, block) alone: neither the order of the
    work nor the batch size nor the number of draws changes them, and all models of an image share them.
    """
    image = number_of_name(image_name)
    sequences = (np.random.SeedSequence([seed, image, ROUNDS.index(name), draw]) for draw in range(draws))
    keys = np.array([sequence.generate_state(2, np.uint64) for sequence in sequences])
    source = IndependentDraws(keys, shape[0] * shape[1], bank_size)
    return Plan(source, np.zeros(shape, np.int64), np.full(shape, draws))


def make_generator(*entropy: int) -> np.random.RandomState:
    """Make a generator that depends on these numbers alone, and gives the same in every version of NumPy."""
    return np.random.RandomState(np.random.SeedSequence(entropy).generate_state(4))


def number_of_name(image_name: str) -> int:
    """Turn an image's name into a number of 128 bits for the seeds of its draws."""
    return int.from_bytes(hashlib.sha256(image_name.encode()).digest()[:16], "little")


def make_plans(
    seed: int, image_name: str, shape: tuple[int, int], coarse_num: int, fine_num: int, bank_size: int
) -> dict[str, Plan]:
    """Make the plans of the published rounds, coarse and fine; see :func:`make_plan`."""
    draws = {"coarse": coarse_num, "fine": fine_num}
    return {name: make_plan(seed, image_name, name, shape, count, bank_size) for name, count in draws.items()}
