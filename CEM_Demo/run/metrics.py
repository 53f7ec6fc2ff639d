"""From what a config's ``metrics`` names to what measures the ROIs, and inferences that restore enough around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.config.metric_sources import MetricSource
from CEM_Demo.errors import InputError, naming
from CEM_Demo.geometry import ROI
from CEM_Demo.inference.checks import to_unit_range
from CEM_Demo.inference.choice import RoiGroup, choose_inference
from CEM_Demo.method.further_metrics import BUILT_IN
from CEM_Demo.method.metric import Measure, Metric, to_uint8
from CEM_Demo.run.experiment import truth_around
from CEM_Demo.run.library_metrics import load_library_metric
from CEM_Demo.tasks import Scene
from CEM_Demo.user_code import load_user_code, user_errors

# Two measurements of the same image by a metric that draws no random numbers differ by less, on any device.
SAME_VALUE = 1e-3


def load_metrics(sources: Sequence[MetricSource]) -> tuple[tuple[Metric, ...], dict[str, Any]]:
    """The metrics beside PSNR, and what else than their names decides them, for the manifest.

    Raises:
        InputError: a function of the user's is missing, or does not say whether higher values are better; a library, or
            a file that it needs, is missing.
    """
    metrics, provenance = [], {}
    for source in sources:
        with naming("metrics"):
            metric, decides = _load(source)
        metrics.append(metric)
        if decides:
            provenance[source.name] = decides
    return tuple(metrics), {"metrics_sha256": provenance} if provenance else {}


def _load(source: MetricSource) -> tuple[Metric, dict[str, str]]:
    if source.library:
        found = load_library_metric(source)
        measure = _measure_by(found.function, found.where)
        return Metric(source.name, "", found.higher_is_better, measure), found.provenance
    if source.code is not None:
        code = load_user_code(source.code, source.name)
        return _own_metric(code.value, source.name, source.code), code.sources
    return BUILT_IN[source.name], {}


def _own_metric(function: Callable[..., Any], name: str, path: Path) -> Metric:
    """The user's function; it gets N x 3 x h x w float32 in 0..1, of 8-bit values, twice."""
    higher, unit = getattr(function, "higher_is_better", None), getattr(function, "unit", "")
    margin = getattr(function, "margin", 0)
    if not isinstance(higher, bool):
        raise InputError(f"{path}: write {name}.higher_is_better = True, or False, below the function")
    if not isinstance(unit, str) or not isinstance(margin, int) or margin < 0:
        raise InputError(f"{path}: {name}.unit must be a text, {name}.margin a number of pixels")

    def call(images: Tensor, truths: Tensor) -> Any:
        with user_errors(path, function):
            return function(images, truths)

    return Metric(name, unit, higher, _measure_by(call, f"{path}:{name}"), margin)


def _measure_by(function: Callable[[Tensor, Tensor], Any], where: str) -> Measure:
    """Measure by a function of two times N x 3 x h x w float32 in 0..1, of 8-bit values; ``where`` names it."""

    def measure(restored: Tensor, ground_truth: Tensor) -> NDArray[np.float64]:
        images = to_unit_range(to_uint8(restored))
        truths = to_unit_range(ground_truth)[None].repeat(len(images), 1, 1, 1)
        with naming("metrics"):
            return _checked(function(images, truths), len(images), where)

    return measure


def _checked(values: Any, count: int, name: str) -> NDArray[np.float64]:
    """The user's values as N float64."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InputError(f"{name} returned a {type(values).__name__}; return a tensor of one number for each image")
    if array.shape != (count,):
        raise InputError(f"{name} returned {array.shape} for {count} images; return ({count},), a value for each")
    if not np.isfinite(array).all():
        raise InputError(f"{name} returned NaN or infinite values")
    return array.astype(np.float64)


def try_metrics(metrics: Sequence[Metric], scene: Scene, roi: ROI) -> None:
    """Measure an ROI that is restored perfectly, and one that is not, so that what fails is known before all else.

    Raises:
        InputError: a function of the user's or of a library fails, returns something else than a number for each image,
            or draws random numbers.
    """
    for metric in metrics:
        truth = torch.from_numpy(truth_around(scene, roi, metric.margin)).permute(2, 0, 1)
        perfect = to_unit_range(truth)[None]
        images = torch.cat([perfect, perfect.flip(-1)])
        first, again = (metric.measure(images, truth) for _ in range(2))
        if not np.allclose(first, again, rtol=SAME_VALUE, atol=SAME_VALUE):
            raise InputError(f"metrics: {metric.name} measures the same images differently each time; it draws numbers")


def choose_with_margin(
    net: nn.Module,
    scene: Scene,
    rois: Sequence[ROI],
    block: int,
    device: torch.device,
    kind: str,
    metrics: Sequence[Metric],
) -> list[RoiGroup]:
    """The inferences of :func:`choose_inference` that restore what the metrics need around each ROI too."""
    margin, (height, width) = max((metric.margin for metric in metrics), default=0), scene.ground_truth.shape[:2]
    restored = {roi: roi.grown(margin, height, width) for roi in rois}
    shares = choose_inference(net, scene.degraded, list(dict.fromkeys(restored.values())), block, device, kind)
    if not margin:
        return shares
    return [
        _of_rois(share, {roi: share.rois.index(grown) for roi, grown in restored.items() if grown in share.rois})
        for share in shares
    ]


def _of_rois(share: RoiGroup, places: dict[ROI, int]) -> RoiGroup:
    """An inference of ROIs that lie within those it was made for, each by the number of the latter."""
    return replace(share, rois=tuple(places), reached=share.reached[list(places.values())])
