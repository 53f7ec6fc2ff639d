"""Interventions that paste no patch of a bank: edits of the image itself, and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from CEM_Demo.method.intervention import DegradePatches, NaturalPatches, Pasted, block_corners
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.method.plan import Interventions

# Behind a draw's noise seed, in the key of its stream: the task's own noise has the seed alone.
PIXELS = 1

# Image H x W x 3 uint8, corners of a block (top, left, bottom, right) and random numbers -> the block anew.
Replace = Callable[[NDArray[np.uint8], tuple[int, int, int, int], np.random.Generator], NDArray[np.uint8]]


@dataclass(frozen=True)
class BlocksOfImage:
    """The same block of another image: an edited or clean copy; a block has only one, so that one draw is enough.

    Attributes:
        image: H x W x 3 uint8 RGB, as it stands in the network's input.
        block: side of a block, in pixels of the network's input.
    """

    image: NDArray[np.uint8]
    block: int

    @cached_property
    def _windows(self) -> NDArray[np.uint8]:
        """The block that starts at each pixel; beyond the border anything will do, for it is cut."""
        return windows_of(np.pad(self.image, ((0, self.block - 1), (0, self.block - 1), (0, 0))), self.block)

    def __call__(self, batch: Interventions) -> Pasted:
        """See :class:`~CEM_Demo.method.intervention.Intervention`."""
        return self.at(block_corners(batch, self.block))

    def at(self, corners: NDArray[np.int64]) -> Pasted:
        """Give the blocks at N x 2 corners, rows and columns."""
        return Pasted(corners, np.ascontiguousarray(self._windows[corners[:, 0], corners[:, 1]]))


@dataclass(frozen=True)
class NoiseBlocks:
    """Noise, each value drawn evenly from 0..255, degraded as the task degrades patches.

    Attributes:
        block, degrade: as of :class:`~CEM_Demo.method.intervention.NaturalPatches`.
    """

    block: int
    degrade: DegradePatches

    def __call__(self, batch: Interventions) -> Pasted:
        """See :class:`~CEM_Demo.method.intervention.Intervention`."""
        corners, shape = block_corners(batch, self.block), (self.block, self.block, 3)
        pixels = [_random_bytes(seed, 3 * self.block**2).reshape(shape) for seed in batch.noise_seeds]
        return Pasted(corners, self.degrade(np.stack(pixels), corners, batch.noise_seeds))


@dataclass(frozen=True)
class OtherBlocks:
    """Another block of the same image; a draw of the block itself takes the next one.

    Attributes:
        patches: the whole blocks of the image, row by row.
        columns: how many of them are in a row.
    """

    patches: NaturalPatches
    columns: int

    @property
    def block(self) -> int:
        """Side of a block, in pixels of the network's input."""
        return self.patches.block

    def __call__(self, batch: Interventions) -> Pasted:
        """See :class:`~CEM_Demo.method.intervention.Intervention`."""
        count = len(self.patches.bank)
        # A partial block at the right border is none of the bank, so that its number would be another one's.
        own = np.where(batch.columns < self.columns, batch.rows * self.columns + batch.columns, -1)
        chosen = np.where(batch.patches == own, (batch.patches + 1) % count, batch.patches)
        return self.patches(
            Interventions(batch.rows, batch.columns, batch.draws, chosen.astype(np.int64), batch.noise_seeds)
        )


@dataclass(frozen=True)
class ReplacedBlocks:
    """What a function makes of each block, degraded as the task degrades patches.

    Attributes:
        replace: makes the block anew.
        image: H x W x 3 uint8 RGB, what the function sees.
        block, degrade: as of :class:`~CEM_Demo.method.intervention.NaturalPatches`.
    """

    replace: Replace
    image: NDArray[np.uint8]
    block: int
    degrade: DegradePatches

    def __call__(self, batch: Interventions) -> Pasted:
        """See :class:`~CEM_Demo.method.intervention.Intervention`."""
        corners = block_corners(batch, self.block)
        pixels = np.zeros((len(batch), self.block, self.block, 3), np.uint8)
        for target, corner, seed in zip(pixels, corners, batch.noise_seeds, strict=True):
            anew = self.replace(self.image, _whole_corners(corner, self.block, self.image), _generator(seed))
            target[: anew.shape[0], : anew.shape[1]] = anew
        return Pasted(corners, self.degrade(pixels, corners, batch.noise_seeds))


def replace_all(replace: Replace, image: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    """The image with each block made anew, for functions that need no random numbers."""
    edited = np.empty_like(image)
    for top in range(0, image.shape[0], block):
        for left in range(0, image.shape[1], block):
            corners = _whole_corners(np.array([top, left]), block, image)
            edited[corners[0] : corners[2], corners[1] : corners[3]] = replace(image, corners, _generator(0))
    return edited


def blurred(image: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """The image under a Gaussian of standard deviation ``sigma`` (pixels), mirrored at its border; 0 leaves it."""
    return cv2.GaussianBlur(image, (0, 0), sigma).astype(np.uint8, copy=False) if sigma else image.copy()


def constant(image: NDArray[np.uint8], color: str, block: int) -> NDArray[np.uint8]:
    """The image in one color for each block: ``zero``, or the mean, rounded, of the ``image`` or of the ``block``."""
    if color == "zero":
        return np.zeros_like(image)
    flat = np.empty_like(image)
    side = block if color == "block" else max(image.shape)
    for top in range(0, image.shape[0], side):
        for left in range(0, image.shape[1], side):
            part = slice(top, top + side), slice(left, left + side)
            flat[part] = np.rint(image[part].mean(axis=(0, 1)))
    return flat


def blocks_as_bank(image: NDArray[np.uint8], block: int) -> PatchBank:
    """The whole blocks of an image, row by row."""
    return PatchBank(np.ascontiguousarray(windows_of(image, block)[::block, ::block]).reshape(-1, block, block, 3))


def windows_of(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The square that starts at each pixel, a view: rows x columns x side x side x 3."""
    return sliding_window_view(image, (side, side), axis=(0, 1)).transpose(0, 1, 3, 4, 2)


def _whole_corners(corner: NDArray[np.int64], block: int, image: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of the block at ``corner``, as far as it lies in the image."""
    top, left = (int(place) for place in corner)
    return top, left, min(top + block, image.shape[0]), min(left + block, image.shape[1])


def _random_bytes(seed: np.uint64, count: int) -> NDArray[np.uint8]:
    # Raw words: unlike the distributions of NumPy's generators, they are the same in every version.
    words = np.random.Philox(key=_key(seed)).random_raw(-(-count // 8))
    return words.astype("<u8").view(np.uint8)[:count]


def _generator(seed: np.uint64 | int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=_key(seed)))


def _key(seed: np.uint64 | int) -> NDArray[np.uint64]:
    return np.array([seed, PIXELS], np.uint64)
