"""Split effects into two paths: through what a network gathers over the whole image, and past it.

The *total* effect of a block is that of the network as it is. The *frozen* effect is that of the same draws with all
frozen that the network gathers over the image, the controlled direct effect of mediation analysis; for one draw, total
minus frozen is exactly what is *mediated*. Since dB do not add, the same is given for the relative change of the ROI's
squared error, ``10^(effect / 10) - 1`` of each draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from CEM_Demo.geometry import ROI, Grid
from CEM_Demo.method.intervals import CONFIDENCE, estimate
from CEM_Demo.method.measurements import EFFECT_ROUNDS, FROZEN, Draws, MeasuredMetric, round_of
from CEM_Demo.method.metric import error_growth

FAR = 4.0  # blocks from the ROI


@dataclass(frozen=True)
class Ring:
    """The blocks outside the ROI whose distance to it is from ``near`` to below ``far`` blocks.

    Attributes:
        blocks: how many they are.
        total, frozen, mediated: their mean absolute effects (dB).
        share: the part of the absolute effect that is mediated, see :meth:`Mediation.share`.
        signed: their mean mediated effect (dB), positive where what the network gathers from them helps the ROI.
        low, high: dB, the ends of its interval; infinite where a block has a single draw.
    """

    near: float
    far: float
    blocks: int
    total: float
    frozen: float
    mediated: float
    share: float
    signed: float
    low: float
    high: float


@dataclass(frozen=True)
class Mediation:
    """The effects of all blocks on the two paths; every array is rows x columns.

    Attributes:
        total, frozen: effects (dB), not cut at the tolerance.
        total_error, frozen_error: relative changes of the ROI's squared error.
        draws: int64, how many draws each block has.
        standard_error: of the mediated effects (dB), from draws that are paired; infinite below two draws.
        outside: the blocks outside the ROI that were tried.
        distance: from each block's middle to the ROI, in blocks.
        tol: dB, below which an effect counts as none.
        confidence: of intervals, 0..1.
    """

    total: NDArray[np.float64]
    frozen: NDArray[np.float64]
    total_error: NDArray[np.float64]
    frozen_error: NDArray[np.float64]
    draws: NDArray[np.int64]
    standard_error: NDArray[np.float64]
    outside: NDArray[np.bool_]
    distance: NDArray[np.float64]
    tol: float
    confidence: float

    @property
    def mediated(self) -> NDArray[np.float64]:
        """The effects (dB) that travel through what the network gathers over the image."""
        return self.total - self.frozen

    @property
    def maps(self) -> dict[str, NDArray[np.float64]]:
        """The three maps as they are shown: zero on the ROI, and below the tolerance."""
        effects = {"total": self.total, "frozen": self.frozen, "mediated": self.mediated}
        shown = {name: self.outside & (np.abs(values) >= self.tol) for name, values in effects.items()}
        return {name: np.where(shown[name], values, 0.0) for name, values in effects.items()}

    @property
    def counts(self) -> dict[str, int]:
        """How many blocks outside the ROI have an effect of the tolerance or more, by the names of the maps."""
        return {name: int(np.count_nonzero(values)) for name, values in self.maps.items()}

    def share(self, near: float = 0.0, far: float = np.inf) -> float:
        """Give the part, 0..1, of the absolute effect of blocks at these distances that is mediated.

        Absolute effects (dB) of both paths are summed over the blocks: mediated over mediated plus frozen. It is NaN
        where no block has an effect.
        """
        chosen = self._ring(near, far)
        return _share(np.abs(self.mediated[chosen]).sum(), np.abs(self.frozen[chosen]).sum())

    def error_share(self, near: float = 0.0, far: float = np.inf) -> float:
        """Do what :meth:`share` does, for relative changes of the squared error instead of dB."""
        chosen = self._ring(near, far)
        mediated = np.abs(self.total_error - self.frozen_error)[chosen].sum()
        return _share(mediated, np.abs(self.frozen_error[chosen]).sum())

    def rings(self) -> list[Ring]:
        """Give the mean absolute effects by distance, in rings of one block; rings without a block are left out."""
        last = int(np.floor(self.distance[self.outside].max(initial=0.0)))
        return [self.ring(near, near + 1.0) for near in range(last + 1) if self._ring(near, near + 1.0).any()]

    def ring(self, near: float, far: float = np.inf) -> Ring:
        """Give the mean absolute effects of the blocks at these distances, of which there must be one at least."""
        chosen = self._ring(near, far)
        total, frozen, mediated = (
            float(np.abs(values[chosen]).mean()) for values in (self.total, self.frozen, self.mediated)
        )
        signed = float(self.mediated[chosen].mean())
        half = self._half_width(chosen)
        share = self.share(near, far)
        return Ring(near, far, int(chosen.sum()), total, frozen, mediated, share, signed, signed - half, signed + half)

    def _half_width(self, chosen: NDArray[np.bool_]) -> float:
        """Give half the width (dB) of the interval of the mean of some blocks, which are drawn independently."""
        variances, draws = self.standard_error[chosen] ** 2, self.draws[chosen]
        if not np.isfinite(variances).all():
            return np.inf
        if not variances.any():
            return 0.0
        # Satterthwaite 1946: the degrees of freedom of a sum of variances.
        freedom = variances.sum() ** 2 / (variances**2 / (draws - 1)).sum()
        return float(stats.t.ppf((1 + self.confidence) / 2, freedom) * np.sqrt(variances.sum()) / len(variances))

    def _ring(self, near: float, far: float) -> NDArray[np.bool_]:
        return self.outside & (self.distance >= near) & (self.distance < far)

    @property
    def sentence(self) -> str:
        """Say what part of the effect is mediated, far from the ROI and near to it."""
        if not np.any(self.mediated[self.outside]):
            return "No effect travels through statistics of the whole image: frozen or not, every draw does the same"
        near = f"within {FAR:g} blocks of it {self._percent(0.0, FAR)}"
        if not self._ring(FAR, np.inf).any():
            return f"Of the absolute effect {near} travels through statistics of the whole image"
        beyond = f"Beyond {FAR:g} blocks from the ROI"
        if not self.maps["total"][self._ring(FAR, np.inf)].any():
            return f"{beyond} no block has an effect; {near} travels through statistics of the whole image"
        far = self.ring(FAR)
        interval = f" [{far.low:+.3f}, {far.high:+.3f}]" if np.isfinite(far.high) else ""
        return (
            f"{beyond}, {self._percent(FAR, np.inf)} of the absolute effect (mean {far.total:.3f} dB a block) travels "
            f"through statistics of the whole image, {near}; with its sign, what they carry from beyond is worth "
            f"{far.signed:+.3f} dB a block{interval}"
        )

    def _percent(self, near: float, far: float) -> str:
        share = self.share(near, far)
        return "nothing" if np.isnan(share) else f"{100 * share:.0f} %"


def mediation_of(
    origin: float,
    rounds: Mapping[str, Draws],
    metrics: Mapping[str, MeasuredMetric],
    tol: float,
    grid: Grid,
    roi: ROI,
    confidence: float = CONFIDENCE,
) -> Mediation | None:
    """Split the effects of measurements, or of results on disk, into two paths; None where paths were not measured.

    Args:
        origin: PSNR (dB) of the ROI without intervention.
        rounds: the draws by the name of their round; of each block, those of the last round that tried it count.
        metrics: what was measured beside PSNR.
        tol: dB.
        grid: the blocks.
        roi: in full-resolution pixels.
        confidence: of intervals, 0..1.
    """
    if FROZEN not in metrics:
        return None
    origins = {"": origin, FROZEN: metrics[FROZEN].origin}
    effects = {name: np.zeros(grid.shape) for name in origins}
    errors = {name: np.zeros(grid.shape) for name in origins}
    counts, standard_error = np.zeros(grid.shape, np.int64), np.zeros(grid.shape)
    for name in EFFECT_ROUNDS:
        if name in rounds:
            total, frozen = rounds[name], rounds[round_of(name, FROZEN)]
            for path, draws in (("", total), (FROZEN, frozen)):
                _take_last_round(origins[path], draws, effects[path], errors[path])
            chosen = total.counts > 0
            counts[chosen] = total.counts[chosen]
            # Constants, such as the origins, do not matter to the spread of what is paired.
            standard_error[chosen] = estimate(frozen.values - total.values, total.tried).standard_error[chosen]
    outside = (counts > 0) & ~grid.overlaps(roi)
    split = (effects[""], effects[FROZEN], errors[""], errors[FROZEN], counts, standard_error)
    return Mediation(*split, outside, grid.distances_to(roi), tol, confidence)


def _take_last_round(origin: float, draws: Draws, effects: NDArray[np.float64], errors: NDArray[np.float64]) -> None:
    """Write the mean effects (dB) and relative changes of the error of the blocks that a round tried."""
    chosen = draws.counts > 0
    differences = np.where(draws.tried, origin - draws.values, 0.0)
    counts = np.maximum(draws.counts, 1)
    effects[chosen] = (differences.sum(axis=2) / counts)[chosen]
    errors[chosen] = (error_growth(differences).sum(axis=2) / counts)[chosen]


def _share(part: float, rest: float) -> float:
    return float(part / (part + rest)) if part + rest > 0 else float("nan")
