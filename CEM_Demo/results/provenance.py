"""Collect what decides the numbers of a run, and find in what two runs differ."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import PIL
import torch
import torchvision
from numpy.typing import NDArray

from CEM_Demo.config.schema import Config
from CEM_Demo.geometry import ROI
from CEM_Demo.method.measurements import FROZEN
from CEM_Demo.version import __version__

# Keys of a config that do not change the numbers of a model on an ROI, or that are recorded in another way: of images,
# patches, checkpoints and the device, the manifest records what they are, not what they are called. Every key that is
# not listed here counts as one that decides the numbers.
OTHERWISE_RECORDED = frozenset(
    {
        "w",
        "h",
        "ROI_size",
        "rois",
        "sigma",
        "rain",
        "input_path",
        "degradation",
        "intervention",
        "metrics",
        "paths",
        "Modellist",
        "Imagelist",
        "TextImg_path",
        "patch_path",
        "prefix",
        "output_dir",
        "load_previous",
        "batch_size",
        "batch_size_dict",
        "device",
        "confidence",  # it concerns statements about the draws, not the draws
        "fdr",
        "allow_random",  # without it, a network that draws is not run at all
        "inference",  # the manifest records the one that was used
        "test_num",  # of the test of a finished map, which records them itself
        "subset_sizes",
        "change_db",  # of counterfactuals of a finished map, which record them themselves
        "edit",
        "quantifier",
        "max_blocks",
        "epsilon",
        "filter_layers",  # filters have records of their own
        "filter_replacement",
        "filter_draws",
        "filter_images",
        "filter_first_order",
        "maps",  # others than CEM have manifests of their own
        "lam_density",
    }
)


def of_config(config: Config, roi: ROI) -> dict[str, Any]:
    """Give the values of a config that decide the numbers of one ROI, defaults included, in the types of JSON."""
    decides = config.model_dump(mode="json", exclude=set(OTHERWISE_RECORDED))
    intervention = str(config.intervention_source)
    frozen = [FROZEN] if config.paths else []
    metrics = ", ".join(["psnr", *(source.name for source in config.further_metrics), *frozen])
    chosen = {"intervention": intervention, "metrics": metrics}
    return {**decides, **strength_of(config), **chosen, "roi": str(roi)}


def strength_of(config: Config) -> dict[str, Any]:
    """Give the strength of a config's degradation by its name, default included; nothing where the task has none."""
    degradation = config.task_degradation
    strengths: dict[str, dict[str, Any]] = {"DN": {"sigma": degradation.sigma}, "DR": {"rain": degradation.rain}}
    return strengths.get(config.task, {})


def versions() -> dict[str, str]:
    """Give the versions of all that may change the numbers."""
    return {
        "CEM_Demo": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }


def digest_of(values: NDArray[Any]) -> str:
    """Compute the SHA-256 of an array: of its type, shape and values."""
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def changes_since(recorded: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """List in what ``asked`` differs from what was recorded under its keys; other records do not count."""
    return differences({key: recorded.get(key) for key in asked}, asked)


def differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List what differs, as in ``tol was 0.01, is now 0.02``."""
    found = []
    for key in [*now, *(key for key in earlier if key not in now)]:
        before, after = earlier.get(key), now.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after)
        elif before != after:
            found.append(f"{key} was {_shown(before)}, is now {_shown(after)}")
    return found


def _shown(value: Any) -> str:
    if value is None:
        return "not recorded"
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else text
