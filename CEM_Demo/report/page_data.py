"""The numbers that the scripts of the report's page read, short enough for hundreds of maps on one page."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.metric_maps import DECIBEL
from CEM_Demo.report.colours import COLOUR_BOUND
from CEM_Demo.report.sections import Column, Pair, ShownMap

DECIMALS_OF_DECIBEL = 4
SHOWN_FEWER = 2  # decimals that a reader sees, fewer than those that are stored
LEVELS = 255  # of a draw between the lowest and the highest of its block: a strip has no more pixels
FIRST_CODE = -1


@dataclass(frozen=True)
class MapKind:
    """A kind of map that the page can show.

    Attributes:
        name: of the metric; LAM for Local Attribution Maps.
        unit: of its values.
        decimals: that are stored.
        bound: where the colors end at first.
        largest: where they end so that no certified effect is saturated.
        signed: False where there is nothing that hurts.
    """

    name: str
    unit: str
    decimals: int
    bound: float
    largest: float
    signed: bool = True

    @property
    def shown(self) -> int:
        """Decimals that a reader sees."""
        return max(0, self.decimals - SHOWN_FEWER)

    def as_json(self) -> dict[str, Any]:
        """What the scripts read."""
        step = 10.0**-self.shown
        return {
            "name": self.name,
            "unit": self.unit,
            "digits": self.shown,
            "bound": self.bound,
            "largest": self.largest,
            "most": round(max(2 * self.bound, self.largest), self.decimals),
            "step": round(step, self.shown),
            "signed": self.signed,
        }


def kinds_of(columns: Sequence[Column]) -> list[MapKind]:
    """List the kinds of maps that the columns of a page have: PSNR, further metrics, LAM."""
    maps: dict[str, list[ShownMap]] = {}
    for column in columns:
        for shown in column.maps:
            maps.setdefault(shown.metric, []).append(shown)
    kinds = [_kind_of(name, found, COLOUR_BOUND[columns[0].panel.task]) for name, found in maps.items()]
    if any(column.lam for column in columns):
        kinds.append(MapKind("LAM", "%", DECIMALS_OF_DECIBEL, 1.0, 1.0, signed=False))
    return kinds


def _kind_of(name: str, found: Sequence[ShownMap], published: float) -> MapKind:
    """PSNR has the published bound; the colors of other metrics end at the largest certified effect."""
    unit, largest = found[0].unit, max(shown.map.largest for shown in found)
    decimals = DECIMALS_OF_DECIBEL
    if unit != DECIBEL and largest:
        decimals = max(0, DECIMALS_OF_DECIBEL - math.floor(math.log10(largest)))
    scale = 10 ** max(0, decimals - SHOWN_FEWER)
    above = math.ceil(scale * largest) / scale or published
    return MapKind(name, unit, decimals, published if unit == DECIBEL else above, above)


def used_patches(columns: Sequence[Column]) -> NDArray[np.int64]:
    """List the patches of the bank that the columns of a page show, each once, in their order."""
    found = [shown.patches for column in columns for shown in column.maps if shown.patches is not None]
    used = np.unique(np.concatenate([patches.ravel() for patches in found])) if found else np.empty(0, np.int64)
    return used[used >= 0]


def column_data(column: Column, kinds: Sequence[MapKind], used: NDArray[np.int64]) -> dict[str, Any]:
    """Give the maps of a column by the names of their kinds."""
    decimals = {kind.name: kind.decimals for kind in kinds}
    data = {shown.metric: _map_data(shown, decimals[shown.metric], used) for shown in column.maps}
    if column.lam:
        data["LAM"] = {"effects": _rounded(column.lam.shares, DECIMALS_OF_DECIBEL)}
    return data


def _map_data(shown: ShownMap, decimals: int, used: NDArray[np.int64]) -> dict[str, Any]:
    """The blocks row by row: effects, draws, a digit each for the class, and what is known of those with draws."""
    effect_map = shown.map.effect_map
    return {
        "effects": _rounded(effect_map.effects, decimals),
        "draws": effect_map.interventions.ravel().tolist(),
        "codes": "".join(str(code - FIRST_CODE) for code in shown.map.codes.ravel().tolist()),
        "blocks": {
            int(place[0] * effect_map.roi.shape[1] + place[1]): _block_data(shown, tuple(place), decimals, used)
            for place in np.argwhere(shown.map.tried.any(axis=2))
        },
    }


def _block_data(shown: ShownMap, place: tuple[int, ...], decimals: int, used: NDArray[np.int64]) -> list[Any]:
    """Interval, share of the draws with the sign, lowest and highest draw, their thumbnails, and all draws."""
    estimates = shown.map.certainty.estimates
    draws = shown.map.draws[place][shown.map.tried[place]]
    least, most = float(draws.min()), float(draws.max())
    levels = np.rint((draws - least) / ((most - least) or 1.0) * LEVELS).astype(np.uint8)
    numbers = [-1, -1]
    if shown.patches is not None:
        numbers = np.searchsorted(used, [patches[place] for patches in shown.patches]).tolist()
    return [
        _number(estimates.low[place], decimals),
        _number(estimates.high[place], decimals),
        round(100 * float(estimates.agreement[place])),
        _number(least, decimals),
        _number(most, decimals),
        *numbers,
        base64.b64encode(levels.tobytes()).decode(),
    ]


def pair_data(pair: Pair) -> dict[str, Any]:
    """Give of each block with an effect: the difference (dB), its interval, its draws, and whether it is certain."""
    difference, estimates = pair.difference, pair.difference.comparison.difference
    columns = difference.values.shape[1]
    blocks = {
        int(row * columns + column): [
            _number(difference.values[row, column], DECIMALS_OF_DECIBEL),
            _number(estimates.low[row, column], DECIMALS_OF_DECIBEL),
            _number(estimates.high[row, column], DECIMALS_OF_DECIBEL),
            int(estimates.count[row, column]),
            int(difference.comparison.differs[row, column]),
        ]
        for row, column in np.argwhere(difference.some)
    }
    return {"first": pair.first, "second": pair.second, "blocks": blocks}


def _rounded(values: NDArray[np.float64], decimals: int) -> list[float | int | None]:
    return [_number(value, decimals) for value in values.ravel().tolist()]


def _number(value: float, decimals: int) -> float | int | None:
    """A number as short as JSON has it; None where there is none."""
    if not math.isfinite(value):
        return None
    rounded = round(float(value), decimals)
    return int(rounded) if rounded == int(rounded) else rounded
