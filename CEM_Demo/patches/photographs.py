"""The photographs of a folder, and patches cut from them at random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.errors import InputError
from CEM_Demo.images import image_files, read_image
from CEM_Demo.method.patch_bank import PatchBank


def read_photographs(folder: Path, side: int) -> list[NDArray[np.uint8]]:
    """The images of a folder in order of name, H x W x 3 uint8 RGB; those smaller than ``side`` pixels are left out.

    Raises:
        InputError: no such folder, a file with the name of an image that is none, or no image of this size.
    """
    images = [image for image in map(read_image, image_files(folder)) if min(image.shape[:2]) >= side]
    if not images:
        raise InputError(f"the folder {folder} holds no image of {side} x {side} pixels or more; give photographs")
    return images


def cut_at_random(photographs: Sequence[NDArray[np.uint8]], side: int, count: int, seed: int) -> PatchBank:
    """Cut patches of ``side`` pixels, every place in every photograph as likely as any other."""
    rows, columns = (np.array([image.shape[axis] + 1 - side for image in photographs]) for axis in (0, 1))
    ends = np.cumsum(rows * columns)
    # Raw words: unlike the distributions of NumPy's generators, they are the same in every version.
    key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    words = np.random.Philox(key=key).random_raw(count) % np.uint64(ends[-1])
    places = words.astype(np.int64)
    chosen = np.searchsorted(ends, places, side="right")
    row, column = np.divmod(places - (ends - rows * columns)[chosen], columns[chosen])
    corners = zip(chosen, row, column, strict=True)
    return PatchBank(np.stack([photographs[n][top : top + side, left : left + side] for n, top, left in corners]))
