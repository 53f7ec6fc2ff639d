"""Paired images: degraded inputs come from files; how they were degraded need not be known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.errors import InputError, naming
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.tasks.degradation import Degradation
from CEM_Demo.tasks.pairing import find_input, scale_of_pair
from CEM_Demo.tasks.scene import Scene, keep_patches
from CEM_Demo.user_code import load_user_code, split_code, user_errors


def make_scene(ground_truth: UInt8Image, image_name: str, degradation: Degradation) -> Scene:
    """Set up the restoration of the input that belongs to ``ground_truth``; nothing is cropped.

    A patch, at the input's resolution, enters the input as it is or as the user's function returns it.

    Raises:
        InputError: there is no input of this name, it has another scale, or the function cannot be loaded.
    """
    assert degradation.inputs is not None
    path = find_input(degradation.inputs, image_name)
    given = read_image(path)
    scale = scale_of_pair(ground_truth, given, image_name, path)
    if scale != degradation.scale:
        raise InputError(
            f"sr: {image_name} is {scale} times as large as its input {path}, but sr is {degradation.scale}"
        )
    provenance: dict[str, Any] = {"input_sha256": hashlib.sha256(given.tobytes()).hexdigest()}
    if degradation.function is None:
        return Scene(ground_truth, given, scale, keep_patches, provenance)
    with naming("degradation"):
        try:
            path, name = split_code(degradation.function)
        except ValueError as error:
            raise InputError(str(error)) from error
        code = load_user_code(path, name)
    provenance |= {"degradation": name, "degradation_sha256": code.sources}
    return Scene(ground_truth, given, scale, partial(_degraded, code.value, path), provenance)


def _degraded(
    function: Callable[[NDArray[np.uint8], np.random.Generator], Any],
    path: Path,
    patches: NDArray[np.uint8],
    corners: NDArray[np.integer],
    noise_seeds: NDArray[np.uint64],
) -> NDArray[np.uint8]:
    draws = (np.random.Generator(np.random.Philox(key=int(seed))) for seed in noise_seeds)
    with naming("degradation"), user_errors(path, function):
        degraded = [function(patch, draw) for patch, draw in zip(patches, draws, strict=True)]
        for patch, changed in zip(patches, degraded, strict=True):
            _check(changed, patch, f"{path}:{getattr(function, '__name__', function)}")
    return np.stack(degraded)


def _check(degraded: Any, patch: NDArray[np.uint8], name: str) -> None:
    if not isinstance(degraded, np.ndarray):
        raise InputError(f"{name} returned {type(degraded).__name__}, not a NumPy array")
    if degraded.dtype != np.uint8 or degraded.shape != patch.shape:
        raise InputError(
            f"{name} returned {degraded.dtype} {degraded.shape}; it must return uint8 {patch.shape}, like the patch"
        )
