"""Causal effect maps from Python: a network, an image and an ROI in, arrays and a figure out; no files.

>>> from pathlib import Path
>>> from CEM_Demo.explain import Settings, explain
>>> from CEM_Demo.geometry import ROI
>>> from CEM_Demo.images import read_image
>>> from CEM_Demo.ModelZoo import load_denoise_model
>>> from CEM_Demo.tasks import Degradation

>>> network = load_denoise_model("DnCNN@Demo")  # or any module that maps N x 3 x H x W in 0..1 to images
>>> image = read_image(Path("CEM_Demo/test_images/Test1/demo_2.png"))[:64, :64]  # H x W x 3 uint8 RGB
>>> result = explain(network, image, ROI.square(24, 24, 16), Degradation("DN"), Settings(coarse_num=1, fine_num=4))
>>> result.effects.shape, result.effects.dtype, bool(result.reach.all())  # dB, block by block
((8, 8), dtype('float64'), True)
>>> int(result.interventions.max())
4
>>> result.figure().savefig("map.png")  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from CEM_Demo.device import pick_device, use_exact_arithmetic
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI, grid_of
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.checks import check_output
from CEM_Demo.inference.choice import choose_inference
from CEM_Demo.method.effect_map import EffectMap, make_effect_map
from CEM_Demo.method.patch_bank import PatchBank, load_bank
from CEM_Demo.method.plan import make_plans
from CEM_Demo.networks.fitting import prepare_network
from CEM_Demo.report.figures import COLOUR_BOUND, map_figure
from CEM_Demo.run.stages import NOT_KEPT, Scope, run_stages
from CEM_Demo.tasks import Degradation, Scene, make_scene

BUNDLED_BANK = Path(__file__).parent / "patches" / "patches.npz"


@dataclass(frozen=True)
class Explanation:
    """The causal effect map of one ROI.

    Attributes:
        origin: PSNR (dB) of the ROI without intervention.
        effect_map: effects, interventions and ROI blocks, with counts and range.
        reach: rows x columns bool, False for blocks that cannot change the ROI.
        roi: in full-resolution pixels.
        block: side of a block in full-resolution pixels.
        scene: ground truth and degraded image.
        task: SR, DN, DR or PAIR.
    """

    origin: float
    effect_map: EffectMap
    reach: NDArray[np.bool_]
    roi: ROI
    block: int
    scene: Scene
    task: str

    @property
    def effects(self) -> NDArray[np.float64]:
        """Rows x columns, dB; positive where the block helps the network restore the ROI."""
        return self.effect_map.effects

    @property
    def interventions(self) -> NDArray[np.int64]:
        """Rows x columns, how many draws each effect is the mean of."""
        return self.effect_map.interventions

    def figure(self) -> Figure:
        """The degraded image and the map with its colour scale, side by side."""
        shape = self.scene.ground_truth.shape[0], self.scene.ground_truth.shape[1]
        return map_figure(self.effect_map, self.scene.degraded, self.roi, self.block, shape, COLOUR_BOUND[self.task])


@dataclass(frozen=True)
class Settings:
    """How blocks are tried; the names and meanings are those of the config's keys.

    Attributes:
        block: side of a block in full-resolution pixels, a multiple of the scale.
        tol: dB.
        allow_random: whether a network may draw random numbers; it draws the same ones, by ``seed``, in every pass.
        bank: patches to intervene with; None takes the bundled ones.
    """

    block: int = 8
    coarse_num: int = 3
    fine_num: int = 50
    tol: float = 0.01
    seed: int = 0
    allow_random: bool = False
    bank: PatchBank | None = None
    device: str = "auto"
    inference: str = "auto"
    batch_size: int | None = None


DEFAULT = Settings()


def explain(
    network: Callable[[Tensor], Any],
    image: UInt8Image,
    roi: ROI,
    degradation: Degradation,
    settings: Settings = DEFAULT,
    image_name: str = "image",
) -> Explanation:
    """The causal effect map of one ROI; see :func:`explain_rois`."""
    return explain_rois(network, image, [roi], degradation, settings, image_name)[0]


def explain_rois(
    network: Callable[[Tensor], Any],
    image: UInt8Image,
    rois: Sequence[ROI],
    degradation: Degradation,
    settings: Settings = DEFAULT,
    image_name: str = "image",
) -> list[Explanation]:
    """The causal effect maps of several ROIs, which share the work.

    Args:
        network: maps N x C x H x W (float32 RGB, or grey) to images, or to a list, tuple or dictionary whose last
            element they are; what it needs is probed, see :func:`~CEM_Demo.networks.fitting.prepare_network`.
        image: ground truth, H x W x 3 uint8 RGB; it is degraded as ``degradation`` says.
        rois: in pixels of ``image``.
        degradation: the task and its strength.
        settings: how blocks are tried.
        image_name: the draws and the rain depend on it, as they do on the file's name in a run from a config.

    Raises:
        InputError: an ROI reaches out of the image, the block is no multiple of the scale, or the network returns
            something else than an image of the right size.
    """
    use_exact_arithmetic()
    scene = make_scene(degradation, image, image_name)
    height, width = scene.ground_truth.shape[:2]
    for roi in rois:
        if roi.left < 0 or roi.top < 0 or roi.right > width or roi.bottom > height:
            raise InputError(f"ROI {roi} reaches out of the image of {width} x {height} pixels")
    if settings.block % scene.scale:
        raise InputError(f"block {settings.block} is no multiple of the scale {scene.scale}")
    grid = grid_of(scene.degraded, settings.block // scene.scale, scene.scale)
    bank = settings.bank or load_bank(BUNDLED_BANK)
    coarse, fine = make_plans(settings.seed, image_name, grid.shape, settings.coarse_num, settings.fine_num, len(bank))
    device = pick_device(settings.device)
    explanations = {}
    random_seed = settings.seed if settings.allow_random else None
    prepared = prepare_network(network, degradation.task, scene.scale, random_seed)
    for shared in choose_inference(prepared, scene.degraded, rois, grid.block, device, settings.inference):
        restored = shared.inference.baseline()
        check_output(restored, (height, width), "the network")
        scope = Scope(shared, scene, grid, bank, device)
        batch_size = settings.batch_size or shared.inference.automatic_batch_size()
        effects = scope.fresh_effects(restored, coarse, fine, batch_size)
        run_stages(scope, coarse, fine, settings.tol, effects, NOT_KEPT, image_name)
        for roi, part in zip(shared.rois, effects, strict=True):
            effect_map = make_effect_map(part.origin, part.coarse, part.fine, settings.tol, grid.overlaps(roi))
            explanations[roi] = Explanation(
                part.origin, effect_map, part.reached, roi, settings.block, scene, degradation.task
            )
    return [explanations[roi] for roi in rois]
