"""What figures and reports show: a map of the blocks, and a panel with the pictures that belong to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI, grid_of
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.method.certainty import Certainty, assess
from CEM_Demo.method.classes import FDR, BlockClass
from CEM_Demo.method.effect_map import EffectMap, make_effect_map
from CEM_Demo.method.intervals import CONFIDENCE
from CEM_Demo.method.measurements import Draws
from CEM_Demo.method.metric_maps import DECIBEL, oriented
from CEM_Demo.method.stratified_draws import draw_positions
from CEM_Demo.results.lam_files import MissingLam, StoredLam
from CEM_Demo.results.paths import ResultPaths, result_paths
from CEM_Demo.results.provenance import changes_since, of_config
from CEM_Demo.results.reading import Results, read_results
from CEM_Demo.tasks import make_scene


@dataclass(frozen=True)
class Map:
    """The effect of every block, and how sure it is; arrays are rows x columns (x draws)."""

    effect_map: EffectMap
    certainty: Certainty

    @property
    def codes(self) -> NDArray[np.int8]:
        """Values of :class:`~CEM_Demo.method.classes.BlockClass`."""
        return self.certainty.classes.codes

    @property
    def low(self) -> NDArray[np.float64]:
        """The lower ends of the intervals, dB; infinite below two draws."""
        return self.certainty.estimates.low

    @property
    def high(self) -> NDArray[np.float64]:
        """The upper ends of the intervals, dB; infinite below two draws."""
        return self.certainty.estimates.high

    @property
    def draws(self) -> NDArray[np.float64]:
        """The effect (dB) of each fine or adaptive draw."""
        return self.certainty.draws

    @property
    def tried(self) -> NDArray[np.bool_]:
        """True where a fine or adaptive draw was made."""
        return self.certainty.tried

    @property
    def reach(self) -> NDArray[np.bool_]:
        """False for blocks that cannot change the ROI; all True where that is not known."""
        return self.certainty.reached

    @property
    def values(self) -> NDArray[np.float64]:
        """Effects (dB) as the map shows them, zero on the blocks of the ROI."""
        return self.effect_map.outside_roi

    @property
    def largest(self) -> float:
        """The largest certified effect, positive or negative, dB; of all effects where none is certified."""
        sizes = np.abs(self.values)
        certified = np.isin(self.codes, (BlockClass.HELPS, BlockClass.HURTS))
        return float(sizes[certified].max() if certified.any() else sizes.max())

    def count(self, kind: BlockClass) -> int:
        """Count the blocks of a class."""
        return int((self.codes == kind).sum())

    def strongest(self, number: int) -> list[tuple[int, int]]:
        """Give the row and column of at most ``number`` blocks with draws, the largest effects first."""
        sizes = np.where(self.tried.any(axis=2), np.abs(self.values), 0.0)
        order = np.argsort(-sizes, axis=None, kind="stable")[:number]
        places = (divmod(int(index), sizes.shape[1]) for index in order)
        return [place for place in places if sizes[place]]


@dataclass(frozen=True)
class Panel:
    """One model on one ROI of an image.

    Attributes:
        model: its name in figures.
        image: name of the image.
        task: SR, DN, DR or PAIR.
        roi: in full-resolution pixels.
        block: side of a block in full-resolution pixels.
        origin: PSNR (dB) of the ROI without intervention.
        ground_truth, degraded: H x W x 3 uint8 RGB; the latter may be smaller.
        restored: as ground_truth; None where it is not known.
        map: what each block does.
        lam: the Local Attribution Map, or why there is none; None where it was not asked for.
    """

    model: str
    image: str
    task: str
    roi: ROI
    block: int
    origin: float
    ground_truth: UInt8Image
    degraded: UInt8Image
    restored: UInt8Image | None
    map: Map
    lam: StoredLam | MissingLam | None = None

    @property
    def extent(self) -> ROI:
        """The whole image as a rectangle."""
        height, width = self.ground_truth.shape[:2]
        return ROI(0, 0, width, height)


def make_map(
    origin: float,
    rounds: Mapping[str, Draws],
    tol: float,
    roi: NDArray[np.bool_],
    reach: NDArray[np.bool_] | None = None,
    positions: NDArray[np.float64] | None = None,
    confidence: float = CONFIDENCE,
    fdr: float = FDR,
) -> Map:
    """Make the map of what was measured, with the classes and intervals that its draws allow.

    Args:
        origin: PSNR (dB) of the ROI without intervention.
        rounds: the draws by the name of their round.
        tol: dB; smaller effects become zero.
        roi: rows x columns, the blocks that overlap the ROI.
        reach: rows x columns, the blocks that can change the ROI; None where that is not known.
        positions, confidence, fdr: see :func:`~CEM_Demo.method.certainty.assess`.
    """
    reach = np.ones_like(roi) if reach is None else reach
    certainty = assess(origin, rounds, tol, reach, roi, positions, confidence, fdr)
    return Map(make_effect_map(origin, rounds, tol, roi), certainty)


def read_panels(config: Config, images: Sequence[str], models: Sequence[str]) -> list[list[Panel]]:
    """Read the results of a run from disk: for each ROI of each image, a panel for each model.

    Args:
        config: of the run.
        images, models: those to read, of the config.

    Raises:
        InputError: results are missing, unfinished, damaged, or computed with another config.
    """
    return [
        [read_panel(config, model, image, roi) for model in models] for image in images for roi in config.rois_of(image)
    ]


def read_panel(config: Config, model: str, image: str, roi: ROI) -> Panel:
    """Read the results of one model on one ROI of an image; see :func:`read_panels`."""
    return panel_of_results(config, model, image, roi, read_checked(config, model, image, roi))


def read_checked(config: Config, model: str, image: str, roi: ROI) -> Results:
    """Read the results of one model on one ROI of an image, and check that this config computed them.

    Raises:
        InputError: results are missing, unfinished, damaged, or computed with another config.
    """
    paths = result_paths(config, model, image, roi)
    stored = read_results(paths)
    check_config(config, roi, paths, stored)
    return stored


def panel_of_results(config: Config, model: str, image: str, roi: ROI, stored: Results) -> Panel:
    """Make the panel of results on disk.

    Raises:
        InputError: they do not belong to the image, or the image of a published cache cannot be read.
    """
    if stored.pictures:
        ground_truth, degraded = stored.pictures.ground_truth, stored.pictures.degraded
    else:  # a published cache does not hold them
        scene = make_scene(config.task_degradation, read_image(config.image_path(image)), image)
        ground_truth, degraded = scene.ground_truth, scene.degraded
    grid = grid_of(degraded, config.block, config.sr)
    for name, draws in stored.rounds.items():
        if draws.counts.shape != grid.shape:
            path = result_paths(config, model, image, roi).of_round(name)
            raise InputError(f"{path} has {draws.counts.shape} blocks, the image has {grid.shape}; recompute")
    return Panel(
        model=model,
        image=image,
        task=config.task,
        roi=roi,
        block=config.mask_block_size,
        origin=stored.origin,
        ground_truth=ground_truth,
        degraded=degraded,
        restored=stored.pictures.restored if stored.pictures else None,
        map=map_of_results(config, stored, image, grid.overlaps(roi)),
    )


def map_of_results(
    config: Config, stored: Results, image: str, roi: NDArray[np.bool_], metric: str | None = None
) -> Map:
    """Make a map of results on disk.

    Args:
        config: of the run.
        stored: the results.
        image: its name.
        roi: rows x columns, the blocks that overlap the ROI.
        metric: one of those in the manifest; None makes the map of PSNR.
    """
    origin, rounds, tol, reach = stored.origin, stored.rounds, config.tol, None
    if stored.manifest:
        reach = stored.manifest.reached
        if metric:
            measured = stored.manifest.metrics[metric]
            origin, rounds = oriented(metric, measured, rounds)
            tol = tol if measured.unit == DECIBEL else 0.0
    positions = None
    if adaptive := rounds.get("adaptive"):
        positions = draw_positions(config.seed, image, (roi.shape[0], roi.shape[1]), adaptive.values.shape[2])
    return make_map(origin, rounds, tol, roi, reach, positions, config.confidence, config.fdr)


def check_config(config: Config, roi: ROI, paths: ResultPaths, stored: Results) -> None:
    """Raise InputError when the effects were computed with a config that gives another map."""
    if stored.manifest is None:
        return
    changes = changes_since(stored.manifest.provenance, of_config(config, roi))
    if changes:
        raise InputError(
            f"{paths.pair_folder} was computed with another config: {'; '.join(changes)}; set that back, or compute "
            "anew with load_previous: 0, or with another prefix to keep both"
        )
