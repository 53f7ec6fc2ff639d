"""Incremental inference: only what an intervention changes and the ROI needs is computed again."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.errors import InputError, brief
from CEM_Demo.geometry import ROI, Grid
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.baseline import rows_in_strip, run_in_strips, run_whole
from CEM_Demo.inference.checks import to_unit_range
from CEM_Demo.inference.feature_maps import on_feature_maps
from CEM_Demo.inference.graph import Graph, export_graph
from CEM_Demo.inference.network_memory import Halving, forward_bytes, is_out_of_memory, no_memory
from CEM_Demo.inference.roi_graph import (
    RoiGraph,
    Survey,
    cost_of,
    from_another_roi,
    graph_from_roi,
    survey,
    work_windows,
)
from CEM_Demo.inference.window_steps import Steps, Values, compile_steps
from CEM_Demo.inference.windows import Window, Windows, block_windows

BATCH_SIZE = 512
# The memory that the restored ROIs of a batch may take; ROIs of more than 64 pixels get smaller batches.
ROIS_BYTES = BATCH_SIZE * 4 * 3 * 64**2
# How much a batch may read and write in one step: it fits a CPU's caches, or keeps a GPU busy.
BYTES_PER_STEP = {"cpu": 1 << 22, "cuda": 1 << 30, "mps": 1 << 28}
# How many steps of blocks are held ready for more draws; each takes about 2 KiB.
MOST_STEPS = 20_000
# How far the order of additions may move a value, relative to the largest one.
TRACED_OTHERWISE = 1e-3
# The memory that the untouched image may take at once; a larger one goes in strips of half as much.
BASELINE_BYTES = {"cpu": 1 << 30, "cuda": 1 << 34, "mps": 1 << 32}
# How many tensors of the largest size are alive at a time: a step's input, the window of it, and its output.
ALIVE_AT_A_TIME = 3


class IncrementalInference:
    """Restores the ROI of intervened images from the baseline's activations and the changes to them.

    The outputs equal those of dense inference to rounding. The network is exported at once, since its cost must be
    known in advance, but it is run only when an output is asked for.
    """

    kind = "incremental"

    def __init__(self, net: nn.Module, degraded: UInt8Image, roi: ROI, block: int, device: torch.device) -> None:
        """Take ``degraded``, H x W x 3 uint8 RGB, ``roi`` in pixels of the output and ``block`` in pixels of the input.

        Raises:
            InputError: torch.export cannot flatten the network.
        """
        self.image = to_unit_range(torch.from_numpy(degraded).to(device)).permute(2, 0, 1)[None]
        self.grid = Grid(degraded.shape[0], degraded.shape[1], block, 1)
        self.device = device
        graph = on_feature_maps(export_graph(net.to(device).eval(), self.grid.height, self.grid.width, device))
        self._net = net
        self._look_at(graph_from_roi(graph, _box(roi)))

    def at(self, roi: ROI) -> IncrementalInference:
        """Prepare the same network and image for interventions on another ROI."""
        other = copy.copy(self)
        other._look_at(from_another_roi(self.roi_graph, _box(roi)))
        return other

    def with_graph(self, graph: Graph) -> IncrementalInference:
        """Prepare the same ROI of the same image for interventions on another graph, which restores it alike."""
        other = copy.copy(self)
        other._look_at(graph_from_roi(graph, self.roi_graph.roi))
        return other

    def _look_at(self, roi_graph: RoiGraph) -> None:
        self.roi_graph = roi_graph
        corners = np.argwhere(np.ones(self.grid.shape, dtype=bool)) * self.grid.block
        self._survey = self._survey_of(corners, self._block_sides)
        self.predicted_cost = cost_of(roi_graph, self._survey)
        # The keys are top, left, height and width of what an intervention replaces.
        self._steps: dict[tuple[int, int, int, int], Steps] = {}
        self._output: Tensor | None = None
        self._kept: Values = []
        self._halving = Halving(self.device)

    @property
    def reached_blocks(self) -> NDArray[np.bool_]:
        """Whether each block of the image, row by row, can change the ROI."""
        return self._survey.reached

    @cached_property
    def _forward_bytes(self) -> int:
        return forward_bytes(self._net, self.grid.height, self.grid.width)

    def work_per_block(self, corners: NDArray[np.int64]) -> NDArray[np.float64]:
        """Count the multiply-adds of one intervention on each of N blocks, given their N x 2 corners."""
        work = work_windows(self.roi_graph, self._windows(corners, self._block_sides))
        shares = zip(work, self.roi_graph.graph.nodes, self.roi_graph.multiply_adds, strict=True)
        return np.sum([window.areas * (count / math.prod(node.size)) for window, node, count in shares], axis=0)

    def baseline(self) -> Tensor:
        """See :meth:`Inference.baseline`."""
        if self._output is None:
            with torch.inference_mode():
                self._output, self._kept = self._run_baseline()
                if not self._in_strips:
                    self._check(self._output)
        return self._output[0].float()

    def _check(self, output: Tensor) -> None:
        """Raise InputError if the operators give another image than the network that they were traced from."""
        expected = self._net(self.image)
        if (output - expected).abs().max() > TRACED_OTHERWISE * max(1.0, float(expected.abs().max())):
            raise InputError(
                f"torch.export does not trace {type(self._net).__name__} faithfully: what it computes depends on the "
                "image in other ways than by tensors; set inference: dense"
            )

    def _run_baseline(self) -> tuple[Tensor, Values]:
        if not self._in_strips:
            try:
                return run_whole(self.roi_graph, self.image)
            except Exception as error:  # an operator may raise anything
                if not isinstance(error, RuntimeError) or not is_out_of_memory(error):
                    raise _failed(self._net, error) from error
            if not self.roi_graph.is_local:
                raise no_memory(self.device)
            self._halving.give_way()
        strips = Halving(self.device, rows_in_strip(self.roi_graph, self._strip_bytes / self._forward_bytes))
        return run_in_strips(self.roi_graph, self.image, strips)

    @property
    def _in_strips(self) -> bool:
        return self.roi_graph.is_local and self._forward_bytes > BASELINE_BYTES[self.device.type]

    @property
    def _strip_bytes(self) -> int:
        return min(self._forward_bytes, BASELINE_BYTES[self.device.type]) // 2

    def automatic_batch_size(self) -> int:
        """See :meth:`Inference.automatic_batch_size`; draws on one block are best kept together."""
        return max(1, min(BATCH_SIZE, ROIS_BYTES // self._roi_bytes))

    @property
    def _roi_bytes(self) -> int:
        return 4 * 3 * math.prod(self.roi_graph.roi.sides)

    def memory_bytes(self, batch_size: int) -> int:
        """See :meth:`Inference.memory_bytes`."""
        baseline = self._forward_bytes
        if self._in_strips:
            cone = self.roi_graph.needed[self.roi_graph.graph.image].areas[0] / (self.grid.height * self.grid.width)
            baseline = max(self._strip_bytes, int(cone * self._forward_bytes))
        part = ALIVE_AT_A_TIME * max(BYTES_PER_STEP[self.device.type], self._survey.largest_bytes)
        restoring = self._workers * part + 2 * batch_size * self._roi_bytes
        output = 4 * math.prod(self.roi_graph.graph.nodes[self.roi_graph.graph.output].shape or ())
        return output + self.predicted_cost.kept_bytes + max(baseline, restoring)

    def reaches(self, corners: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say for N x 2 corners of blocks whether they can change the ROI; the others have no effect at all."""
        on_grid = self._numbers(corners)
        reached = self._survey.reached[on_grid]
        off_grid = on_grid < 0
        if off_grid.any():
            reached[off_grid] = self._survey_of(corners[off_grid], self._block_sides).reached
        return reached

    def restore(self, corners: NDArray[np.int64], pixels: NDArray[np.uint8]) -> Tensor:
        """See :meth:`Inference.restore`; blocks out of the ROI's reach give the baseline's ROI.

        A part too large for the memory is halved until it fits.
        """
        rows, columns = slice(*self.roi_graph.roi[:2]), slice(*self.roi_graph.roi[2:])
        restored = self.baseline()[:, rows, columns].repeat(len(corners), 1, 1, 1)
        sides = (pixels.shape[1], pixels.shape[2])
        places, members = np.unique(corners, axis=0, return_inverse=True)
        within = self.reaches(places) if sides == self._block_sides else self._survey_of(places, sides).reached
        reached = np.flatnonzero(within)

        def restore_part(part: NDArray[np.int64]) -> Tensor:
            top, left = corners[part[0]].tolist()
            steps = self._steps[(top, left, *sides)]
            return torch.cat(self._halving(lambda some: self._restore_at_once(steps, pixels[part[some]]), len(part)))

        at_once = max(1, MOST_STEPS // len(self.roi_graph.graph.nodes))
        for start in range(0, len(reached), at_once):
            numbers = reached[start : start + at_once]
            self._make_ready(places[numbers], sides)
            parts: list[NDArray[np.int64]] = []
            for number in numbers:
                top, left = places[number].tolist()
                chosen = np.flatnonzero(members.reshape(-1) == number)
                size = self._most_at_once(self._steps[(top, left, *sides)])
                parts += [chosen[begin : begin + size] for begin in range(0, len(chosen), size)]
            for part, result in zip(parts, self._map(restore_part, parts), strict=True):
                restored[torch.from_numpy(part).to(self.device)] = result
        return restored

    def _make_ready(self, corners: NDArray[np.int64], sides: tuple[int, int]) -> None:
        """Compile the steps of the blocks at these corners, and forget those of other blocks if there are too many."""
        places = [(top, left, *sides) for top, left in corners.tolist()]
        missing = [place for place in places if place not in self._steps]
        held = sum(len(steps.steps) for steps in self._steps.values())
        if held + len(missing) * len(self.roi_graph.graph.nodes) > MOST_STEPS:
            self._steps = {place: self._steps[place] for place in places if place in self._steps}
        if not missing:
            return
        work = work_windows(self.roi_graph, self._windows(np.array(missing)[:, :2], sides))
        with torch.inference_mode():
            for number, place in enumerate(missing):
                self._steps[place] = compile_steps(self.roi_graph, self._kept, [window.at(number) for window in work])

    def _most_at_once(self, steps: Steps) -> int:
        if not self.roi_graph.batchable:
            return 1
        return max(1, BYTES_PER_STEP[self.device.type] // steps.bytes)

    def _restore_at_once(self, steps: Steps, pixels: NDArray[np.uint8]) -> Tensor:
        """Restore the ROI for N draws, N x h x w x 3 uint8, on the block of ``steps``."""
        height, width = steps.block.sides
        with torch.inference_mode():
            inside = torch.from_numpy(np.ascontiguousarray(pixels[:, :height, :width])).to(self.device)
            try:
                return steps(to_unit_range(inside).permute(0, 3, 1, 2), self.roi_graph.graph).float()
            except Exception as error:  # an operator may raise anything
                if isinstance(error, RuntimeError) and is_out_of_memory(error):
                    raise
                raise _failed(self._net, error) from error

    @property
    def _workers(self) -> int:
        return torch.get_num_threads() if self.device.type == "cpu" else 1

    def _map(self, function: Callable[[NDArray[np.int64]], Tensor], parts: list[NDArray[np.int64]]) -> Iterator[Tensor]:
        """Apply a function to all parts; on a CPU each core takes a part, since windows are too small to share."""
        workers = self._workers
        if workers == 1 or len(parts) == 1:
            yield from map(function, parts)
            return
        # PyTorch keeps the number of its threads per thread; that of this thread stays.
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(function, parts)

    def _numbers(self, corners: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the numbers of the grid's blocks, row by row, at these N x 2 corners; -1 for corners off the grid."""
        places, off = np.divmod(corners, self.grid.block)
        on_grid = ((off == 0) & (places >= 0) & (places < self.grid.shape)).all(axis=1)
        return np.where(on_grid, places[:, 0] * self.grid.shape[1] + places[:, 1], -1)

    @property
    def _block_sides(self) -> tuple[int, int]:
        return self.grid.block, self.grid.block

    def _survey_of(self, corners: NDArray[np.int64], sides: tuple[int, int]) -> Survey:
        return survey(self.roi_graph, self._windows(corners, sides))

    def _windows(self, corners: NDArray[np.int64], sides: tuple[int, int]) -> Windows:
        return block_windows(corners, sides, (self.grid.height, self.grid.width))


def _failed(net: nn.Module, error: Exception) -> InputError:
    """Make the error for an operator that runs within the network, but not on windows."""
    return InputError(f"incremental inference fails on {type(net).__name__}: {brief(error)}; set inference: dense")


def _box(roi: ROI) -> Window:
    return Window(roi.top, roi.bottom, roi.left, roi.right)
