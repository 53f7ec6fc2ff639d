"""Banks of patches on disk, and what they look like."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.files import write_atomically, write_bytes
from CEM_Demo.images import UInt8Image, png_bytes
from CEM_Demo.patches.cutting import QUANTILES, wanted_sharpness
from CEM_Demo.patches.sharpness import patch_sharpness

GAP = 1  # pixels between the patches of a picture
WHITE = 255


def write_bank(path: Path, patches: NDArray[np.uint8], picture: Path | None = None) -> None:
    """Write a bank, N x side x side x 3 uint8, and a picture of it if wanted; print the sharpness it reached.

    Raises:
        InputError: the disk is full, the folder is read-only or the like.
    """
    with write_atomically(path) as file:
        np.savez_compressed(file, patches=patches)
    print(f"{path}: {len(patches)} patches of {patches.shape[1]} x {patches.shape[2]} pixels")
    if picture is not None:
        write_bytes(picture, png_bytes(bank_picture(patches)))
        print(f"{picture}: all of them, the softest first")
    reached = np.quantile(patch_sharpness(patches), QUANTILES)
    for quantile, wanted, value in zip(QUANTILES, wanted_sharpness(patches.shape[1]), reached, strict=True):
        print(f"{quantile:7.0%}  wanted {wanted:6.1f}  reached {value:6.1f}")


def bank_picture(patches: NDArray[np.uint8]) -> UInt8Image:
    """All patches, N x side x side x 3 uint8, row by row in a square of about as many rows as columns."""
    count, side = patches.shape[:2]
    columns = math.isqrt(count - 1) + 1
    rows, step = -(-count // columns), side + GAP
    picture = np.full((rows * step + GAP, columns * step + GAP, 3), WHITE, np.uint8)
    for number, patch in enumerate(patches):
        top, left = (place * step + GAP for place in divmod(number, columns))
        picture[top : top + side, left : left + side] = patch
    return picture
