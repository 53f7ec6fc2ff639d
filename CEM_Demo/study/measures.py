"""What a study measures of each map: numbers and a profile over the distance from the ROI, from arrays alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_cdt

from CEM_Demo.method.classes import BlockClass
from CEM_Demo.method.metric import error_growth

HELD = 0.9  # share of the absolute effect that the causal radius holds


@dataclass(frozen=True)
class Measure:
    """A number that every map has.

    Attributes:
        key: its name in files.
        heading: its name in tables, with its unit.
        digits: behind the point in tables.
        percent: whether tables show it in percent.
    """

    key: str
    heading: str
    digits: int = 2
    percent: bool = False

    def write(self, value: float) -> str:
        """Write a value as tables show it; nothing where there is none."""
        if not np.isfinite(value):
            return ""
        # Adding zero takes the sign from what rounds to zero.
        return f"{round(100 * value if self.percent else value, self.digits) + 0.0:.{self.digits}f}"


PSNR = Measure("psnr", "ROI PSNR (dB)")
HELPING = Measure("helping", "helping (%)", 1, percent=True)
HURTING = Measure("hurting", "hurting (%)", 1, percent=True)
# The paper's pies count the ROI's own blocks as helping, and so do the first three shares.
MEASURES = (
    PSNR,
    HELPING,
    HURTING,
    Measure("neither", "neither (%)", 1, percent=True),
    Measure("certified_helping", "certified helping (%)", 1, percent=True),
    Measure("certified_hurting", "certified hurting (%)", 1, percent=True),
    Measure("certified_neither", "not certified (%)", 1, percent=True),
    Measure("highest", "highest effect (dB)"),
    Measure("lowest", "lowest effect (dB)"),
    Measure("radius", "causal radius (pixels)", 1),
    Measure("net", "net effect outside (times the error)"),
)


@dataclass(frozen=True)
class Profile:
    """The effects around an ROI, a ring of blocks at a time; arrays have a value for each ring.

    Attributes:
        blocks: int64, how many blocks a ring has.
        mean: float64, dB, their mean effect; NaN where a ring has no blocks.
        magnitude: float64, dB, their mean absolute effect; NaN where a ring has no blocks.
    """

    blocks: NDArray[np.int64]
    mean: NDArray[np.float64]
    magnitude: NDArray[np.float64]


def measure_map(
    origin: float, effects: NDArray[np.float64], codes: NDArray[np.int8], roi: NDArray[np.bool_], block: int
) -> NDArray[np.float64]:
    """Give the numbers of a map in the order of ``MEASURES``.

    Args:
        origin: PSNR (dB) of the ROI without intervention.
        effects: rows x columns, dB, as the map shows them; those of the ROI's own blocks do not count.
        codes: rows x columns, values of :class:`~CEM_Demo.method.classes.BlockClass`.
        roi: rows x columns, the blocks that overlap the ROI.
        block: side of a block, in full-resolution pixels.
    """
    outside = np.where(roi, 0.0, effects)
    helping, hurting = float(((outside > 0) | roi).mean()), float((outside < 0).mean())
    surely = [float((codes == kind).mean()) for kind in (BlockClass.HELPS, BlockClass.HURTS)]
    shares = helping, hurting, 1 - helping - hurting, *surely, 1 - sum(surely)
    numbers = origin, *shares, outside.max(), outside.min(), causal_radius(outside, roi, block), net_effect(outside)
    return np.array(numbers, np.float64)


def rings_around(roi: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count the blocks from each block to the ROI, diagonal steps allowed: rows x columns; 0 in it, 1 beside it."""
    if roi.all():
        return np.zeros(roi.shape, np.int64)
    return np.asarray(distance_transform_cdt(~roi, metric="chessboard"), np.int64)


def profile_of(effects: NDArray[np.float64], roi: NDArray[np.bool_]) -> Profile:
    """Average the effects (dB, rows x columns) over the rings around the ROI; ring 1, the first, touches it."""
    rings = rings_around(roi)
    blocks = np.bincount(rings.reshape(-1))[1:]

    def mean_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.bincount(rings.reshape(-1), values.reshape(-1))[1:]
        return np.divide(sums, blocks, where=blocks > 0, out=np.full(blocks.shape, np.nan))

    return Profile(blocks, mean_of(effects), mean_of(np.abs(effects)))


def causal_radius(effects: NDArray[np.float64], roi: NDArray[np.bool_], block: int, held: float = HELD) -> float:
    """Give the distance from the ROI (pixels) within which a share of the absolute effect lies.

    Effects lie where the rings of their blocks end; NaN where no block outside the ROI has an effect.

    Args:
        effects: rows x columns, dB.
        roi: rows x columns, the blocks that overlap the ROI.
        block: side of a block, in full-resolution pixels.
        held: the share, 0..1.
    """
    sums = np.bincount(rings_around(roi).reshape(-1), np.abs(effects).reshape(-1))
    within = np.cumsum(sums[1:])
    if not within.size or not within[-1] > 0:
        return float("nan")
    # Sums of equal numbers in another order may differ in their last digits.
    return float(block * (1 + int(np.argmax(within >= held * within[-1] * (1 - 1e-12)))))


def net_effect(effects: NDArray[np.float64]) -> float:
    """Sum what replacing each block adds to the squared error of the ROI, in multiples of that error.

    Effects in dB must not be summed; the growths of the squared error add, as long as what blocks change in the ROI
    does not interfere. The sum is positive where the blocks (dB, rows x columns) help more than they hurt.
    """
    return float(error_growth(effects).sum())


def pad_profiles(profiles: Sequence[Profile]) -> NDArray[np.float64]:
    """Stack profiles of images of several sizes: profiles x 2 (mean, magnitude) x rings, NaN where there is none."""
    longest = max((profile.mean.size for profile in profiles), default=0)
    stacked = np.full((len(profiles), 2, longest), np.nan)
    for row, profile in zip(stacked, profiles, strict=True):
        row[0, : profile.mean.size], row[1, : profile.mean.size] = profile.mean, profile.magnitude
    return stacked
