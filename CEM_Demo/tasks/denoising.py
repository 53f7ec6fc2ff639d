"""Denoising: white Gaussian noise, clipped and truncated to 8 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.images import UInt8Image
from CEM_Demo.tasks.scene import Scene

SIGMA = 50 / 255
IMAGE_SEED = 0


def add_noise(image: NDArray[np.uint8], random: np.random.RandomState, sigma: float = SIGMA) -> NDArray[np.uint8]:
    """Add noise of standard deviation ``sigma`` (image range 0..1), clip, truncate to uint8.

    NumPy's legacy normal stream and the truncation are the published ones and decide the numbers.
    """
    noisy = image / 255 + random.normal(0, sigma, image.shape)
    return (noisy.clip(0, 1) * 255).astype(np.uint8)


def make_scene(image: UInt8Image) -> Scene:
    """The denoising of ``image``; every pasted patch gets noise of its own, from its draw's seed."""
    return Scene(image, add_noise(image, np.random.RandomState(IMAGE_SEED)), 1, _noisy_patches)


def _noisy_patches(
    patches: NDArray[np.uint8], corners: NDArray[np.integer], noise_seeds: NDArray[np.uint64]
) -> NDArray[np.uint8]:
    draws = (np.random.RandomState(np.random.Philox(key=int(seed))) for seed in noise_seeds)
    return np.stack([add_noise(patch, draw) for patch, draw in zip(patches, draws, strict=True)])
