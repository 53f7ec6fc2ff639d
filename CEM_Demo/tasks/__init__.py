"""The restoration tasks: how an image is degraded, and how a patch enters the degraded image."""

from __future__ import annotations

import numpy as np

from CEM_Demo.images import UInt8Image
from CEM_Demo.tasks import denoising, deraining, paired, super_resolution
from CEM_Demo.tasks.degradation import Degradation
from CEM_Demo.tasks.scene import Scene

__all__ = ["DEGRADED_SUFFIX", "Degradation", "Scene", "degrade_anew", "make_scene"]

# What the file name of a degraded image adds to the image's own name.
DEGRADED_SUFFIX = {"SR": "lr", "DN": "noise", "DR": "rain", "PAIR": "input"}


def make_scene(degradation: Degradation, image: UInt8Image, image_name: str) -> Scene:
    """Pose ``image`` (H x W x 3 uint8 RGB), the ground truth, as a scene of the degradation's task.

    Raises:
        InputError: in SR, the image is too small for the scale; in PAIR, see :func:`paired.make_scene`.
    """
    if degradation.task == "SR":
        return super_resolution.make_scene(image, degradation.scale)
    if degradation.task == "DN":
        return denoising.make_scene(image, degradation.sigma)
    if degradation.task == "DR":
        return deraining.make_scene(image, image_name, degradation.rain)
    return paired.make_scene(image, image_name, degradation)


def degrade_anew(degradation: Degradation, image: UInt8Image, seed: int) -> UInt8Image:
    """Degrade a whole image with noise or rain of its own, which ``seed`` decides.

    Args:
        degradation: the task and its strength.
        image: clean, sH x sW x 3 uint8 RGB; of PAIR, a degraded input, which is left as it is.
        seed: below 2^32.

    Returns:
        H x W x 3 uint8 RGB, an input of the task's networks.
    """
    if degradation.task == "SR":
        return super_resolution.downscale(image, degradation.scale)
    if degradation.task == "DN":
        return denoising.add_noise(image, np.random.RandomState(seed), degradation.sigma)
    if degradation.task == "DR":
        rain = deraining.make_rain(image.shape[0], image.shape[1], seed, degradation.rain)
        return deraining.add_rain(image, rain.layer, rain.opacity)
    return image
