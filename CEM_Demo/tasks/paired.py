"""Paired images: degraded inputs from files beside their ground truths, of a degradation that need not be known."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.errors import InputError
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.pairing import find_input, scale_of_pair
from CEM_Demo.tasks.degradation import Degradation
from CEM_Demo.tasks.scene import DegradePatches, Scene, keep_patches
from CEM_Demo.user_code import UserFunction, load_function


def make_scene(ground_truth: UInt8Image, image_name: str, degradation: Degradation) -> Scene:
    """The restoration of the input that belongs to ``ground_truth``; nothing is cropped.

    A patch, at the input's resolution, enters the input as it is or as the user's function returns it.

    Raises:
        InputError: no input of this name, or one of another scale; the function cannot be loaded.
    """
    assert degradation.inputs is not None
    path = find_input(degradation.inputs, image_name)
    given = read_image(path)
    scale = scale_of_pair(ground_truth, given, image_name, path)
    if scale != degradation.scale:
        raise InputError(
            f"sr: {image_name} is {scale} times as large as its input {path}, but sr is {degradation.scale}"
        )
    function = None if degradation.function is None else load_function(degradation.function, "degradation")
    provenance = {
        "input_sha256": hashlib.sha256(given.tobytes()).hexdigest(),
        "degradation": function and function.name,
        "degradation_sha256": function and function.sha256,
    }
    return Scene(ground_truth, given, scale, _through(function) if function else keep_patches, provenance)


def _through(function: UserFunction) -> DegradePatches:
    def degrade_patches(
        patches: NDArray[np.uint8], corners: NDArray[np.integer], noise_seeds: NDArray[np.uint64]
    ) -> NDArray[np.uint8]:
        draws = (np.random.Generator(np.random.Philox(key=int(seed))) for seed in noise_seeds)
        return np.stack([_degraded(function, patch, draw) for patch, draw in zip(patches, draws, strict=True)])

    return degrade_patches


def _degraded(function: UserFunction, patch: NDArray[np.uint8], draw: np.random.Generator) -> NDArray[np.uint8]:
    degraded: Any = function(patch, draw)
    if not isinstance(degraded, np.ndarray):
        raise InputError(f"degradation: {function} returned {type(degraded).__name__}, not a NumPy array")
    if degraded.dtype != np.uint8 or degraded.shape != patch.shape:
        raise InputError(
            f"degradation: {function} returned {degraded.dtype} {degraded.shape}; a patch of uint8 {patch.shape} "
            "must come back as such"
        )
    return degraded
