"""Incremental inference: only what an intervention changes and the ROI needs is computed again."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.geometry import ROI, Grid
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.dense import to_unit_range
from CEM_Demo.inference.graph import export_graph
from CEM_Demo.inference.reach import Cost, cost_of, reach_of, work_windows
from CEM_Demo.inference.steps import Steps, Values, compile_steps, keep_baseline
from CEM_Demo.inference.windows import Box, Windows, block_windows

BATCH_SIZE = 512
# What a batch may read and write in one step: few enough for a CPU's caches, enough to keep a GPU busy.
BYTES_PER_STEP = {"cpu": 1 << 22, "cuda": 1 << 30, "mps": 1 << 28}


class IncrementalInference:
    """Restores the ROI of intervened images from the baseline's activations and the changes to them.

    The outputs equal those of dense inference to rounding. The network is exported at once, for its cost is worth
    knowing in advance, but run only when an output is asked for.
    """

    kind = "incremental"

    def __init__(self, net: nn.Module, degraded: UInt8Image, roi: ROI, block: int, device: torch.device) -> None:
        """``degraded`` is H x W x 3 uint8 RGB, ``roi`` in pixels of the output, ``block`` in pixels of the input.

        Raises:
            InputError: torch.export cannot flatten the network.
        """
        self.image = to_unit_range(torch.from_numpy(degraded).to(device)).permute(2, 0, 1)[None]
        self.grid = Grid(degraded.shape[0], degraded.shape[1], block, 1)
        self.device = device
        graph = export_graph(net.to(device).eval(), self.grid.height, self.grid.width, device)
        self.reach = reach_of(graph, Box(roi.top, roi.top + roi.side, roi.left, roi.left + roi.side))
        self._work = self._windows(np.argwhere(np.ones(self.grid.shape, dtype=bool)) * block)
        self._steps: dict[tuple[int, int], Steps] = {}
        self._output: Tensor | None = None
        self._kept: Values = []

    @property
    def predicted_cost(self) -> Cost:
        """Of a mean intervention over all blocks of the image."""
        return cost_of(self.reach, self._work)

    def baseline(self) -> Tensor:
        """See :meth:`Inference.baseline`."""
        if self._output is None:
            with torch.inference_mode():
                self._output, self._kept = keep_baseline(self.reach, self.image)
        return self._output[0].float()

    def automatic_batch_size(self) -> int:
        """See :meth:`Inference.automatic_batch_size`; draws on one block are best kept together."""
        return BATCH_SIZE

    def reaches(self, corners: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For N x 2 corners of blocks, whether they can change the ROI; the effect of the others is exactly zero."""
        places, members = np.unique(corners, axis=0, return_inverse=True)
        filled = [self._work_at(top, left)[self.reach.graph.output].filled for top, left in places.tolist()]
        return np.concatenate([*filled, np.zeros(0, dtype=bool)])[members.reshape(-1)]

    def restore(self, corners: NDArray[np.int64], blocks: NDArray[np.uint8]) -> Tensor:
        """See :meth:`Inference.restore`; blocks out of the ROI's reach give the baseline's ROI."""
        rows, columns = slice(*self.reach.roi[:2]), slice(*self.reach.roi[2:])
        restored = self.baseline()[:, rows, columns].repeat(len(corners), 1, 1, 1)
        places, members = np.unique(corners, axis=0, return_inverse=True)
        with torch.inference_mode():
            for number in np.flatnonzero(self.reaches(places)):
                chosen = np.flatnonzero(members.reshape(-1) == number)
                top, left = places[number].tolist()
                restored[torch.from_numpy(chosen).to(self.device)] = self._restore_block(top, left, blocks[chosen])
        return restored

    def _restore_block(self, top: int, left: int, blocks: NDArray[np.uint8]) -> Tensor:
        if (top, left) not in self._steps:
            self._steps[top, left] = compile_steps(self.reach, self._kept, self._work_at(top, left))
        steps = self._steps[top, left]
        height, width = steps.block.sides
        pixels = torch.from_numpy(np.ascontiguousarray(blocks[:, :height, :width])).to(self.device)
        pixels = to_unit_range(pixels).permute(0, 3, 1, 2)
        size = BYTES_PER_STEP[self.device.type] // steps.bytes if self.reach.batchable else 1
        return torch.cat([steps(part, self.reach.graph) for part in pixels.split(max(1, size))]).float()

    def _work_at(self, top: int, left: int) -> list[Windows]:
        """For each node, the window to be computed for the block with this corner."""
        (row, off_row), (column, off_column) = divmod(top, self.grid.block), divmod(left, self.grid.block)
        rows, columns = self.grid.shape
        if off_row or off_column or not (0 <= row < rows and 0 <= column < columns):
            return self._windows(np.array([[top, left]]))
        return [window.at(row * columns + column) for window in self._work]

    def _windows(self, corners: NDArray[np.int64]) -> list[Windows]:
        blocks = block_windows(corners, self.grid.block, (self.grid.height, self.grid.width))
        return work_windows(self.reach, blocks)
