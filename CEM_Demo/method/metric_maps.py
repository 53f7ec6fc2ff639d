"""What each metric says of the same interventions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.effect_map import EffectMap, make_effect_map
from CEM_Demo.method.measurements import EFFECT_ROUNDS, Draws, MeasuredMetric, round_of

DECIBEL = "dB"


def oriented(metric: str, measured: MeasuredMetric, rounds: Mapping[str, Draws]) -> tuple[float, dict[str, Draws]]:
    """Origin and draws of a metric beside PSNR, with the sign changed where smaller values are better.

    So all that holds of PSNR's holds of them: an effect is the origin minus a draw, and positive where the block
    helps. :func:`~CEM_Demo.method.effect_map.make_effect_map` and :func:`~CEM_Demo.method.certainty.assess` take them.

    Args:
        metric: its name.
        measured: its unit, direction and origin.
        rounds: the draws by the names that results have for them.
    """
    sign = 1 if measured.higher_is_better else -1
    stored = {name: rounds[round_of(name, metric)] for name in EFFECT_ROUNDS if round_of(name, metric) in rounds}
    return sign * measured.origin, {name: Draws(sign * draws.values, draws.counts) for name, draws in stored.items()}


def effect_maps(
    origin: float,
    rounds: Mapping[str, Draws],
    metrics: Mapping[str, MeasuredMetric],
    tol: float,
    roi: NDArray[np.bool_],
) -> dict[str, EffectMap]:
    """The effect map of every metric by its name, PSNR first; positive where the block helps, in the metric's unit.

    Args:
        origin: PSNR (dB) of the ROI without intervention.
        rounds: the draws of all metrics, as results and measurements have them.
        metrics: those beside PSNR.
        tol: dB; smaller effects become zero, of metrics in dB; of others none does.
        roi: rows x columns, the blocks that overlap the ROI.
    """
    maps = {"psnr": make_effect_map(origin, rounds, tol, roi)}
    for name, measured in metrics.items():
        maps[name] = make_effect_map(*oriented(name, measured, rounds), tol if measured.unit == DECIBEL else 0.0, roi)
    return maps
