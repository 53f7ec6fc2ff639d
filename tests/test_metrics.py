"""PSNR on the device equals its definition on 8-bit images."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from CEM_Demo.method.metric import psnr, squared_errors, to_uint8

images = npst.arrays(np.uint8, (3, 5, 5))


@given(restored=images, truth=images)
def test_psnr_is_that_of_the_definition(restored: np.ndarray, truth: np.ndarray) -> None:
    error = squared_errors(torch.from_numpy(restored)[None], torch.from_numpy(truth)).numpy()
    mean = np.mean((restored.astype(np.float64) - truth) ** 2)
    expected = 10 * np.log10(255**2 / max(mean, 1 / truth.size))
    np.testing.assert_allclose(psnr(error, truth.size), expected, rtol=1e-12)


@given(npst.arrays(np.float32, (4, 4), elements=st.floats(-1, 2, width=32)))
def test_rounding_is_clip_then_half_to_even(output: np.ndarray) -> None:
    expected = np.round(output.clip(0, 1) * np.float32(255)).astype(np.uint8)
    np.testing.assert_array_equal(to_uint8(torch.from_numpy(output)).numpy(), expected)


def test_large_rois_do_not_overflow() -> None:
    black = torch.zeros(1, 3, 200, 200, dtype=torch.uint8)
    white = torch.full((3, 200, 200), 255, dtype=torch.uint8)
    assert squared_errors(black, white).item() == 3 * 200 * 200 * 255**2
