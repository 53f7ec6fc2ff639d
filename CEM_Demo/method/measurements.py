"""What interventions did to an ROI: the metric after every draw, round by round."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.plan import Interventions


@dataclass
class Draws:
    """The measured values of one round of draws; the draws of a block are made in their order.

    Attributes:
        values: rows x columns x draws float64 (dB); only those that were tried mean anything.
        counts: rows x columns int64, how many draws of each block were tried.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def none_yet(cls, shape: tuple[int, int], draws: int) -> Draws:
        """Make room for ``draws`` draws of each block; ``shape`` is rows, columns."""
        return cls(np.zeros((*shape, draws)), np.zeros(shape, np.int64))

    @classmethod
    def of_published(cls, values: NDArray[np.float64]) -> Draws:
        """Take what the published code wrote, where a zero means that a draw was not tried."""
        return cls(values, np.count_nonzero(values, axis=2))

    @property
    def tried(self) -> NDArray[np.bool_]:
        """Rows x columns x draws, True where a value was measured."""
        return np.arange(self.values.shape[2]) < self.counts[..., None]

    @property
    def published(self) -> NDArray[np.float64]:
        """The values as the published ``.mat`` files have them, with zeros for draws that were not tried."""
        # In the order in memory that they have: a sum in another order has other last digits.
        values = self.values.copy(order="K")
        values[~self.tried] = 0
        return values

    @property
    def means(self) -> NDArray[np.float64]:
        """Rows x columns, the mean value of the draws that were tried; NaN where none was."""
        with np.errstate(invalid="ignore"):
            return self.published.sum(axis=2) / self.counts

    def record(self, batch: Interventions, measured: NDArray[np.float64], chosen: NDArray[np.bool_]) -> None:
        """Note the values N that were measured after the interventions of a batch, as far as they are ``chosen``."""
        rows, columns, draws = batch.rows[chosen], batch.columns[chosen], batch.draws[chosen]
        self.values[rows, columns, draws] = measured[chosen]
        np.maximum.at(self.counts, (rows, columns), draws + 1)


# The rounds whose draws are on single blocks; of each block, those of the last one make its effect.
EFFECT_ROUNDS = ("coarse", "fine", "adaptive", "single")


@dataclass(frozen=True)
class MeasuredMetric:
    """A metric that was measured beside PSNR.

    Attributes:
        unit: of its values.
        higher_is_better: False where smaller values mean a better restoration.
        origin: its value without intervention.
    """

    unit: str
    higher_is_better: bool
    origin: float


# What stands for a metric where the PSNR is measured with all frozen that the network gathers over the image.
FROZEN = "frozen"


def round_of(name: str, metric: str) -> str:
    """What the values of a metric beside PSNR are called in a round of draws: ``ssim coarse``."""
    return f"{metric} {name}"


@dataclass
class Measurements:
    """All that was measured of one network on one ROI of an image.

    Attributes:
        origin: PSNR (dB) of the ROI without intervention.
        unrounded_origin: the same without rounding the restored image to 8 bits.
        reached: rows x columns, False for blocks that cannot change the ROI, so that their effect is exactly zero.
        rounds: the draws by the name of their round, in the order of the rounds; those of PSNR, then those of
            ``metrics``, by the names that :func:`round_of` gives.
        inference: dense or incremental.
        batch_size: interventions restored at a time; a resumed run keeps it, since it can move the last digits.
        threads: of the CPU; a resumed run keeps them for the same reason.
        restored_sha256: digest of the untouched image's restoration; empty where nothing is kept on disk.
        metrics: those that were measured beside PSNR, by their names.
        seconds: computing time so far.
    """

    origin: float
    unrounded_origin: float
    reached: NDArray[np.bool_]
    rounds: dict[str, Draws]
    inference: str
    batch_size: int
    threads: int
    restored_sha256: str = ""
    metrics: dict[str, MeasuredMetric] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)

    def draws_of(self, name: str) -> dict[str, Draws]:
        """The draws of a round by the name of the metric, PSNR first."""
        further = {metric: self.rounds.get(round_of(name, metric)) for metric in self.metrics}
        return {"psnr": self.rounds[name]} | {metric: draws for metric, draws in further.items() if draws is not None}
