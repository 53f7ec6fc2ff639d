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
from CEM_Demo.method.metric import Metric, to_uint8
from CEM_Demo.run.experiment import truth_around
from CEM_Demo.tasks import Scene
from CEM_Demo.user_code import load_user_code, user_errors


def load_metrics(sources: Sequence[MetricSource]) -> tuple[tuple[Metric, ...], dict[str, Any]]:
    """The metrics beside PSNR, and what else than their names decides them, for the manifest.

    Raises:
        InputError: a function of the user's is missing, or does not say whether higher values are better.
    """
    metrics, provenance = [], {}
    for source in sources:
        if source.code is None:
            metrics.append(BUILT_IN[source.name])
            continue
        with naming("metrics"):
            code = load_user_code(source.code, source.name)
            metrics.append(_own_metric(code.value, source.name, source.code))
        provenance[source.name] = code.sources
    return tuple(metrics), {"metrics_sha256": provenance} if provenance else {}


def _own_metric(function: Callable[..., Any], name: str, path: Path) -> Metric:
    """The user's function; it gets N x 3 x h x w float32 in 0..1, of 8-bit values, twice."""
    higher, unit = getattr(function, "higher_is_better", None), getattr(function, "unit", "")
    margin = getattr(function, "margin", 0)
    if not isinstance(higher, bool):
        raise InputError(f"{path}: write {name}.higher_is_better = True, or False, below the function")
    if not isinstance(unit, str) or not isinstance(margin, int) or margin < 0:
        raise InputError(f"{path}: {name}.unit must be a text, {name}.margin a number of pixels")

    def measure(restored: Tensor, ground_truth: Tensor) -> NDArray[np.float64]:
        images = to_unit_range(to_uint8(restored))
        truths = to_unit_range(ground_truth)[None].repeat(len(images), 1, 1, 1)
        with naming("metrics"):
            with user_errors(path, function):
                values = function(images, truths)
            return _checked(values, len(images), f"{path}:{name}")

    return Metric(name, unit, higher, measure, margin)


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
    """Measure an ROI that is restored perfectly, twice, so that what fails is known before anything is computed.

    Raises:
        InputError: a function of the user's fails, or returns something else than a number for each image.
    """
    for metric in metrics:
        truth = torch.from_numpy(truth_around(scene, roi, metric.margin)).permute(2, 0, 1)
        metric.measure(to_unit_range(truth)[None].repeat(2, 1, 1, 1), truth)


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
