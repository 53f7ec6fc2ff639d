"""Check that a network restores images, before anything is written."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from CEM_Demo.errors import InputError, brief
from CEM_Demo.images import UInt8Image
from CEM_Demo.user_code import place_of


def to_unit_range(values: Tensor) -> Tensor:
    """Turn 8-bit values into float32 in 0..1."""
    return values.to(torch.float32).div(255)


def check_network(
    net: nn.Module, degraded: UInt8Image, expected: tuple[int, int], device: torch.device, name: str
) -> None:
    """Restore one image (H x W x 3 uint8 RGB) to find out what is wrong with a network before anything is written.

    Raises:
        InputError: the network fails, or returns anything other than one RGB image of ``expected`` height and width.
    """
    image = to_unit_range(torch.from_numpy(degraded).to(device)).permute(2, 0, 1)[None]
    try:
        with torch.inference_mode():
            output = net.to(device).eval()(image)
    except InputError:
        raise
    except Exception as error:  # a network may raise anything
        height, width = degraded.shape[:2]
        reason = f"{type(error).__name__}: {brief(error)} ({place_of(error)})"
        raise InputError(f"{name} fails on an input of {width} x {height} pixels: {reason}") from error
    if not isinstance(output, Tensor):
        kind = type(output).__name__
        raise InputError(f"{name} returns a {kind}; its forward must return the restored image alone, one tensor")
    if not output.is_floating_point():
        raise InputError(f"{name} returns {output.dtype}; its forward must return floating point values in 0..1")
    if output.ndim != 4 or len(output) != 1:
        raise InputError(f"{name} returns {tuple(output.shape)} for {tuple(image.shape)}, not one image N x 3 x H x W")
    check_output(output[0], expected, name)


def check_output(output: Tensor, expected: tuple[int, int], name: str) -> None:
    """Raise InputError unless ``output`` is an RGB image of ``expected`` height and width without NaN."""
    found = tuple(output.shape)
    if found != (3, *expected):
        raise InputError(f"{name} returns {found}, not an RGB image of (3, {expected[0]}, {expected[1]}); check sr")
    if not torch.isfinite(output).all():
        raise InputError(f"{name} returns NaN or infinite values; check its checkpoint")
