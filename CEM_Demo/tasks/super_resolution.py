"""Super-resolution: bicubic down-scaling by an integer factor."""

from __future__ import annotations

import numpy as np
from PIL import Image

from CEM_Demo.errors import InputError
from CEM_Demo.images import UInt8Image
from CEM_Demo.tasks.scene import Scene, keep_patches


def crop_to_multiple(image: UInt8Image, scale: int) -> UInt8Image:
    """Drop the rows at the bottom and columns at the right that ``scale`` does not divide."""
    height, width = (side // scale * scale for side in image.shape[:2])
    return image[:height, :width]


def downscale(image: UInt8Image, scale: int) -> UInt8Image:
    """Reduce an image, whose sides ``scale`` divides, with Pillow's antialiased bicubic filter."""
    height, width = (side // scale for side in image.shape[:2])
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def make_scene(image: UInt8Image, scale: int) -> Scene:
    """Set up the super-resolution of ``image``; a patch enters the low-resolution input as it is.

    At scale 1 the input is the image itself, and the map is that of a network that restores a clean image.
    """
    if min(image.shape[:2]) < scale:
        raise InputError(f"an image of {image.shape[1]} x {image.shape[0]} pixels is too small for sr {scale}")
    ground_truth = crop_to_multiple(image, scale)
    return Scene(ground_truth, downscale(ground_truth, scale), scale, keep_patches)
