"""From what a config's ``intervention`` names to what stands in the blocks of one image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.config.intervention_sources import CLEAN_NEEDS, InterventionSource
from CEM_Demo.errors import InputError, naming
from CEM_Demo.geometry import Grid
from CEM_Demo.method.edited_blocks import (
    BlocksOfImage,
    NoiseBlocks,
    OtherBlocks,
    Replace,
    ReplacedBlocks,
    blocks_as_bank,
    blurred,
    constant,
    replace_all,
)
from CEM_Demo.method.intervention import BlockIntervention, NaturalPatches
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.patches.photographs import cut_at_random, read_photographs
from CEM_Demo.tasks import Scene
from CEM_Demo.tasks.scene import keep_patches
from CEM_Demo.user_code import load_user_code, user_errors

PATCHES_CUT = 10_000


@dataclass(frozen=True)
class Chosen:
    """What stands in the blocks of one image, and how its draws may be made.

    Attributes:
        intervention: makes it.
        bank: the patches that draws choose from; of kinds that choose none, the run's.
        one_draw: whether all draws on a block are the same, so that one is enough.
        stratified: whether draws choose patches of ``bank``, so that adaptive ones can spread over them.
        provenance: what else than the config decides it.
    """

    intervention: BlockIntervention
    bank: PatchBank
    one_draw: bool = False
    stratified: bool = False
    provenance: dict[str, Any] = field(default_factory=dict)


def bank_of(source: InterventionSource, bank: Callable[[], PatchBank], side: int, seed: int) -> PatchBank:
    """The patches to paste: those of ``bank``, or of ``side`` pixels from the folder of photographs that is named.

    Raises:
        InputError: no such folder, or no photograph of this size in it; what ``bank`` raises.
    """
    if source.folder is None:
        return bank()
    with naming("intervention"):
        return cut_at_random(read_photographs(source.folder, side), side, PATCHES_CUT, seed)


def choose_intervention(source: InterventionSource, scene: Scene, grid: Grid, bank: PatchBank) -> Chosen:
    """Make ready what stands in the blocks of an image.

    Edits of the image keep the very noise or rain that stands there, so that no edit is no effect; patches, noise and
    the results of a function are degraded as published for patches. The clean block is not degraded at all.

    Raises:
        InputError: the kind is none for this image, or the user's function fails.
    """
    kind, block = source.kind, grid.block
    if kind in ("natural", "images"):
        return Chosen(NaturalPatches(bank, block, scene.degrade_patches), bank, stratified=True)
    if kind == "noise":
        return Chosen(NoiseBlocks(block, scene.degrade_patches), bank)
    if kind == "shuffle":
        return _other_blocks(scene, block)
    if kind == "function":
        return _own(source, scene, block, bank)
    return Chosen(BlocksOfImage(_edited(source, scene, block), block), bank, one_draw=True)


def _edited(source: InterventionSource, scene: Scene, block: int) -> NDArray[np.uint8]:
    """The network's input with every block edited."""
    if source.kind == "clean":
        if scene.scale != 1 or np.array_equal(scene.degraded, scene.ground_truth):
            raise InputError(f"intervention: {CLEAN_NEEDS}")
        return scene.ground_truth
    image = scene.editable
    edited = blurred(image, source.sigma) if source.kind == "blur" else constant(image, source.color, block)
    return scene.with_edit(edited)


def _other_blocks(scene: Scene, block: int) -> Chosen:
    image = scene.editable
    bank = blocks_as_bank(image, block)
    if len(bank) < 2:
        raise InputError("intervention: shuffle needs an image of two whole blocks at least")
    # What is cut from the degraded image is degraded already.
    degrade = keep_patches if scene.degrade_alike is None else scene.degrade_patches
    return Chosen(OtherBlocks(NaturalPatches(bank, block, degrade), image.shape[1] // block), bank, stratified=True)


def _own(source: InterventionSource, scene: Scene, block: int, bank: PatchBank) -> Chosen:
    """What the user's function makes of each block; it says by its attribute ``deterministic`` that one draw will do.

    It sees the ground truth where that has the size of the network's input, else the input.
    """
    assert source.code is not None
    with naming("intervention"):
        code = load_user_code(source.code, source.function)
    provenance = {"intervention_sha256": code.sources}
    replace = _checked(code.value, source.code)
    if not getattr(code.value, "deterministic", False):
        image = scene.ground_truth if scene.scale == 1 else scene.degraded
        return Chosen(ReplacedBlocks(replace, image, block, scene.degrade_patches), bank, provenance=provenance)
    edited = scene.with_edit(replace_all(replace, scene.editable, block))
    return Chosen(BlocksOfImage(edited, block), bank, one_draw=True, provenance=provenance)


def _checked(function: Callable[..., Any], path: Path) -> Replace:
    """The user's function, whose failures and wrong results end in one line."""
    name = f"{path}:{getattr(function, '__name__', function)}"

    def replace(
        image: NDArray[np.uint8], corners: tuple[int, int, int, int], random: np.random.Generator
    ) -> NDArray[np.uint8]:
        with naming("intervention"):
            with user_errors(path, function):
                anew = function(_read_only(image), corners, random)
            _check_block(anew, (corners[2] - corners[0], corners[3] - corners[1], 3), name)
        return np.asarray(anew)

    return replace


def _read_only(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    view = image.view()
    view.flags.writeable = False
    return view


def _check_block(anew: Any, shape: tuple[int, int, int], name: str) -> None:
    if not isinstance(anew, np.ndarray):
        raise InputError(f"{name} returned {type(anew).__name__}, not a NumPy array")
    if anew.dtype != np.uint8 or anew.shape != shape:
        raise InputError(f"{name} returned {anew.dtype} {anew.shape}; write a block of uint8 {shape}")
