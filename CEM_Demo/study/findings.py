"""Read what the finished runs of a study gave, model by model and ROI by ROI, and keep what its page needs of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI, image_with_rois
from CEM_Demo.images import webp_bytes
from CEM_Demo.report.colours import COLOUR_BOUND
from CEM_Demo.report.figures import overlay
from CEM_Demo.report.panels import Panel, read_panel
from CEM_Demo.study.measures import MEASURES, measure_map, pad_profiles, profile_of

log = logging.getLogger(__name__)

THUMBNAIL_SIDE = 128  # pixels, of the longer side


@dataclass(frozen=True)
class Case:
    """One ROI of an image; ``name`` is that of the image and, if it has several, of the ROI."""

    image: str
    roi: ROI
    name: str


@dataclass(frozen=True)
class Finding:
    """What one model does with one ROI of an image; arrays are rows x columns.

    Attributes:
        origin: PSNR (dB) of the ROI without intervention.
        effects: float64, dB, zero on the blocks of the ROI.
        codes: int8, values of :class:`~CEM_Demo.method.classes.BlockClass`.
        roi: bool, the blocks that overlap the ROI.
        block: side of a block, in full-resolution pixels.
        thumbnail: the map as a small WebP file.
    """

    origin: float
    effects: NDArray[np.float64]
    codes: NDArray[np.int8]
    roi: NDArray[np.bool_]
    block: int
    thumbnail: bytes


@dataclass(frozen=True)
class Findings:
    """What all models of a study do on all its ROIs.

    Attributes:
        models: their labels.
        cases: the ROIs of the images.
        of: for each model, the finding of each case; None where there is no finished result.
        missing: a line for each of those, which says why.
    """

    models: list[str]
    cases: list[Case]
    of: list[list[Finding | None]]
    missing: list[str]

    @property
    def images(self) -> list[str]:
        """The images, each once."""
        return list(dict.fromkeys(case.image for case in self.cases))

    @property
    def image_of(self) -> NDArray[np.int64]:
        """The number of the image of each case."""
        return np.array([self.images.index(case.image) for case in self.cases], np.int64)

    @cached_property
    def measures(self) -> NDArray[np.float64]:
        """The numbers of all maps: models x measures (the order of ``MEASURES``) x cases; NaN where one is missing."""
        values = np.full((len(self.models), len(MEASURES), len(self.cases)), np.nan)
        for row, findings in zip(values, self.of, strict=True):
            for number, finding in enumerate(findings):
                if finding is not None:
                    row[:, number] = measure_map(
                        finding.origin, finding.effects, finding.codes, finding.roi, finding.block
                    )
        return values

    @cached_property
    def profiles(self) -> NDArray[np.float64]:
        """The effects by distance: models x 2 (mean, mean absolute effect, dB) x rings x cases; NaN where none is."""
        found = [[None if one is None else profile_of(one.effects, one.roi) for one in row] for row in self.of]
        known = pad_profiles([profile for row in found for profile in row if profile is not None])
        values = np.full((len(self.models), len(self.cases), 2, known.shape[2]), np.nan)
        values[np.array([[profile is not None for profile in row] for row in found])] = known
        return np.moveaxis(values, 1, -1)


def read_findings(config: Config) -> Findings:
    """Read the results of all models on all ROIs; those that are missing or of no use are logged and left out.

    Raises:
        InputError: there is not a single result.
    """
    cases = _cases_of(config)
    missing: list[str] = []
    models = list(config.models)
    of = [[_read(config, model, case, missing) for case in cases] for model in models]
    if not any(finding for row in of for finding in row):
        raise InputError(f"the study {config.prefix} has no finished result: {missing[0]}")
    for line in missing:
        log.warning("left out: %s", line)
    return Findings(models, cases, of, missing)


def _cases_of(config: Config) -> list[Case]:
    cases = []
    for image in config.Imagelist:
        rois = config.rois_of(image)
        cases += [Case(image, roi, image_with_rois(image, [roi], of=len(rois))) for roi in rois]
    return cases


def _read(config: Config, model: str, case: Case, missing: list[str]) -> Finding | None:
    try:
        panel = read_panel(config, model, case.image, case.roi)
    except InputError as error:
        missing.append(f"{model} on {case.name}: {error}")
        return None
    found = panel.map
    return Finding(panel.origin, found.values, found.codes, found.effect_map.roi, panel.block, _thumbnail(panel))


def _thumbnail(panel: Panel) -> bytes:
    height, width = panel.ground_truth.shape[:2]
    bound = COLOUR_BOUND[panel.task]
    drawn = overlay(panel.map.effect_map, panel.degraded, panel.roi, panel.block, (height, width), bound)
    picture = Image.fromarray(drawn)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    return webp_bytes(np.asarray(picture))


def common_cases(first: Findings, second: Findings) -> Sequence[tuple[str, Case, Finding, Finding]]:
    """List the models and cases that two studies share and that both have finished."""
    shared = []
    for model, row in zip(first.models, first.of, strict=True):
        for case, one in zip(first.cases, row, strict=True):
            if model in second.models and case in second.cases:
                other = second.of[second.models.index(model)][second.cases.index(case)]
                if one is not None and other is not None:
                    shared.append((model, case, one, other))
    return shared
