"""What the conductor of the effects asks of an inference engine."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from CEM_Demo.inference.reach import Cost


class Inference(Protocol):
    """A network, one degraded image and one ROI, ready for interventions.

    ``kind`` is what the config's key ``inference`` calls it; ``predicted_cost`` the work of a mean intervention by
    either inference, where it is known.
    """

    kind: str

    @property
    def predicted_cost(self) -> Cost | None: ...

    def baseline(self) -> Tensor:
        """The output for the untouched image: 3 x sH x sW float32, on the device."""
        ...

    def automatic_batch_size(self) -> int:
        """How many interventions to restore at a time, if the user does not say."""
        ...

    def memory_bytes(self, batch_size: int) -> int:
        """About how much of the device's memory restoring takes at most, the network's weights aside."""
        ...

    def reaches(self, corners: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For N x 2 corners of blocks, False where the effect is known to be exactly zero."""
        ...

    def restore(self, corners: NDArray[np.int64], pixels: NDArray[np.uint8]) -> Tensor:
        """Restore the ROI for a batch of interventions.

        Args:
            corners: N x 2, row and column of the top left pixel in the input that each replaces.
            pixels: N x h x w x 3 uint8, what stands there instead: of one block, or of any rectangle. What overhangs
                the image is cut.

        Returns:
            N x 3 x R x R float32, on the device.
        """
        ...
