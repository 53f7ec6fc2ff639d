"""The plan of the draws: which patch goes where, made from one seed before anything is computed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

ROUNDS = ("coarse", "fine")

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


@dataclass(frozen=True)
class Plan:
    """All interventions of one round, block by block; a slice of them is made when it is asked for.

    Attributes:
        shape: block rows and block columns of the image.
        draws: interventions on every block.
        bank_size: patches to draw from.
        keys: draws x 2 uint64, of each draw's random words.
        blocks: the blocks that are tried, ascending, counted row by row.
    """

    shape: tuple[int, int]
    draws: int
    bank_size: int
    keys: NDArray[np.uint64]
    blocks: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.blocks) * self.draws

    def __getitem__(self, part: slice) -> Interventions:
        blocks, draws = self.places(part)
        patches = self._words(blocks, draws, 0) % np.uint64(self.bank_size)
        return Interventions(
            rows=blocks // self.shape[1],
            columns=blocks % self.shape[1],
            draws=draws,
            patches=patches.astype(np.int64),
            noise_seeds=self._words(blocks, draws, 1),
        )

    def of_blocks(self, chosen: NDArray[np.bool_]) -> Plan:
        """The part on the blocks for which ``chosen`` (rows x columns) is True."""
        return replace(self, blocks=self.blocks[chosen.reshape(-1)[self.blocks]])

    def places(self, part: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The block, counted row by row, and the draw of some interventions."""
        place, draws = np.divmod(np.arange(*part.indices(len(self))), self.draws)
        return self.blocks[place], draws

    @property
    def digest(self) -> str:
        """SHA-256 of all interventions."""
        digest = hashlib.sha256()
        for start in range(0, len(self), DIGESTED_AT_ONCE):
            batch = self[start : start + DIGESTED_AT_ONCE]
            for array in fields(batch):
                digest.update(getattr(batch, array.name).tobytes())
        return digest.hexdigest()

    def _words(self, blocks: NDArray[np.int64], draws: NDArray[np.int64], kind: int) -> NDArray[np.uint64]:
        """A random word for each of some interventions, of ``kind`` 0 (patch) or 1 (noise).

        A draw's stream holds the words of kind 0 of all blocks, then those of kind 1.
        """
        if not len(blocks):
            return np.empty(0, np.uint64)
        first, last = int(blocks.min()), int(blocks.max())
        turns, surplus = divmod(kind * self.shape[0] * self.shape[1] + first, WORDS_PER_TURN)
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


def make_plan(seed: int, image_name: str, stage: str, shape: tuple[int, int], draws: int, bank_size: int) -> Plan:
    """Make the plan for all blocks of an image in one round, block by block in row-major order.

    Every draw's patch and noise depend on (seed, image name, round, draw, block) alone: neither the order of the
    work nor the batch size nor the number of draws changes them, and all models of an image share them.
    """
    name = int.from_bytes(hashlib.sha256(image_name.encode()).digest()[:16], "little")
    sequences = (np.random.SeedSequence([seed, name, ROUNDS.index(stage), draw]) for draw in range(draws))
    keys = np.array([sequence.generate_state(2, np.uint64) for sequence in sequences])
    return Plan(shape, draws, bank_size, keys, np.arange(shape[0] * shape[1]))


def make_plans(
    seed: int, image_name: str, shape: tuple[int, int], coarse_num: int, fine_num: int, bank_size: int
) -> tuple[Plan, Plan]:
    """Make the plans of the coarse and the fine round; see :func:`make_plan`."""
    coarse = make_plan(seed, image_name, "coarse", shape, coarse_num, bank_size)
    return coarse, make_plan(seed, image_name, "fine", shape, fine_num, bank_size)
