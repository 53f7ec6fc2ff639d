"""What an unknown network takes and gives, found by running it on small images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from CEM_Demo.errors import InputError
from CEM_Demo.ModelZoo.registry import SizeRequirement

# Between them, multiples of all that networks usually ask for: powers of two, windows of 3, 5, 6, 7, 12 pixels.
SIDES = (64, 48, 60, 56, 128, 256)
# Restored images stay near 0..1, and untrained networks within a few units; 0..255 goes far beyond.
LARGEST_VALUE = 20.0


@dataclass(frozen=True)
class Facts:
    """What a network is like.

    Attributes:
        channels: of the images that it takes and gives: 3, or 1 for a grey one.
        scale: output side over input side.
        size: the sides of input images that it accepts.
    """

    channels: int
    scale: int
    size: SizeRequirement


class PerChannel(nn.Module):
    """A grey network applied to red, green and blue alike."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        count, channels, height, width = image.shape
        restored = self.net(image.reshape(count * channels, 1, height, width))
        return restored.reshape(count, channels, *restored.shape[-2:])


def probe(net: nn.Module) -> Facts:
    """Find out what a network takes and gives; it is in evaluation mode, on the CPU.

    Raises:
        InputError: it gives no image of a whole multiple of the input's size in about 0..1, or accepts one size only.
        Exception: whatever the network raises where no image can be restored.
    """
    channels, side, output = _first_output(net)
    scale = check_image(output, channels, side)
    if _run(net, channels, side, side, count=2).shape != (2, *output.shape[1:]):
        raise InputError("it restores one image at a time; let it take a batch, N x C x H x W")

    def accepts(height: int, width: int) -> bool:
        try:
            restored = _run(net, channels, height, width)
        except Exception:
            return False
        return restored.shape == (1, channels, height * scale, width * scale) and bool(restored.isfinite().all())

    return Facts(channels, scale, find_size(accepts, side))


def check_image(output: object, channels: int, side: int) -> int:
    """The scale of a network, from what it gives for an image of ``side`` x ``side`` pixels.

    Raises:
        InputError: that is no image in about 0..1.
    """
    if not isinstance(output, Tensor):
        raise InputError(
            f"it returns a {type(output).__name__}, not an image; name the image's key or number as output"
        )
    if not output.is_floating_point():
        raise InputError(f"it returns {output.dtype}; return floating-point values in 0..1")
    height, width = output.shape[-2:] if output.ndim == 4 else (0, 0)
    if output.shape[:2] != (1, channels) or height != width or height % side or not height:
        raise InputError(
            f"it returns {tuple(output.shape)} for an image of {(1, channels, side, side)}; "
            "height and width should be 1, 2, 3 ... times as large"
        )
    largest = output.abs().max().item()
    if not output.isfinite().all():
        raise InputError("it returns NaN or infinite values; check its weights")
    if largest > LARGEST_VALUE:
        raise InputError(
            f"it returns values up to {largest:.0f} for an image in 0..1; where it works on 0..255, "
            "multiply its input and divide its output by 255"
        )
    return height // side


def _first_output(net: nn.Module) -> tuple[int, int, Tensor]:
    """The channels and side of an image that the network takes, and what it gives for that."""
    failure: Exception | None = None
    for channels in (3, 1):
        for side in SIDES:
            try:
                return channels, side, _run(net, channels, side, side)
            except InputError:
                raise
            except Exception as error:
                failure = failure or error
    assert failure is not None
    raise failure


def find_size(accepts: Callable[[int, int], bool], side: int) -> SizeRequirement:
    """The sides that a network accepts, given one of them: the smallest multiple and the smallest of its multiples.

    Raises:
        InputError: it accepts this one side only, or square images only.
    """
    steps = [step for step in range(1, side + 1) if side % step == 0]
    multiple = next((step for step in steps if accepts(side + step, side + step)), None)
    if multiple is None:
        raise InputError(f"it takes images of {side} x {side} pixels only; it must take images of any larger size")
    if not accepts(side, side + multiple):
        raise InputError("it takes square images only; it must take images of any height and width")
    low, high = 1, side // multiple
    while low < high:
        middle = (low + high) // 2
        if accepts(middle * multiple, middle * multiple):
            high = middle
        else:
            low = middle + 1
    return SizeRequirement(multiple, high * multiple)


def _run(net: nn.Module, channels: int, height: int, width: int, count: int = 1) -> Tensor:
    """The output for ``count`` images of waves in 0..1."""
    rows = torch.arange(height)[:, None] / 5.0
    columns = torch.arange(width) / 7.0
    phases = torch.arange(channels)[:, None, None]
    with torch.inference_mode():
        image = 0.5 + 0.4 * torch.sin(rows + phases) * torch.cos(columns - phases)
        return net(image.repeat(count, 1, 1, 1))
