"""Incremental inference: only what an intervention changes and the ROI needs is computed again."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

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
        self._graph = export_graph(net.to(device).eval(), self.grid.height, self.grid.width, device)
        self._look_at(roi)

    def at(self, roi: ROI) -> IncrementalInference:
        """The same network and image, ready for interventions on another ROI."""
        other = copy.copy(self)
        other._look_at(roi)
        return other

    def _look_at(self, roi: ROI) -> None:
        block = self.grid.block
        self.reach = reach_of(self._graph, Box(roi.top, roi.bottom, roi.left, roi.right))
        self._work = self._windows(np.argwhere(np.ones(self.grid.shape, dtype=bool)) * block)
        self._steps: dict[tuple[int, int], Steps] = {}
        self._output: Tensor | None = None
        self._kept: Values = []

    @property
    def reached_blocks(self) -> NDArray[np.bool_]:
        """For the blocks of the image, row by row, whether they can change the ROI."""
        return self._work[self.reach.graph.output].filled

    @property
    def predicted_cost(self) -> Cost:
        """Of a mean intervention over all blocks of the image."""
        return cost_of(self.reach, self._work)

    def work_per_block(self, corners: NDArray[np.int64]) -> NDArray[np.float64]:
        """Multiply-adds of one intervention on each of N blocks, by their N x 2 corners."""
        work = self._windows(corners)
        shares = zip(work, self.reach.graph.nodes, self.reach.multiply_adds, strict=True)
        return np.sum([window.areas * (count / math.prod(node.size)) for window, node, count in shares], axis=0)

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
        on_grid = self._numbers(corners)
        reached = self.reached_blocks[on_grid]
        off_grid = on_grid < 0
        if off_grid.any():
            reached[off_grid] = self._windows(corners[off_grid])[self.reach.graph.output].filled
        return reached

    def restore(self, corners: NDArray[np.int64], blocks: NDArray[np.uint8]) -> Tensor:
        """See :meth:`Inference.restore`; blocks out of the ROI's reach give the baseline's ROI."""
        rows, columns = slice(*self.reach.roi[:2]), slice(*self.reach.roi[2:])
        restored = self.baseline()[:, rows, columns].repeat(len(corners), 1, 1, 1)
        places, members = np.unique(corners, axis=0, return_inverse=True)
        parts: list[NDArray[np.int64]] = []
        for number in np.flatnonzero(self.reaches(places)):
            top, left = places[number].tolist()
            if (top, left) not in self._steps:
                with torch.inference_mode():
                    self._steps[top, left] = compile_steps(self.reach, self._kept, self._work_at(top, left))
            chosen = np.flatnonzero(members.reshape(-1) == number)
            size = self._most_at_once(self._steps[top, left])
            parts += [chosen[start : start + size] for start in range(0, len(chosen), size)]

        def restore_part(part: NDArray[np.int64]) -> Tensor:
            top, left = corners[part[0]].tolist()
            return self._restore_at_once(self._steps[top, left], blocks[part])

        for part, result in zip(parts, self._map(restore_part, parts), strict=True):
            restored[torch.from_numpy(part).to(self.device)] = result
        return restored

    def _most_at_once(self, steps: Steps) -> int:
        if not self.reach.batchable:
            return 1
        return max(1, BYTES_PER_STEP[self.device.type] // steps.bytes)

    def _restore_at_once(self, steps: Steps, blocks: NDArray[np.uint8]) -> Tensor:
        """The ROI for N draws, N x b x b x 3 uint8, on the block of ``steps``."""
        height, width = steps.block.sides
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(blocks[:, :height, :width])).to(self.device)
            return steps(to_unit_range(pixels).permute(0, 3, 1, 2), self.reach.graph).float()

    def _map(self, function: Callable[[NDArray[np.int64]], Tensor], parts: list[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Apply a function to all parts, on a CPU one part per core: windows are too small to be shared by cores."""
        workers = torch.get_num_threads() if self.device.type == "cpu" else 1
        if workers == 1 or len(parts) == 1:
            yield from map(function, parts)
            return
        # The number of threads that PyTorch uses is a matter of each thread; that of this one stays.
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(function, parts)

    def _work_at(self, top: int, left: int) -> list[Windows]:
        """For each node, the window to be computed for the block with this corner."""
        corner = np.array([[top, left]])
        number = int(self._numbers(corner)[0])
        return self._windows(corner) if number < 0 else [window.at(number) for window in self._work]

    def _numbers(self, corners: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which blocks of the grid, counted row by row, have these N x 2 corners; -1 for those off the grid."""
        places, off = np.divmod(corners, self.grid.block)
        on_grid = ((off == 0) & (places >= 0) & (places < self.grid.shape)).all(axis=1)
        return np.where(on_grid, places[:, 0] * self.grid.shape[1] + places[:, 1], -1)

    def _windows(self, corners: NDArray[np.int64]) -> list[Windows]:
        blocks = block_windows(corners, self.grid.block, (self.grid.height, self.grid.width))
        return work_windows(self.reach, blocks)
