"""What every task makes of an image: its ground truth, its degraded input, and how a patch gets into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.images import UInt8Image

DegradePatches = Callable[[NDArray[np.uint8], NDArray[np.integer], NDArray[np.uint64]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Scene:
    """One image as a task poses it to a network.

    Attributes:
        ground_truth: sH x sW x 3 uint8 RGB, what the network should restore.
        degraded: H x W x 3 uint8 RGB, the network's input.
        scale: s, side of the ground truth over side of the input.
        degrade_patches: (patches N x b x b x 3 uint8 already at the input's resolution, corners N x 2 of the
            blocks' rows and columns in input pixels, noise seeds N uint64) -> blocks N x b x b x 3 uint8 as
            they stand in the intervened input. Replacing the block of ``degraded`` by it is the intervention.
        provenance: what decides the above besides the image and the config, as plain values for the manifest.
        pasted_clean: whether patches enter the clean image and are degraded with it, depending on their place.
        degrade_alike: degrades an edited copy of the ground truth (both H x W x 3 uint8) with the very noise or rain
            of ``degraded``; None where there is no such thing, and edits are made on ``degraded`` itself.
    """

    ground_truth: UInt8Image
    degraded: UInt8Image
    scale: int
    degrade_patches: DegradePatches
    provenance: dict[str, Any] = field(default_factory=dict)
    pasted_clean: bool = False
    degrade_alike: Callable[[UInt8Image], UInt8Image] | None = None

    @property
    def editable(self) -> UInt8Image:
        """The image that edits of its blocks start from, H x W x 3: clean where the degradation can be repeated."""
        return self.degraded if self.degrade_alike is None else self.ground_truth

    def with_edit(self, edited: UInt8Image) -> UInt8Image:
        """The network's input made of an edited copy of ``editable``; without an edit, it is ``degraded``."""
        return edited if self.degrade_alike is None else self.degrade_alike(edited)


def keep_patches(
    patches: NDArray[np.uint8], corners: NDArray[np.integer], noise_seeds: NDArray[np.uint64]
) -> NDArray[np.uint8]:
    """Let patches enter the input as they are."""
    return patches
