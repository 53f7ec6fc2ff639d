"""Denoising: white Gaussian noise, clipped and truncated to 8 bits."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.images import UInt8Image
from CEM_Demo.tasks.scene import Scene

SIGMA = 50.0  # 8-bit levels
IMAGE_SEED = 0


def add_noise(image: NDArray[np.uint8], random: np.random.RandomState, sigma: float = SIGMA) -> NDArray[np.uint8]:
    """Add noise of standard deviation ``sigma`` (8-bit levels), clip the sum, and truncate it to uint8.

    NumPy's legacy normal stream and the truncation are those of the published code; the numbers depend on both.
    """
    noisy = image / 255 + random.normal(0, sigma / 255, image.shape)
    return (noisy.clip(0, 1) * 255).astype(np.uint8)


def make_scene(image: UInt8Image, sigma: float = SIGMA) -> Scene:
    """Set up the denoising of ``image``; every pasted patch gets noise of its own, from its draw's seed."""

    def degrade_alike(edited: UInt8Image) -> UInt8Image:
        return add_noise(edited, np.random.RandomState(IMAGE_SEED), sigma)

    return Scene(image, degrade_alike(image), 1, partial(_noisy_patches, sigma=sigma), degrade_alike=degrade_alike)


def _noisy_patches(
    patches: NDArray[np.uint8], corners: NDArray[np.integer], noise_seeds: NDArray[np.uint64], sigma: float
) -> NDArray[np.uint8]:
    draws = (np.random.RandomState(np.random.Philox(key=int(seed))) for seed in noise_seeds)
    return np.stack([add_noise(patch, draw, sigma) for patch, draw in zip(patches, draws, strict=True)])
