"""Joint interventions: several blocks of one image are replaced at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.images import UInt8Image
from CEM_Demo.method.intervention import Pasted


def join(pasted: Pasted, members: NDArray[np.int64], image: UInt8Image) -> Pasted:
    """Join interventions on single blocks into interventions on several blocks each.

    All of them become rectangles of one place and size, around all the blocks; between the blocks, a rectangle shows
    the untouched image.

    Args:
        pasted: what the N single interventions put where; where two overlap, the later one stays.
        members: N int64, the number of the joint intervention that each belongs to, counted from 0.
        image: H x W x 3 uint8 RGB, the untouched input of the network.

    Returns:
        As many interventions as the highest number says.
    """
    count = int(members.max()) + 1
    sides = np.array(pasted.pixels.shape[1:3])
    start = pasted.corners.min(axis=0)
    stop = np.minimum(pasted.corners.max(axis=0) + sides, image.shape[:2])
    pixels = np.repeat(image[None, start[0] : stop[0], start[1] : stop[1]], count, axis=0)
    for member, (row, column), patch in zip(members, pasted.corners - start, pasted.pixels, strict=True):
        place = pixels[member, row : row + sides[0], column : column + sides[1]]
        place[...] = patch[: place.shape[0], : place.shape[1]]
    return Pasted(np.tile(start, (count, 1)), pixels)
