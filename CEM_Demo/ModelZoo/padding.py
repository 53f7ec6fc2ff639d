"""Let a network that needs aligned sizes take any image: pad before it, crop after it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.errors import InputError
from CEM_Demo.ModelZoo.registry import SizeRequirement


def padded_side(side: int, size: SizeRequirement) -> int:
    """Find the smallest accepted side (pixels) that holds ``side``."""
    return -(-max(side, size.minimum) // size.multiple) * size.multiple


def padded_sides(height: int, width: int, size: SizeRequirement) -> tuple[int, int]:
    """Find the smallest accepted height and width (pixels) that hold an image.

    Raises:
        InputError: the image is larger than the network accepts.
    """
    if size.maximum is not None and max(height, width) > size.maximum:
        raise InputError(
            f"the network takes images of {size.maximum} x {size.maximum} pixels at most, not {width} x {height}; "
            "take a smaller image"
        )
    sides = padded_side(height, size), padded_side(width, size)
    return (max(sides), max(sides)) if size.square else sides


def reflect_pad(image: Tensor, height: int, width: int) -> Tensor:
    """Extend N x C x H x W at the bottom and right to ``height`` x ``width`` by mirroring.

    A side shorter than its padding is mirrored again and again; a side of one pixel is repeated.
    """
    while image.shape[-2] < height or image.shape[-1] < width:
        bottom = min(height - image.shape[-2], max(image.shape[-2] - 1, 1))
        right = min(width - image.shape[-1], max(image.shape[-1] - 1, 1))
        mirrors = image.shape[-2] > bottom and image.shape[-1] > right
        image = F.pad(image, (0, right, 0, bottom), mode="reflect" if mirrors else "replicate")
    return image


class _AnySize(nn.Module):
    """A mixin before a network's class that pads its input and crops its output."""

    required_size: SizeRequirement

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        padded = reflect_pad(image, *padded_sides(height, width, self.required_size))
        restored = super().forward(padded)
        scale = restored.shape[-2] // padded.shape[-2]
        return restored[..., : height * scale, : width * scale]


def accept_any_size(net: nn.Module, size: SizeRequirement) -> nn.Module:
    """Make ``net`` take images of any size; its state dict stays the published one.

    The class is extended rather than the network wrapped, since a wrapper would prefix every key.
    """
    if size != SizeRequirement():
        kind = type(net)
        net.__class__ = type(kind.__name__, (_AnySize, kind), {"required_size": size})
    return net
