"""The filters' effects of one network on one ROI, on disk: what was measured so far, and what it came to."""

from __future__ import annotations

import csv
import json
import logging
import zipfile
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from CEM_Demo.errors import InputError
from CEM_Demo.files import write_bytes
from CEM_Demo.filters.effects import Criteria, Draws, FilterEffects, FilterLayer, decibels
from CEM_Demo.filters.explanation import FilterExplanation
from CEM_Demo.filters.first_order import rank_correlations
from CEM_Demo.filters.joint import JointCurve
from CEM_Demo.images import figure_bytes
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.results.mat_files import mat_bytes
from CEM_Demo.results.paths import ResultPaths
from CEM_Demo.results.provenance import differences, digest_of
from CEM_Demo.results.sealed import WHAT_TO_DO

log = logging.getLogger(__name__)

PROVENANCE = "provenance"
# What reading a file raises that is missing or damaged.
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
FIGURE_DPI = 130


class LayerRecord(BaseModel):
    """One layer.

    Attributes:
        name, channels, gives_image: of the layer, see :class:`~CEM_Demo.filters.effects.FilterLayer`.
        all_filters: dB that the ROI loses where all its filters are replaced at once.
        helping, hurting, dead: how many of its filters do so or are so.
        effects, low, high: of each replacement, dB for each channel; an end is None where an interval has none.
        classes: of each replacement, one for each channel, as in the table.
        first_order: estimates of the first replacement's effects, dB for each channel; None if nobody asked for them.
        first_order_correlation: of the estimates with the effects, by rank, over the filters that are not dead; None
            where it has no value.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    channels: int
    gives_image: bool
    all_filters: float
    helping: int
    hurting: int
    dead: int
    effects: dict[str, list[float]]
    low: dict[str, list[float | None]]
    high: dict[str, list[float | None]]
    classes: dict[str, list[str]]
    first_order: list[float] | None = None
    first_order_correlation: float | None = None


class FilterRecord(BaseModel):
    """What is kept of one network on one ROI.

    Attributes:
        format: number of this layout.
        provenance: all that decides the draws.
        criteria: of the classes.
        origin: PSNR (dB, not rounded) of the ROI without intervention.
        sentence: what the report may say.
        layers: layer by layer.
        joint: curves of sets of filters, see :class:`JointCurve`.
        draws_sha256: digests of the draws in ``filters.npz``, by replacement.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[2] = 2
    provenance: dict[str, Any]
    criteria: Criteria
    origin: float
    sentence: str
    layers: list[LayerRecord]
    joint: dict[str, JointCurve]
    draws_sha256: dict[str, str]

    def to_bytes(self) -> bytes:
        """The text of the file."""
        return (self.model_dump_json(indent=1) + "\n").encode()


@dataclass(frozen=True)
class FilterFiles:
    """Where the effects of one network on one ROI are kept.

    Attributes:
        paths: of the files.
        provenance: all that decides the draws, in the types of JSON; others are never mixed in.
        criteria: of the classes, which may change later.
    """

    paths: ResultPaths
    provenance: dict[str, Any]
    criteria: Criteria

    def earlier(self) -> Draws | None:
        """Read what an earlier run measured; None where there is nothing, or nothing whole.

        Raises:
            InputError: it was computed differently.
        """
        path = self.paths.of_filters(".npz")
        try:
            draws, provenance = _read_draws(path)
        except FileNotFoundError:
            return None
        except UNREADABLE:
            log.warning("%s is damaged: the filters are measured again", path)
            return None
        if changes := differences(provenance, self.provenance):
            raise InputError(f"{path} was computed differently: {'; '.join(changes)}; {WHAT_TO_DO}")
        return draws

    def finished(self, draws: Draws, first_order: bool) -> FilterRecord | None:
        """Read what these draws came to, if an earlier run wrote all of it, first-order estimates too if asked for."""
        try:
            record = FilterRecord.model_validate_json(self.paths.of_filters(".json").read_bytes())
        except (OSError, ValidationError):
            return None
        others = all(self.paths.of_filters(suffix).is_file() for suffix in (".csv", ".mat", ".png"))
        digests = {kind: digest_of(values) for kind, values in draws.items()}
        if first_order and any(layer.first_order is None for layer in record.layers):
            return None
        made_of = (record.draws_sha256, record.provenance, record.criteria)
        return record if others and made_of == (digests, self.provenance, self.criteria) else None

    def save(self, draws: Draws) -> None:
        """Write all draws that there are so far."""
        buffer = BytesIO()
        np.savez_compressed(buffer, **draws, **{PROVENANCE: np.array(json.dumps(self.provenance))})  # type: ignore[arg-type]
        write_bytes(self.paths.of_filters(".npz"), buffer.getvalue())

    def finish(self, found: FilterExplanation) -> FilterRecord:
        """Write the table, the arrays, the figure, and last the record, which vouches for them."""
        record = self._record(found)
        effects, estimates = found.effects, found.first_order
        # An earlier record, or a comparison with it, would speak of files that are no longer there.
        for ending in (".json", "-against.csv", "-against.md"):
            self.paths.of_filters(ending).unlink(missing_ok=True)
        write_bytes(self.paths.of_filters(".csv"), comma_separated(effects, estimates).encode())
        write_bytes(self.paths.of_filters(".mat"), _arrays(effects, estimates))
        write_bytes(self.paths.of_filters(".png"), figure_bytes(found.figure(), FIGURE_DPI))
        write_bytes(self.paths.of_filters(".json"), record.to_bytes())
        return record

    def _record(self, found: FilterExplanation) -> FilterRecord:
        effects = found.effects
        correlations: list[float | None] = [None] * len(effects.layers)
        if found.first_order is not None:
            correlations = rank_correlations(effects, found.first_order)
        return FilterRecord(
            provenance=self.provenance,
            criteria=effects.criteria,
            origin=found.origin,
            sentence=found.sentence,
            layers=[_layer_record(found, number, correlation) for number, correlation in enumerate(correlations)],
            joint=found.joint,
            draws_sha256={kind: digest_of(draws) for kind, draws in effects.draws.items()},
        )


