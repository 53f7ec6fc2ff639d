"""Dense inference: every intervened image goes through the whole network."""

from __future__ import annotations

import traceback
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image

CPU_MEMORY = 1 << 27  # small batches stay in the caches
LARGEST_BATCH = {"cpu": 16, "cuda": 512, "mps": 64}


class DenseInference:
    """Restores batches of intervened images and keeps their ROI."""

    kind = "dense"

    def __init__(self, net: nn.Module, degraded: UInt8Image, roi: ROI, device: torch.device) -> None:
        """``degraded`` is H x W x 3 uint8 RGB, ``roi`` in pixels of the output."""
        self.net = net.to(device).eval()
        self.image = to_unit_range(torch.from_numpy(degraded).to(device)).permute(2, 0, 1)
        self.roi = roi
        self.device = device

    def baseline(self) -> Tensor:
        """See :meth:`Inference.baseline`."""
        with torch.inference_mode():
            return self.net(self.image[None])[0].float()

    def automatic_batch_size(self) -> int:
        """See :meth:`Inference.automatic_batch_size`."""
        height, width = self.image.shape[-2:]
        return fitting_batch_size(self.net, height, width, self.device)

    def reaches(self, corners: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See :meth:`Inference.reaches`; dense inference knows of no bounds."""
        return np.ones(len(corners), dtype=bool)

    def restore(self, corners: NDArray[np.int64], blocks: NDArray[np.uint8]) -> Tensor:
        """See :meth:`Inference.restore`; a batch too large for the memory is halved until it fits."""
        outputs: list[Tensor] = []
        done, size = 0, len(corners)
        while done < len(corners):
            part = slice(done, done + size)
            try:
                outputs.append(self._restore_at_once(corners[part], blocks[part]))
                done += size
                continue
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error) or size == 1:
                    raise
            # Outside the handler, which would keep the failed batch's tensors alive.
            size = (size + 1) // 2
            warnings.warn(f"out of memory on {self.device}: going on with batches of {size}", stacklevel=2)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return torch.cat(outputs)

    def _restore_at_once(self, corners: NDArray[np.int64], blocks: NDArray[np.uint8]) -> Tensor:
        with torch.inference_mode():
            inputs = paste(self.image, torch.from_numpy(corners), torch.from_numpy(blocks))
            return self.net(inputs)[(..., *self.roi.window)].float()


def paste(image: Tensor, corners: Tensor, blocks: Tensor) -> Tensor:
    """Copies of ``image``, each with one block replaced, built on the image's device.

    Args:
        image: 3 x H x W float32 in 0..1.
        corners: N x 2 int64, row and column of the blocks' top left pixels.
        blocks: N x b x b x 3 uint8; what overhangs the image is cut.

    Returns:
        N x 3 x H x W float32 in 0..1.
    """
    count, side = blocks.shape[:2]
    height, width = image.shape[-2:]
    overhanging = image.new_empty(count, image.shape[0], height + side, width + side)
    overhanging[..., :height, :width] = image
    within = torch.arange(side, device=image.device)
    corners = corners.to(image.device)
    rows = corners[:, 0, None, None] + within[:, None]
    columns = corners[:, 1, None, None] + within
    numbers = torch.arange(count, device=image.device)[:, None, None]
    overhanging[numbers, :, rows, columns] = to_unit_range(blocks.to(image.device))
    return overhanging[..., :height, :width].contiguous()


def activation_bytes(net: nn.Module, height: int, width: int) -> int:
    """About how much memory one image of ``height`` x ``width`` takes on its way through ``net``.

    Found without computing: the largest input and output of any layer, thrice for what skips hold alive.
    """
    largest = 0

    def note(_: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal largest
        held = [value for value in (*inputs, output) if isinstance(value, Tensor)]
        largest = max(largest, sum(value.numel() * value.element_size() for value in held))

    hooks = [layer.register_forward_hook(note) for layer in net.modules() if not list(layer.children())]
    try:
        with torch.inference_mode(), torch.device("meta"):
            weights = {key: value.to("meta") for key, value in (*net.named_parameters(), *net.named_buffers())}
            torch.func.functional_call(net, weights, (torch.empty(1, 3, height, width),))
    finally:
        for hook in hooks:
            hook.remove()
    return 3 * largest


def fitting_batch_size(net: nn.Module, height: int, width: int, device: torch.device) -> int:
    """As many images of ``height`` x ``width`` as fit well into the device's free memory."""
    memory = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else CPU_MEMORY
    fitting = memory // max(1, activation_bytes(net, height, width))
    return max(1, min(LARGEST_BATCH[device.type], int(fitting)))


def check_network(
    net: nn.Module, degraded: UInt8Image, expected: tuple[int, int], device: torch.device, name: str
) -> None:
    """Restore one image (H x W x 3 uint8 RGB), to find what is wrong with a network before anything is written.

    Raises:
        InputError: the network fails, or returns anything else than one RGB image of ``expected`` height and width.
    """
    image = to_unit_range(torch.from_numpy(degraded).to(device)).permute(2, 0, 1)[None]
    try:
        with torch.inference_mode():
            output = net.to(device).eval()(image)
    except Exception as error:  # a network is anybody's code
        height, width = degraded.shape[:2]
        reason = f"{type(error).__name__}: {error} ({_place(error)})"
        raise InputError(f"{name} fails on an input of {width} x {height} pixels: {reason}") from error
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise InputError(f"{name} returns a {kind}; its forward must return the restored image alone, one tensor")
    if not output.is_floating_point():
        raise InputError(f"{name} returns {output.dtype}; its forward must return floating point values in 0..1")
    if output.ndim != 4 or len(output) != 1:
        raise InputError(f"{name} returns {tuple(output.shape)} for {tuple(image.shape)}, not one image N x 3 x H x W")
    check_output(output[0], expected, name)


def _place(error: Exception) -> str:
    """The line that raised ``error``, or called the part of PyTorch that did."""
    library = str(Path(torch.__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((frame for frame in reversed(frames) if not frame.filename.startswith(library)), frames[-1])
    return f"{Path(frame.filename).name}, line {frame.lineno}"


def check_output(output: Tensor, expected: tuple[int, int], name: str) -> None:
    """Raises InputError unless ``output`` is an RGB image of ``expected`` height and width, free of NaN."""
    found = tuple(output.shape)
    if found != (3, *expected):
        raise InputError(f"{name} returns {found}, not an RGB image of (3, {expected[0]}, {expected[1]}); check sr")
    if not torch.isfinite(output).all():
        raise InputError(f"{name} returns NaN or infinite values; check its checkpoint")


def to_unit_range(values: Tensor) -> Tensor:
    """From 8 bits to 0..1, float32."""
    return values.to(torch.float32).div(255)


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
