"""What filters do for an ROI under one degradation more than under another: E_A - E_B, with paired donors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.filters.effects import Criteria, FilterEffects, decibels
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.method.rank_correlation import rank_correlation

# What the classes of differences mean.
VERDICTS = {
    BlockClass.HELPS: "more under A",
    BlockClass.HURTS: "more under B",
    BlockClass.NEGLIGIBLE: "negligible",
    BlockClass.UNDECIDED: "undecided",
    BlockClass.NOT_TESTED: "the same",
}


@dataclass(frozen=True)
class Contrast:
    """The effects of the same filters under two degradations.

    Attributes:
        first, second: the effects under A and B; a draw has the same donor in both.
        difference: E_A - E_B, draw by draw, with intervals and classes of their own. What is dead there is the same.
    """

    first: FilterEffects
    second: FilterEffects
    difference: FilterEffects

    @property
    def order(self) -> NDArray[np.int64]:
        """The numbers of the filters, that with the strongest difference under the first replacement first."""
        return np.argsort(-np.abs(self.difference.mean()), kind="stable")

    @property
    def correlation(self) -> float | None:
        """Spearman's correlation of E_A and E_B, over filters that are not dead under both; None without a value."""
        alive = ~(self.first.dead & self.second.dead)
        return rank_correlation(self.first.mean()[alive], self.second.mean()[alive])

    @property
    def sentence(self) -> str:
        """What may be said of the filters."""
        codes = self.difference.classes()
        counts = [f"{int((codes == code).sum()):,} {verdict}" for code, verdict in VERDICTS.items()]
        alike = "" if self.correlation is None else f"; rank correlation of E_A and E_B {self.correlation:.2f}"
        return f"of {len(codes):,} filters ({self.difference.first}): {', '.join(counts)}{alike}"

    def rows(self) -> dict[tuple[str, str], dict[str, str]]:
        """The cells of each filter by their headers, by layer and channel; the strongest difference first.

        An interval is empty where a replacement has no chance in it.
        """
        columns = {header: cells for kind in self.difference.draws for header, cells in self._columns(kind).items()}
        layers, channels = self.difference.layer_of, self.difference.channel_of
        return {
            (self.difference.layers[layers[number]].name, str(channels[number])): {
                header: cells[number] for header, cells in columns.items()
            }
            for number in self.order
        }

    def _columns(self, kind: str) -> dict[str, list[str]]:
        estimates = self.difference.estimates(kind)
        numbers = {
            "E_A": self.first.mean(kind),
            "E_B": self.second.mean(kind),
            "E_A - E_B": estimates.mean,
            "low": estimates.low,
            "high": estimates.high,
        }
        verdicts = [VERDICTS[BlockClass(code)] for code in self.difference.classes(kind)]
        return {
            **{f"{kind} {name} (dB)": decibels(values) for name, values in numbers.items()},
            f"{kind} verdict": verdicts,
        }


def contrast(first: FilterEffects, second: FilterEffects, criteria: Criteria) -> Contrast:
    """Compare the effects of the same filters under A and B, draw by draw; ``criteria`` are those of the classes."""
    draws = {kind: first.draws[kind] - second.draws[kind] for kind in first.draws}
    return Contrast(first, second, FilterEffects(first.layers, draws, criteria))
