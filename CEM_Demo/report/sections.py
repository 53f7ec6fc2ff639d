"""What a page of the report shows: each ROI of an image with a column for each model, and the models' differences."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.config.metric_sources import FIRST
from CEM_Demo.config.schema import Config
from CEM_Demo.geometry import ROI
from CEM_Demo.images import read_image
from CEM_Demo.method.metric_maps import DECIBEL
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.method.plan import DrawSource
from CEM_Demo.report.certainty_text import comparison_lines
from CEM_Demo.report.differences import Difference, paired_difference
from CEM_Demo.report.lam_maps import ShownLam, shown_lam
from CEM_Demo.report.panels import Map, Panel, map_of_results, panel_of_results, read_checked
from CEM_Demo.report.thumbnails import best_and_worst, draws_of
from CEM_Demo.results.faithfulness import faithfulness_sentence, mediation_sentence
from CEM_Demo.results.filters import filters_sentence
from CEM_Demo.results.manifest import Manifest
from CEM_Demo.results.paths import ResultPaths, result_paths
from CEM_Demo.results.reading import Results

# Six models have as many pairs; more would take more of a page than the maps do.
MOST_PAIRS = 15


@dataclass(frozen=True)
class ShownMap:
    """The causal effects by one metric.

    Attributes:
        metric: its name.
        unit: of its values and effects.
        origin: its value without intervention.
        map: the effects; positive where a block helps, whatever the metric's direction.
        patches: 2 x rows x columns, which patches of the bank restored the ROI best and worst, -1 where there are no
            draws; None where they are not known.
    """

    metric: str
    unit: str
    origin: float
    map: Map
    patches: NDArray[np.int64] | None


@dataclass(frozen=True)
class Column:
    """One model on one ROI of an image.

    Attributes:
        panel: the pictures and the map of PSNR.
        maps: of all metrics, PSNR first.
        manifest: None if the published code wrote the results.
        lam: None where there is no Local Attribution Map.
        faithful: what a test of the map said of it; None where there was none.
        filters: what the effects of the network's filters say; None where they were not measured.
        paths: what travels through the network's global operators, and the bytes of the PNG file that shows it; None
            where that was not measured.
        note: why no patches are shown; empty where they are.
    """

    panel: Panel
    maps: tuple[ShownMap, ...]
    manifest: Manifest | None
    lam: ShownLam | None
    faithful: str | None
    filters: str | None
    paths: tuple[str, bytes] | None
    note: str

    @property
    def model(self) -> str:
        """Its name."""
        return self.panel.model

    @property
    def helping(self) -> int:
        """How many blocks outside the ROI help."""
        counts = self.panel.map.effect_map.counts
        return counts.positive - counts.roi

    @property
    def hurting(self) -> int:
        """How many blocks hurt."""
        return self.panel.map.effect_map.counts.negative


@dataclass(frozen=True)
class Pair:
    """The difference of two models, which are given by the numbers of their columns."""

    first: int
    second: int
    difference: Difference


@dataclass(frozen=True)
class Section:
    """One ROI of an image with a column for every model, and the differences of the models."""

    image: str
    roi: ROI
    columns: list[Column]
    pairs: list[Pair]

    @property
    def comparisons(self) -> list[list[str]]:
        """For each model after the first, lines that say how they differ; the first line is a sentence."""
        first, *others = (column.panel for column in self.columns)
        return [
            list(comparison_lines(first.model, first.map.certainty, other.model, other.map.certainty))
            for other in others
        ]

    @property
    def scene(self) -> Panel:
        """A panel whose ground truth and degraded image are those of all columns."""
        return self.columns[0].panel


def make_section(config: Config, image: str, roi: ROI, bank: PatchBank | str) -> Section:
    """Read what all models did on one ROI of an image.

    Args:
        config: of the run.
        image: its name.
        roi: in full-resolution pixels.
        bank: the patches, or why they are not known; see :func:`~CEM_Demo.report.thumbnails.find_bank`.

    Raises:
        InputError: results are missing, unfinished, damaged, computed with another config, or of another image.
    """
    columns: list[Column] = []
    for model in config.models:
        stored = read_checked(config, model, image, roi)
        panel = panel_of_results(config, model, image, roi, stored)
        if columns:  # one copy in memory for all models
            first = columns[0].panel
            panel = replace(panel, ground_truth=first.ground_truth, degraded=first.degraded)
        columns.append(_make_column(config, panel, stored, bank))
    compared = [
        Pair(first, second, paired_difference(columns[first].panel, columns[second].panel))
        for first, second in pairs_of(len(columns))
    ]
    return Section(image, roi, columns, compared)


def _make_column(config: Config, panel: Panel, stored: Results, bank: PatchBank | str) -> Column:
    paths = result_paths(config, panel.model, panel.image, panel.roi)
    rows, columns = panel.map.codes.shape
    source: DrawSource | str
    if isinstance(bank, PatchBank):
        source = draws_of(config, panel.image, (rows, columns), bank, stored.manifest)
    else:
        source = bank
    maps = [ShownMap(FIRST, DECIBEL, panel.origin, panel.map, None)]
    for name, measured in stored.manifest.metrics.items() if stored.manifest else ():
        of_metric = map_of_results(config, stored, panel.image, panel.map.certainty.roi, name)
        maps.append(ShownMap(name, measured.unit, measured.origin, of_metric, None))
    if not isinstance(source, str):
        maps = [replace(shown, patches=best_and_worst(shown.map, source)) for shown in maps]
    return Column(
        panel=panel if panel.restored is not None else _with_published_picture(panel, paths),
        maps=tuple(maps),
        manifest=stored.manifest,
        lam=shown_lam(paths, panel.map) if "LAM" in config.maps else None,
        faithful=faithfulness_sentence(paths, panel.map.effect_map.effects),
        filters=filters_sentence(paths, stored.manifest.provenance) if stored.manifest else None,
        paths=_paths_shown(paths, panel.map) if config.paths else None,
        note=source if isinstance(source, str) else "",
    )


def _paths_shown(paths: ResultPaths, shown: Map) -> tuple[str, bytes] | None:
    sentence = mediation_sentence(paths, shown.effect_map.effects)
    if sentence is None or not paths.mediation_figure.is_file():
        return None
    return sentence, paths.mediation_figure.read_bytes()


def _with_published_picture(panel: Panel, paths: ResultPaths) -> Panel:
    """Take the restored image that the published code may have written beside its effects."""
    if not paths.restored.is_file():
        return panel
    picture = read_image(paths.restored)
    return replace(panel, restored=picture) if picture.shape == panel.ground_truth.shape else panel


def pairs_of(models: int) -> list[tuple[int, int]]:
    """List which of so many models are compared: every two, or, where these are too many, the first with each other."""
    chosen = list(combinations(range(models), 2))
    return chosen if len(chosen) <= MOST_PAIRS else [pair for pair in chosen if pair[0] == 0]
