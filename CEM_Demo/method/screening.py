"""Which blocks are worth a draw, told from one gradient; and the joint draws that check on the others."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.geometry import in_blocks
from CEM_Demo.images import PEAK

SCREENED_BELOW = 0.1  # of the tolerance: predictions are wrong by a factor of up to three, rarely of ten
LEAST_RATIO = 0.1  # of the squared error; a first-order prediction cannot tell more than 10 dB of gain
AUDIT_SIDE = 4  # blocks


def predict_deviation(
    gradient: NDArray[np.float32],
    degraded: NDArray[np.uint8],
    patches: NDArray[np.uint8],
    squared_error: float,
    block: int,
) -> NDArray[np.float64]:
    """Predict the root mean square effect (dB) of each block's draws, to first order.

    A patch q in place of block b changes the squared error E by about ``g . (q - b)``, so the PSNR by
    ``10 log10(1 + g . (q - b) / E)``.

    Args:
        gradient: 3 x H x W, of the squared error of the ROI to the network's input, whose values are 0..1.
        degraded: H x W x 3 uint8, the network's input.
        patches: K x block x block x 3 uint8, a few hundred patches of the bank, degraded; where the degradation hangs
            on the place (rain), the clean patches, with the clean image as ``degraded``.
        squared_error: E, the sum or the mean, as in ``gradient``.
        block: side of a block in input pixels.

    Returns:
        rows x columns; NaN where the gradient is not finite.
    """
    slopes = in_blocks(np.moveaxis(np.asarray(gradient, np.float64), 0, -1), block) / squared_error
    standing = np.einsum("rci,rci->rc", slopes, in_blocks(degraded / PEAK, block))
    pasted = slopes @ (patches.reshape(len(patches), -1).T / PEAK)
    ratio = np.maximum(1 + pasted - standing[..., None], LEAST_RATIO)
    return np.sqrt(np.square(10 * np.log10(ratio)).mean(axis=-1))


def live_blocks(predicted: NDArray[np.float64], tol: float) -> NDArray[np.bool_]:
    """Choose the blocks to try, rows x columns: those predicted at a tenth of ``tol`` (dB) or more, or not at all."""
    return ~(predicted < SCREENED_BELOW * tol)


def audit_groups(skipped: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Group the skipped blocks by super-blocks of 4 x 4 blocks; each group is replaced in one joint draw.

    Returns:
        rows x columns, the number of each block's group, counted from zero without gaps; -1 for blocks not skipped.
    """
    rows, columns = np.indices(skipped.shape) // AUDIT_SIDE
    across = math.ceil(skipped.shape[1] / AUDIT_SIDE)
    groups = np.full(skipped.shape, -1)
    groups[skipped] = np.unique((rows * across + columns)[skipped], return_inverse=True)[1]
    return groups


def revive(
    live: NDArray[np.bool_], groups: NDArray[np.int64], joint_effects: NDArray[np.float64], tol: float
) -> NDArray[np.bool_]:
    """Add to the live blocks, rows x columns, the groups whose joint draw moved the PSNR by ``tol`` (dB) or more.

    Args:
        live: rows x columns, the blocks that the screen left.
        groups: rows x columns, from :func:`audit_groups`.
        joint_effects: one for each group, dB.
        tol: dB, the least effect that counts.
    """
    moved = np.flatnonzero(np.abs(joint_effects) >= tol)
    return live | np.isin(groups, moved)
