"""Propose ROIs: boxes with structure, or with structure that a network restores badly."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image
from CEM_Demo.method.metric import psnr

# The distance over which gradients and errors count as one structure: sigma of a Gaussian, in pixels.
NEIGHBOURHOOD = 2.0
# Lower mean scores come from rounding in the integral image, or from steps that no eye sees.
LEAST_SCORE = 1e-3


@dataclass(frozen=True)
class Proposal:
    """A box and its measurements.

    Attributes:
        roi: in full-resolution pixels.
        structure: mean of :func:`structure_map` over the box (gray levels per pixel).
        psnr: PSNR of the restored box (dB); None if nothing was restored.
    """

    roi: ROI
    structure: float
    psnr: float | None


def structure_map(image: UInt8Image) -> NDArray[np.float64]:
    """Measure how steep the lines, edges and stripes around every pixel are: H x W float64, gray levels per pixel.

    With the eigenvalues p >= q of the color structure tensor, this is the root of its energy p + q times the coherence
    (p - q) / (p + q). It is 0 where the image is flat, low where gradients point everywhere (noise, fine grain), and
    high where they agree.

    Args:
        image: H x W x 3 uint8 RGB.
    """
    # Unlike the usual wider derivatives, steps between neighbors also show stripes two pixels apart.
    cells = np.pad(image.astype(np.float64), ((0, 1), (0, 1), (0, 0)), mode="edge")
    across, down = np.diff(cells, axis=1), np.diff(cells, axis=0)
    across, down = (across[:-1] + across[1:]) / 2, (down[:, :-1] + down[:, 1:]) / 2
    xx, xy, yy = (_gather((a * b).mean(axis=2)) for a, b in ((across, across), (across, down), (down, down)))
    return np.hypot(xx - yy, 2 * xy) / np.sqrt(np.maximum(xx + yy, np.finfo(np.float64).tiny))


def error_map(restored: UInt8Image, ground_truth: UInt8Image) -> NDArray[np.float64]:
    """Compute the root mean squared error around every pixel of two H x W x 3 uint8 images: H x W, gray levels."""
    difference = restored.astype(np.float64) - ground_truth
    return np.sqrt(_gather(np.square(difference).mean(axis=2)))


def _gather(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), NEIGHBOURHOOD), np.float64)


def best_boxes(score: NDArray[np.float64], side: int, step: int, count: int) -> list[ROI]:
    """Find the boxes of highest mean score, best first; none overlaps another.

    Args:
        score: H x W, not negative.
        side: side of a box (pixels).
        step: the left and top edges of the boxes are multiples of it (pixels).
        count: the most boxes to find; there are fewer if no more fit or the score is zero.
    """
    means = _box_means(score, side, step)
    reach = -(-side // step) - 1  # steps within which another box still overlaps
    boxes: list[ROI] = []
    while len(boxes) < count and means.max(initial=0) > LEAST_SCORE:
        row, column = (int(index) for index in np.unravel_index(means.argmax(), means.shape))
        boxes.append(ROI.square(column * step, row * step, side))
        means[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 0
    return boxes


def _box_means(values: NDArray[np.float64], side: int, step: int) -> NDArray[np.float64]:
    """Compute the means over all boxes of the grid that lie inside, with an integral image."""
    integral = np.asarray(cv2.integral(values))
    tops, lefts = (np.arange(0, length - side + 1, step) for length in values.shape)
    bottom, top = integral[tops + side], integral[tops]
    sums = bottom[:, lefts + side] - bottom[:, lefts] - top[:, lefts + side] + top[:, lefts]
    return sums / side**2


def propose(
    structure: NDArray[np.float64],
    ground_truth: UInt8Image,
    restored: UInt8Image | None,
    side: int,
    step: int,
    count: int = 5,
) -> list[Proposal]:
    """Propose boxes with structure that the network restores badly; without a restored image, those with structure.

    The score of a pixel is its structure times its :func:`error_map`. Both are roots: their squares would let a
    single hard edge outweigh a box full of lines.

    Args:
        structure: the :func:`structure_map` of the ground truth.
        ground_truth, restored: H x W x 3 uint8 RGB.
        side, step, count: see :func:`best_boxes`.
    """
    score = structure if restored is None else structure * error_map(restored, ground_truth)
    return [measure_box(roi, structure, ground_truth, restored) for roi in best_boxes(score, side, step, count)]


def measure_box(
    roi: ROI, structure: NDArray[np.float64], ground_truth: UInt8Image, restored: UInt8Image | None
) -> Proposal:
    """Measure a box that lies inside the image; ``structure`` is the image's :func:`structure_map`."""
    decibels = None if restored is None else _box_psnr(restored[roi.window], ground_truth[roi.window])
    return Proposal(roi, float(structure[roi.window].mean()), decibels)


def _box_psnr(restored: UInt8Image, ground_truth: UInt8Image) -> float:
    squared_error = np.square(restored.astype(np.int64) - ground_truth).sum()
    return float(psnr(squared_error, ground_truth.size))
