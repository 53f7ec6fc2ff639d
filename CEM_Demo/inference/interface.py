"""The interface through which a run uses an inference engine."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from CEM_Demo.inference.roi_graph import Cost


class Inference(Protocol):
    """A network, one degraded image and one ROI, ready for interventions.

    ``kind`` is its name in the config's key ``inference``; ``predicted_cost`` is the mean work of an intervention by
    either inference, if it is known.
    """

    kind: str

    @property
    def predicted_cost(self) -> Cost | None: ...

    def baseline(self) -> Tensor:
        """Restore the untouched image: 3 x sH x sW float32, on the device."""
        ...

    def automatic_batch_size(self) -> int:
        """Choose how many interventions to restore at a time if the user does not say."""
        ...

    def memory_bytes(self, batch_size: int) -> int:
        """Estimate the most of the device's memory that restoring takes, apart from the network's weights."""
        ...

    def restore(self, corners: NDArray[np.int64], pixels: NDArray[np.uint8]) -> Tensor:
        """Restore the ROI for a batch of interventions.

        Args:
            corners: N x 2, row and column of the first pixel of the input that each intervention replaces.
            pixels: N x h x w x 3 uint8, what stands there instead: a block, or any rectangle. What overhangs the
                image is cut off.

        Returns:
            N x 3 x R x R float32, on the device.
        """
        ...
