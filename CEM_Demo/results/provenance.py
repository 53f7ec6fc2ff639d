"""What decides the numbers of a run, and in what two runs differ."""

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
from CEM_Demo.version import __version__

# Keys of a config that leave the numbers of a model on an ROI alone, or are recorded otherwise. A key that is not
# listed counts as deciding them. Of images, patches, checkpoints and the device, what is found there is recorded, not
# its name.
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
        "confidence",  # of statements about the draws, which are the same
        "fdr",
        "allow_random",  # without it, a network that draws is not run at all
        "inference",  # the manifest records the one that was used
        "test_num",  # of the test of a finished map, which records them itself
        "subset_sizes",
        "maps",  # others than CEM have manifests of their own
        "lam_density",
    }
)


def of_config(config: Config, roi: ROI) -> dict[str, Any]:
    """What of a config decides the numbers of one ROI, as JSON has it; defaults stand for what is left out."""
    decides = config.model_dump(mode="json", exclude=set(OTHERWISE_RECORDED))
    degradation = config.task_degradation
    strength: dict[str, dict[str, Any]] = {"DN": {"sigma": degradation.sigma}, "DR": {"rain": degradation.rain}}
    intervention = str(config.intervention_source)
    metrics = ", ".join(["psnr", *(source.name for source in config.further_metrics)])
    chosen = {"intervention": intervention, "metrics": metrics}
    return {**decides, **strength.get(config.task, {}), **chosen, "roi": str(roi)}


def versions() -> dict[str, str]:
    """Of what may move the numbers."""
    return {
        "CEM_Demo": __version__,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }


def digest_of(values: NDArray[Any]) -> str:
    """SHA-256 of an array: its type, shape and values."""
    digest = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def differences(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, as in ``tol was 0.01, is now 0.02``."""
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
