"""How sure a map is, in words and as a table: ``intervals.csv`` and the lines of ``--summary``."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.geometry import ROI
from CEM_Demo.method.certainty import Certainty
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.method.reliability import rounding_floor, rounding_offset
from CEM_Demo.report.panels import Map

COLUMNS = (
    "row",
    "column",
    "effect_dB",
    "low_dB",
    "high_dB",
    "class",
    "p",
    "q",
    "draws",
    "share_with_sign",
    "median_dB",
    "flagged",
)
MOST_NAMED = 5  # blocks in a line


def interval_csv(shown: Map) -> bytes:
    """Write a row for each block: its effect, interval, class, tests, draws, and whether one draw carries its mean."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    estimates, classes, rogues = shown.certainty.estimates, shown.certainty.classes, shown.certainty.rogues
    for place in np.ndindex(*shown.codes.shape):
        writer.writerow(
            [
                *place,
                *(_number(float(values[place])) for values in (shown.effect_map.effects, shown.low, shown.high)),
                BlockClass(int(classes.codes[place])).name.lower(),
                *(_number(float(values[place])) for values in (classes.p, classes.q)),
                int(estimates.count[place]),
                *(_number(float(values[place])) for values in (estimates.agreement, rogues.median)),
                int(rogues.flagged[place]),
            ]
        )
    return text.getvalue().encode()


def _number(value: float) -> str:
    """A number of four digits behind the point; nothing where there is none."""
    return f"{value:.4f}" if math.isfinite(value) else ""


def summary_lines(
    where: str, origin: float, unrounded_origin: float | None, roi: ROI, certainty: Certainty
) -> Iterator[str]:
    """Say in lines how sure a map is.

    Args:
        where: names the model and the image.
        origin: PSNR (dB) of the ROI without intervention.
        unrounded_origin: the same without rounding to 8 bits; None where it is not known.
        roi: in full-resolution pixels.
        certainty: of the map.
    """
    if not certainty.tested.any():
        yield f"{where}: no block has fine draws, so there is nothing to average and no interval"
        return
    counts = ", ".join(
        f"{certainty.count(kind)} {kind.name.lower().replace('_', ' ')}"
        for kind in (BlockClass.HELPS, BlockClass.HURTS, BlockClass.NEGLIGIBLE, BlockClass.UNDECIDED)
    )
    yield f"{where}: certified at {certainty.fdr:.0%} false discoveries beyond {certainty.tol} dB: {counts}"
    yield from (f"  {line}" for line in remark_lines(certainty))
    if certainty.missed is not None:
        yield f"  the coarse stage let about {certainty.missed:.1f} blocks go that matter"
    yield from (f"  {line}" for line in _rounding_lines(origin, unrounded_origin, roi, certainty.tol))


def comparison_lines(first: str, one: Certainty, second: str, other: Certainty) -> Iterator[str]:
    """Say in lines how two models differ on one ROI: first the sentence that counts, then the strongest blocks.

    Args:
        first, second: names of the models.
        one, other: of their maps.
    """
    found = one.compare(other)
    compared = int((~np.isnan(found.p)).sum())
    yield (
        f"{first} alone uses {int(found.first_alone.sum())} blocks, {second} alone "
        f"{int(found.second_alone.sum())}; in {int(found.differs.sum())} of the {compared} blocks that have draws of "
        "both, their effects certainly differ"
    )
    for name, alone, certainty in ((first, found.first_alone, one), (second, found.second_alone, other)):
        if alone.any():
            yield f"  {name} alone: {', '.join(_named_blocks(certainty, alone))}"


def _named_blocks(certainty: Certainty, chosen: NDArray[np.bool_]) -> Iterator[str]:
    """Name the strongest of the chosen blocks with their effects, and say how many more there are."""
    places = np.argwhere(chosen)
    effects = certainty.estimates.mean[chosen]
    for number in np.argsort(-np.abs(effects), kind="stable")[:MOST_NAMED]:
        row, column = places[number]
        yield f"row {row}, column {column} ({effects[number]:+.2f} dB)"
    if len(places) > MOST_NAMED:
        yield f"and {len(places) - MOST_NAMED} more"


def remark_lines(certainty: Certainty) -> Iterator[str]:
    """Say in lines what the map does not show: the strongest blocks without luck, and those that one draw carries."""
    yield from _strongest_lines(certainty)
    for row, column in np.argwhere(certainty.rogues.flagged):
        deviation, median = certainty.rogues.deviation[row, column], certainty.rogues.median[row, column]
        yield (
            f"row {row}, column {column}: one draw lies {deviation:+.2f} dB from the others; "
            f"mean {certainty.estimates.mean[row, column]:+.2f} dB, median {median:+.2f} dB"
        )


def _strongest_lines(certainty: Certainty) -> Iterator[str]:
    found = certainty.strongest()
    for number, (row, column) in enumerate(zip(found.rows, found.columns, strict=True)):
        yield (
            f"row {row}, column {column}: {found.reported[number]:+.2f} dB "
            f"[{found.low[number]:+.2f}, {found.high[number]:+.2f}] by one half of its draws, "
            f"{found.chosen[number]:+.2f} dB by the half that chose it"
        )


def _rounding_lines(origin: float, unrounded_origin: float | None, roi: ROI, tol: float) -> Iterator[str]:
    floor = rounding_floor(origin, 3 * roi.width * roi.height)
    offset = None if unrounded_origin is None else rounding_offset(origin, unrounded_origin)
    known = "" if offset is None else f", by {offset:+.4f} dB here"
    warning = "; that is more than half of tol" if max(floor, abs(offset or 0.0)) > tol / 2 else ""
    yield f"rounding to 8 bits shifts all effects alike, typically by {floor:.4f} dB{known}{warning}"
