"""How much of each block an annotator marked, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import Grid


def cover(polygons: Sequence[NDArray[np.float64]], grid: Grid) -> NDArray[np.float64]:
    """Give the share of each block's area that the union of polygons covers.

    Args:
        polygons: N x 2 each, x and y in full-resolution pixels; they may overlap, and cross themselves.
        grid: the blocks; partial ones at the border count as far as they lie in the image.

    Returns:
        rows x columns float64, 0..1.

    Raises:
        InputError: shapely is not installed.
    """
    try:
        import shapely
    except ImportError as error:
        raise InputError("people: polygons need shapely; run pip install shapely") from error
    side = grid.block * grid.scale
    rows, columns = (np.arange(count + 1) * side for count in grid.shape)
    rows, columns = np.minimum(rows, grid.height * grid.scale), np.minimum(columns, grid.width * grid.scale)
    blocks = shapely.box(columns[None, :-1], rows[:-1, None], columns[None, 1:], rows[1:, None])
    union = shapely.union_all([shapely.make_valid(shapely.Polygon(points)) for points in polygons])
    return shapely.area(shapely.intersection(blocks, union)) / shapely.area(blocks)
