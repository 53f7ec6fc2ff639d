"""Blocks and ROI: every pixel in one block, every overlapping block found."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from CEM_Demo.geometry import ROI, Grid


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    block=st.integers(1, 12),
    scale=st.sampled_from([1, 2, 4]),
    data=st.data(),
)
def test_roi_blocks_are_those_that_share_a_pixel(
    height: int, width: int, block: int, scale: int, data: st.DataObject
) -> None:
    grid = Grid(height, width, block, scale)
    side = data.draw(st.integers(1, min(height, width) * scale))
    left, top = (data.draw(st.integers(0, length * scale - side)) for length in (width, height))
    roi = ROI.square(left, top, side)
    block_of_pixel = [np.arange(length * scale) // (block * scale) for length in (height, width)]
    expected = np.zeros(grid.shape, dtype=bool)
    expected[np.ix_(block_of_pixel[0][roi.window[0]], block_of_pixel[1][roi.window[1]])] = True
    np.testing.assert_array_equal(grid.overlaps(roi), expected)
    assert (block_of_pixel[0].max() + 1, block_of_pixel[1].max() + 1) == grid.shape


def test_a_roi_of_whole_blocks_is_aligned() -> None:
    grid = Grid(height=64, width=64, block=2, scale=4)
    assert grid.is_aligned(ROI.square(96, 152, 32))
    assert not grid.is_aligned(ROI.square(92, 152, 32))
    assert not grid.is_aligned(ROI.square(96, 152, 28))
