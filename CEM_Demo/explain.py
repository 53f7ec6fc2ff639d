"""Compute causal effect maps from Python: a network, an image and an ROI give arrays and a figure, without files.

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

import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.config.settings import Settings
from CEM_Demo.device import exact_arithmetic, pick_device
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI, Grid, grid_of
from CEM_Demo.images import UInt8Image, figure_bytes
from CEM_Demo.inference.checks import check_output
from CEM_Demo.inference.frozen import frozen_inference
from CEM_Demo.inference.lent_network import left_as_found
from CEM_Demo.mediation.effects import Mediation, mediation_of
from CEM_Demo.method.certainty import Certainty
from CEM_Demo.method.comparison import Comparison
from CEM_Demo.method.effect_map import EffectMap
from CEM_Demo.method.measurements import Measurements
from CEM_Demo.method.metric import to_picture
from CEM_Demo.method.metric_maps import effect_maps
from CEM_Demo.method.patch_bank import PatchBank, load_bank
from CEM_Demo.networks.fitting import prepare_network
from CEM_Demo.report.panels import Map, Panel, make_map
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.interventions import Chosen, bank_of, choose_intervention
from CEM_Demo.run.metrics import choose_with_margin, load_metrics
from CEM_Demo.run.sampling import Sampling, make_sampling
from CEM_Demo.tasks import Degradation, Scene, make_scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BUNDLED_BANK = Path(__file__).parent / "patches" / "patches.npz"


@dataclass(frozen=True)
class Explanation:
    """The causal effect map of one ROI.

    Attributes:
        measurements: all that was measured, draw by draw.
        map: the effects with classes, intervals and draws.
        roi: in full-resolution pixels.
        block: side of a block in full-resolution pixels.
        scene: ground truth and degraded image.
        task: SR, DN, DR or PAIR.
        restored: the network's output for the untouched input, sH x sW x 3 uint8 RGB.
        model: class of the network, its name in figures.
        image: name of the image.
    """

    measurements: Measurements
    map: Map
    roi: ROI
    block: int
    scene: Scene
    task: str
    restored: UInt8Image
    model: str
    image: str

    @property
    def effect_map(self) -> EffectMap:
        """Effects, interventions and ROI blocks, with counts and range."""
        return self.map.effect_map

    @property
    def origin(self) -> float:
        """PSNR (dB) of the ROI without intervention."""
        return self.measurements.origin

    @property
    def reach(self) -> NDArray[np.bool_]:
        """Rows x columns, False for blocks that cannot change the ROI."""
        return self.measurements.reached

    @property
    def effects(self) -> NDArray[np.float64]:
        """Rows x columns, dB; positive where the block helps the network restore the ROI."""
        return self.effect_map.effects

    @property
    def interventions(self) -> NDArray[np.int64]:
        """Rows x columns, how many draws each effect is the mean of."""
        return self.effect_map.interventions

    @property
    def certainty(self) -> Certainty:
        """Intervals and classes of all blocks, the strongest blocks, and what rounding and selection do."""
        return self.map.certainty

    @property
    def classes(self) -> NDArray[np.int8]:
        """Rows x columns, values of :class:`~CEM_Demo.method.classes.BlockClass`."""
        return self.certainty.classes.codes

    def interval(self, row: int, column: int) -> tuple[float, float]:
        """Give the interval (dB) of a block's effect at the confidence 0.95; infinite where it has no fine draws."""
        estimates = self.certainty.estimates
        return float(estimates.low[row, column]), float(estimates.high[row, column])

    @property
    def metric_maps(self) -> dict[str, EffectMap]:
        """The effect map of each metric of the settings by its name, PSNR first; positive where the block helps.

        With ``paths``, the PSNR with frozen statistics is among them as ``frozen``.
        """
        measured, tol = self.measurements, self.certainty.tol
        return effect_maps(measured.origin, measured.rounds, measured.metrics, tol, self.effect_map.roi)

    @property
    def mediation(self) -> Mediation | None:
        """The effects through what the network gathers over the image, and past it; None unless settings say paths."""
        measured, scene = self.measurements, self.scene
        grid = grid_of(scene.degraded, self.block // scene.scale, scene.scale)
        return mediation_of(measured.origin, measured.rounds, measured.metrics, self.certainty.tol, grid, self.roi)

    def paths_figure(self, **style: Any) -> Figure:
        """Draw the total, the frozen and the mediated map; ``style`` is that of :func:`compare_figure`.

        Raises:
            InputError: the paths were not measured, or the style is not known.
        """
        from CEM_Demo.figure.style import Style
        from CEM_Demo.mediation.figure import draw_paths

        if (mediation := self.mediation) is None:
            raise InputError("the paths were not measured; call explain with Settings(paths=True)")
        return draw_paths(self.panel, mediation, Style(**style))

    def compare(self, other: Explanation) -> Comparison:
        """Compare with another network on the same image and ROI, draw by draw: this one's effects minus the other's.

        The comparison also says which blocks one network uses and the other does not.

        Raises:
            InputError: the image, the ROI, the blocks or the draws differ.
        """
        same = (self.image, self.roi, self.block, self.certainty.draws.shape)
        if same != (other.image, other.roi, other.block, other.certainty.draws.shape):
            raise InputError("compare: both explanations must be of one image, ROI and block size, with the same draws")
        return self.certainty.compare(other.certainty)

    @property
    def panel(self) -> Panel:
        """What figures show of this explanation."""
        return Panel(
            model=self.model,
            image=self.image,
            task=self.task,
            roi=self.roi,
            block=self.block,
            origin=self.origin,
            ground_truth=self.scene.ground_truth,
            degraded=self.scene.degraded,
            restored=self.restored,
            map=self.map,
        )

    def figure(self, layout: str = "single", **style: Any) -> Figure:
        """Draw the map; see :func:`compare_figure`."""
        return compare_figure([self], layout, **style)

    def _repr_html_(self) -> str:
        """Show the map in a notebook."""
        code = base64.b64encode(figure_bytes(self.figure(), 150)).decode()
        return f'<img alt="causal effect map of {html.escape(self.model)}" src="data:image/png;base64,{code}">'


def compare_figure(explanations: Sequence[Explanation], layout: str = "comparison", **style: Any) -> Figure:
    """Draw the maps of several models of one ROI side by side.

    Args:
        explanations: of one image and ROI; ``dataclasses.replace(explanation, model="A")`` gives another name.
        layout: comparison, zoom, difference (of two), strip, or single (of one).
        style: width, font, colour_bound and colour_map of :class:`~CEM_Demo.figure.style.Style`.

    Returns:
        A Matplotlib figure; :func:`~CEM_Demo.figure.saving.save_figure` writes it as PDF, SVG, PGF or PNG.

    Raises:
        InputError: the ROIs or images differ, or the layout or style is not known.
    """
    # Users who only want numbers need not load Matplotlib.
    from CEM_Demo.figure.layouts import draw_figures
    from CEM_Demo.figure.sections import Group
    from CEM_Demo.figure.style import Style

    panels = [explanation.panel for explanation in explanations]
    if len({(panel.image, panel.roi, panel.block, panel.ground_truth.shape) for panel in panels}) != 1:
        raise InputError("explanations: a figure compares models on the same ROI of one image, with blocks of one size")
    if layout == "single" and len(panels) > 1:
        raise InputError(f"layout: single shows one map, not {len(panels)}; take comparison or zoom")
    return draw_figures([Group("", [panels])], layout, Style(**style))[0].figure


DEFAULT = Settings()


def explain(
    network: Callable[[Tensor], Any],
    image: UInt8Image,
    roi: ROI,
    degradation: Degradation,
    settings: Settings = DEFAULT,
    image_name: str = "image",
    progress: bool = False,
) -> Explanation:
    """Compute the causal effect map of one ROI; see :func:`explain_rois`."""
    return explain_rois(network, image, [roi], degradation, settings, image_name, progress)[0]


@exact_arithmetic()
def explain_rois(
    network: Callable[[Tensor], Any],
    image: UInt8Image,
    rois: Sequence[ROI],
    degradation: Degradation,
    settings: Settings = DEFAULT,
    image_name: str = "image",
    progress: bool = False,
) -> list[Explanation]:
    """Compute the causal effect maps of several ROIs, which share the work.

    The network is left as it was found, on its device and with its modules in their modes.

    Args:
        network: maps N x C x H x W (float32 RGB, or gray) to images, or to a list, tuple or dictionary whose last
            element they are; what it needs is probed, see :func:`~CEM_Demo.networks.fitting.prepare_network`.
        image: ground truth, H x W x 3 uint8 RGB; it is degraded as ``degradation`` says.
        rois: in pixels of ``image``.
        degradation: the task and its strength.
        settings: how blocks are tried.
        image_name: the draws and the rain depend on it, as on the file's name in a run from a config.
        progress: whether bars show how far the work is.

    Raises:
        InputError: an argument is of the wrong kind, an ROI reaches out of the image, the block is not a multiple of
            the scale, or the network returns something other than an image of the right size.
    """
    check_image(image)
    _check_kind("degradation", degradation, Degradation, 'Degradation("DN")')
    _check_kind("settings", settings, Settings, "Settings(coarse_num=1, fine_num=4)")
    scene = make_scene(degradation, image, image_name)
    check_rois(rois, *scene.ground_truth.shape[:2])
    _check_block(settings.block, scene)
    with left_as_found(network):
        random_seed = settings.seed if settings.allow_random else None
        prepared = prepare_network(network, degradation.task, scene.scale, random_seed)
        grid = grid_of(scene.degraded, settings.block // scene.scale, scene.scale)
        chosen = choose_intervention(settings.intervention_source, scene, grid, _bank(settings))
        sampling = make_sampling(settings, image_name, grid.shape, chosen)
        explanation_of = partial(
            Explanation, scene=scene, task=degradation.task, model=type(network).__name__, image=image_name
        )
        label = image_name if progress else None
        found: dict[ROI, Explanation] = {}
        for experiment in _experiments(prepared, scene, rois, settings, grid, chosen):
            found |= _explain_group(experiment, sampling, settings, label, explanation_of)
    return [found[roi] for roi in rois]


def _experiments(
    prepared: nn.Module, scene: Scene, rois: Sequence[ROI], settings: Settings, grid: Grid, chosen: Chosen
) -> list[Experiment]:
    """Choose the inferences of the ROIs, as the settings ask: one experiment for ROIs that are restored together."""
    device = pick_device(settings.device)
    further, _ = load_metrics(settings.further_metrics)
    groups = choose_with_margin(prepared, scene, rois, grid.block, device, settings.inference, further)
    return [
        Experiment(
            network=prepared,
            group=group,
            scene=scene,
            grid=grid,
            bank=chosen.bank,
            device=device,
            intervention=chosen.intervention,
            further=further,
            frozen=frozen_inference(prepared, scene.degraded, group, grid.block, device) if settings.paths else None,
        )
        for group in groups
    ]


def _explain_group(
    experiment: Experiment,
    sampling: Sampling,
    settings: Settings,
    label: str | None,
    explanation_of: Callable[..., Explanation],
) -> dict[ROI, Explanation]:
    """Compute the maps of ROIs that are restored together."""
    group, (height, width) = experiment.group, experiment.scene.ground_truth.shape[:2]
    restored = group.inference.baseline()
    check_output(restored, (height, width), "the network")
    batch_size = settings.batch_size or group.inference.automatic_batch_size()
    measurements = experiment.fresh_measurements(restored, sampling.room, batch_size)
    sampling.run(experiment, measurements, label=label)
    picture, positions = to_picture(restored), sampling.positions
    return {
        roi: explanation_of(
            measurements=of_roi,
            map=make_map(
                of_roi.origin,
                of_roi.rounds,
                settings.tol,
                experiment.grid.overlaps(roi),
                of_roi.reached,
                positions,
            ),
            roi=roi,
            block=settings.block,
            restored=picture,
        )
        for roi, of_roi in zip(group.rois, measurements, strict=True)
    }


def _check_block(block: int, scene: Scene) -> None:
    height, width = scene.ground_truth.shape[:2]
    if block % scene.scale:
        raise InputError(f"block {block} is not a multiple of the scale {scene.scale}")
    if block > min(height, width):
        raise InputError(f"block {block} is larger than the image of {width} x {height} pixels; try 8")


def _bank(settings: Settings) -> PatchBank:
    def given() -> PatchBank:
        return settings.bank if settings.bank is not None else load_bank(BUNDLED_BANK)

    return bank_of(settings.intervention_source, given, settings.block, settings.seed)


def check_image(image: UInt8Image, name: str = "image") -> None:
    """Raise InputError unless ``image`` is H x W x 3 uint8; the message begins with ``name``."""
    if not isinstance(image, np.ndarray):
        raise InputError(f"{name}: it is a {type(image).__name__}, not a NumPy array; read_image(path) gives one")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(f"{name}: it is {image.dtype} {image.shape}, not RGB of 8 bits, uint8 (H, W, 3)")


def _check_kind(name: str, given: object, kind: type, example: str) -> None:
    if not isinstance(given, kind):
        instead = f"the class {kind.__name__} itself" if given is kind else f"a {type(given).__name__}"
        raise InputError(f"{name}: it is {instead}; write {example}")


def check_rois(rois: Sequence[ROI], height: int, width: int) -> None:
    """Raise InputError unless there are ROIs, and all lie in an image of ``height`` x ``width`` pixels."""
    if not rois:
        raise InputError("rois: no ROI is given")
    for roi in rois:
        _check_kind("roi", roi, ROI, "ROI(left, top, width, height)")
        if not all(isinstance(edge, (int, np.integer)) for edge in (roi.left, roi.top, roi.width, roi.height)):
            raise InputError(f"ROI {roi} must lie on whole pixels; write whole numbers")
        if roi.width < 1 or roi.height < 1:
            raise InputError(f"ROI {roi} holds no pixel")
        if roi.left < 0 or roi.top < 0 or roi.right > width or roi.bottom > height:
            raise InputError(f"ROI {roi} reaches out of the image of {width} x {height} pixels")
