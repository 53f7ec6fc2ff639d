"""Two models on one ROI: which blocks help or hurt the first more than the second."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.comparison import Comparison
from CEM_Demo.report.panels import Panel


@dataclass(frozen=True)
class Difference:
    """The first model's effects minus the second's.

    Attributes:
        values: rows x columns, dB, as a map shows them; zero where neither model has an effect.
        some: rows x columns, True where one model or both have an effect.
        comparison: of the draws that both models have.
    """

    values: NDArray[np.float64]
    some: NDArray[np.bool_]
    comparison: Comparison

    @property
    def certain(self) -> NDArray[np.bool_]:
        """Rows x columns, True where the draws tell which model the block helps more."""
        return self.some & self.comparison.differs

    @property
    def undecided(self) -> NDArray[np.bool_]:
        """Rows x columns, True where the draws do not tell which model the block helps more."""
        return self.some & ~self.comparison.differs

    @property
    def largest(self) -> float:
        """The largest difference that is certain, positive or negative, dB; zero where none is."""
        return float(np.abs(self.values[self.certain]).max(initial=0.0))


def paired_difference(first: Panel, second: Panel) -> Difference:
    """Compare the effects of two models by the draws that both have; out of reach, every draw has the effect zero."""
    one, other = first.map, second.map
    some = (one.values != 0) | (other.values != 0)
    comparison = one.certainty.compare(other.certainty)
    paired = np.where(comparison.difference.count > 0, comparison.difference.mean, one.values - other.values)
    return Difference(np.where(some, paired, 0.0), some, comparison)