def read_finished(paths: ResultPaths) -> tuple[FilterRecord, FilterEffects] | None:
    """Read a finished measurement, whatever decided it; None where there is none, or none that is whole."""
    try:
        record = FilterRecord.model_validate_json(paths.of_filters(".json").read_bytes())
        draws, _ = _read_draws(paths.of_filters(".npz"))
    except (*UNREADABLE, ValidationError):
        return None
    if {kind: digest_of(values) for kind, values in draws.items()} != record.draws_sha256:
        return None
    layers = tuple(FilterLayer(layer.name, layer.channels, layer.gives_image) for layer in record.layers)
    # The record has the order of the replacements, of which the first ranks the filters.
    ordered = {kind: draws[kind] for kind in record.draws_sha256}
    return record, FilterEffects(layers, ordered, record.criteria)


def _read_draws(path: Path) -> tuple[Draws, dict[str, Any]]:
    """Read all draws and what decided them; raise one of UNREADABLE if there are none."""
    with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as file:
        draws = {name: file[name] for name in file.files}
    return draws, json.loads(str(draws.pop(PROVENANCE)))


def _layer_record(found: FilterExplanation, number: int, correlation: float | None) -> LayerRecord:
    effects = found.effects
    within = effects.layer_of == number
    classes = effects.classes()[within]
    estimates = {kind: effects.estimates(kind) for kind in effects.draws}
    return LayerRecord(
        name=effects.layers[number].name,
        channels=effects.layers[number].channels,
        gives_image=effects.layers[number].gives_image,
        all_filters=float(found.of_layers[number]),
        helping=int((classes == BlockClass.HELPS).sum()),
        hurting=int((classes == BlockClass.HURTS).sum()),
        dead=int(effects.dead[within].sum()),
        effects={kind: one.mean[within].tolist() for kind, one in estimates.items()},
        low={kind: _ends(one.low[within]) for kind, one in estimates.items()},
        high={kind: _ends(one.high[within]) for kind, one in estimates.items()},
        classes={
            kind: [name for name, here in zip(_class_names(effects, kind), within, strict=True) if here]
            for kind in effects.draws
        },
        first_order=None if found.first_order is None else found.first_order[within].tolist(),
        first_order_correlation=correlation,
    )


def comma_separated(effects: FilterEffects, estimates: NDArray[np.float64] | None = None) -> str:
    """The filters as CSV: layer, channel, dead, and under each replacement effect, interval and class.

    An interval is empty where a replacement has no chance in it. First-order estimates (dB) are the last column.
    """
    columns: dict[str, list[str]] = {
        "layer": [effects.layers[number].name for number in effects.layer_of],
        "channel": [str(number) for number in effects.channel_of],
        "dead": [str(int(one)) for one in effects.dead],
    }
    for kind in effects.draws:
        columns |= _columns(effects, kind)
    if estimates is not None:
        columns["first order (dB)"] = decibels(estimates)
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([list(columns), *zip(*columns.values(), strict=True)])
    return text.getvalue()


def _columns(effects: FilterEffects, kind: str) -> dict[str, list[str]]:
    estimates = effects.estimates(kind)
    return {
        f"{kind} effect (dB)": decibels(estimates.mean),
        f"{kind} low": decibels(estimates.low),
        f"{kind} high": decibels(estimates.high),
        f"{kind} class": _class_names(effects, kind),
    }


def _class_names(effects: FilterEffects, kind: str) -> list[str]:
    return [
        "dead" if gone else BlockClass(code).name.lower()
        for gone, code in zip(effects.dead, effects.classes(kind), strict=True)
    ]


def _ends(values: NDArray[np.float64]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _arrays(effects: FilterEffects, estimates: NDArray[np.float64] | None) -> bytes:
    """Make the .mat file: layers x channels of the effects (dB) under each replacement, and of what is dead."""
    further = {f"effects_{kind}": effects.in_layers(effects.mean(kind)) for kind in effects.draws}
    further["dead"] = effects.in_layers(effects.dead.astype(np.float64))
    if estimates is not None:
        further["first_order"] = effects.in_layers(estimates)
    return mat_bytes(effects.in_layers(effects.mean()), "effects", further)
