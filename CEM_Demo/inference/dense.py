"""Dense inference: every intervened image goes through the whole network."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.checks import to_unit_range
from CEM_Demo.inference.network_memory import Halving, forward_bytes
from CEM_Demo.inference.roi_graph import Cost

CPU_MEMORY = 1 << 27  # small batches stay in the caches
SHARE_OF_GPU = 4  # of all its memory, not of what is free now, so that the same run takes the same batches
LARGEST_BATCH = {"cpu": 16, "cuda": 512, "mps": 64}


class DenseInference:
    """Restores batches of intervened images and keeps their ROI."""

    kind = "dense"

    def __init__(
        self,
        net: nn.Module,
        degraded: UInt8Image,
        roi: ROI,
        device: torch.device,
        predicted_cost: Cost | None = None,
    ) -> None:
        """Take ``degraded``, H x W x 3 uint8 RGB, and ``roi`` in pixels of the output."""
        self.net = net.to(device).eval()
        self.image = to_unit_range(torch.from_numpy(degraded).to(device)).permute(2, 0, 1)
        self.roi = roi
        self.device = device
        self.predicted_cost = predicted_cost
        self._halving = Halving(device)

    @cached_property
    def _forward_bytes(self) -> int:
        height, width = self.image.shape[-2:]
        return forward_bytes(self.net, height, width)

    def baseline(self) -> Tensor:
        """See :meth:`Inference.baseline`."""
        with torch.inference_mode():
            (output,) = self._halving(lambda _: self.net(self.image[None]), 1)
            return output[0].float()

    def automatic_batch_size(self) -> int:
        """See :meth:`Inference.automatic_batch_size`: as many images as easily fit into the device's memory."""
        memory = CPU_MEMORY
        if self.device.type == "cuda":
            memory = torch.cuda.get_device_properties(self.device).total_memory // SHARE_OF_GPU
        return max(1, min(LARGEST_BATCH[self.device.type], memory // max(1, self._forward_bytes)))

    def memory_bytes(self, batch_size: int) -> int:
        """See :meth:`Inference.memory_bytes`."""
        # Every image is pasted into a larger copy, and then copied to where the network reads it.
        return batch_size * (self._forward_bytes + 4 * self.image.numel())

    def restore(self, corners: NDArray[np.int64], pixels: NDArray[np.uint8]) -> Tensor:
        """See :meth:`Inference.restore`; a batch too large for the memory is halved until it fits."""
        return torch.cat(self._halving(lambda part: self._restore_at_once(corners[part], pixels[part]), len(corners)))

    def _restore_at_once(self, corners: NDArray[np.int64], pixels: NDArray[np.uint8]) -> Tensor:
        with torch.inference_mode():
            inputs = paste(self.image, torch.from_numpy(corners), torch.from_numpy(pixels))
            return self.net(inputs)[(..., *self.roi.window)].float()


def paste(image: Tensor, corners: Tensor, pixels: Tensor) -> Tensor:
    """Copy ``image`` N times on its device, each time with one rectangle replaced.

    Args:
        image: 3 x H x W float32 in 0..1.
        corners: N x 2 int64, row and column of the top left pixels.
        pixels: N x h x w x 3 uint8; what overhangs the image is cut off.

    Returns:
        N x 3 x H x W float32 in 0..1.
    """
    count, tall, wide = pixels.shape[:3]
    height, width = image.shape[-2:]
    overhanging = image.new_empty(count, image.shape[0], height + tall, width + wide)
    overhanging[..., :height, :width] = image
    corners = corners.to(image.device)
    rows = corners[:, 0, None, None] + torch.arange(tall, device=image.device)[:, None]
    columns = corners[:, 1, None, None] + torch.arange(wide, device=image.device)
    numbers = torch.arange(count, device=image.device)[:, None, None]
    overhanging[numbers, :, rows, columns] = to_unit_range(pixels.to(image.device))
    return overhanging[..., :height, :width].contiguous()
