"""The path of a Local Attribution Map: from a blurred image to the image itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

# The constants of the authors' demonstration.
LARGEST_SIGMA = 1.2
STEPS = 50
KERNEL_SIDE = 9

# It is all that keeps a standard deviation of zero from dividing by zero.
LEAST_SIGMA = 1e-5


@dataclass(frozen=True)
class Step:
    """One step of the path; both arrays are 3 x H x W float32.

    Attributes:
        image: the image at which the step ends, 0..1.
        change: this image minus the one at which the step begins, times the number of steps of the path.
    """

    image: NDArray[np.float32]
    change: NDArray[np.float32]


def gaussian_kernel(sigma: float, side: int = KERNEL_SIDE) -> NDArray[np.float64]:
    """Return the ``side`` x ``side`` kernel of a Gaussian blur; its values sum to 1.

    Args:
        sigma: standard deviation in pixels; 0 gives the unit impulse.
        side: in pixels; the kernel of an even side is off center by half a pixel.
    """
    offsets = np.arange(side) - (side - 1) // 2
    squares = offsets[:, None] ** 2 + offsets[None, :] ** 2
    kernel = np.exp(-squares / (2 * (sigma + LEAST_SIGMA) ** 2))
    return kernel / kernel.sum()


def blur_sigmas(steps: int = STEPS) -> NDArray[np.float64]:
    """Return the standard deviations (pixels) of the ``steps`` + 1 images of the path, from the largest down to 0."""
    return np.linspace(LARGEST_SIGMA, 0, steps + 1)


def blur(image: NDArray[np.float32], kernel: NDArray[np.float64]) -> NDArray[np.float32]:
    """Correlate each channel of H x W x 3 float32 with a kernel; the result is contiguous, 3 x H x W float32.

    The border is mirrored without repeating the edge pixel, as often as it takes: an image may be smaller than the
    kernel.
    """
    blurred = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return np.ascontiguousarray(np.transpose(blurred, (2, 0, 1)), dtype=np.float32)


def path_step(image: NDArray[np.float32], number: int, steps: int = STEPS, kernel_side: int = KERNEL_SIDE) -> Step:
    """Return step ``number``, counted from 1, of the ``steps`` steps of the path to an image.

    Args:
        image: H x W x 3 float32, 0..1, of any size.
        number: 1 to ``steps``; the last step ends at the image itself.
        steps: of the whole path.
        kernel_side: side of the blur's kernel in pixels.
    """
    sigmas = blur_sigmas(steps)
    before, after = (gaussian_kernel(sigma, kernel_side) for sigma in sigmas[number - 1 : number + 1])
    # One blur with the difference of the kernels rounds less than the difference of two blurs.
    return Step(blur(image, after), blur(image, (after - before) * steps))


@cache
def steps_that_change() -> int:
    """Return how many steps it takes until the center of the kernel is 1 in float32, and the blur is the image.

    The image at the end of that step differs from the last one by 1e-9 at most. The steps after it would take a pass
    through the network each, and add 4e-10 of the attribution.
    """
    centers = [np.float32(gaussian_kernel(sigma).max()) for sigma in blur_sigmas()]
    return centers.index(np.float32(1))
