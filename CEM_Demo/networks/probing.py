"""Find out what an unknown network takes and gives, by running it on small images."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.errors import InputError
from CEM_Demo.ModelZoo.registry import SizeRequirement
from CEM_Demo.networks.adapting import ImageOutput, OnRange
from CEM_Demo.networks.randomness import seeded

# Among the first of these sides is a multiple of all that networks usually ask for: powers of two, and windows of 3, 5,
# 6, 7 or 12 pixels. The others are sides of networks that take images of one size only.
SIDES = (64, 48, 60, 56, 128, 256, 96, 32, 192, 224, 512)
# The smallest side (pixels) of an image on which a stated size requirement is tried.
TRIAL_SIDE = 48
# Restored images stay near 0..1, and untrained networks within a few units; 0..255 goes far beyond.
LARGEST_VALUE = 20.0
# Root mean squared errors (of 1) of a smooth image; on its own range of values, any network gives it back.
NEAR, FAR = 0.02, 0.06
# How far the order of additions may move a value, relative to the largest one.
ROUNDING = 1e-4


class Range(NamedTuple):
    """The range of the values of images."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


UNIT = Range(0, 1)
RANGES = (Range(0, 255), Range(-1, 1))


@dataclass(frozen=True)
class Facts:
    """What is known about a network.

    Attributes:
        channels: channels of the images that it takes and gives: 3, or 1 if it is gray.
        scale: output side over input side.
        size: the sides of input images that it accepts.
        values: range of the images that it takes and gives.
        likely_values: the range that it may be meant for, if that is another one.
        one_by_one: whether it must get the images of a batch one at a time.
        draws: whether it draws random numbers.
        single_precision: whether its weights, of another precision, must be turned into float32.
    """

    channels: int
    scale: int
    size: SizeRequirement
    values: Range = UNIT
    likely_values: Range | None = None
    one_by_one: bool = False
    draws: bool = False
    single_precision: bool = False


def examine(net: nn.Module) -> Facts:
    """Find out what a network takes and gives, on the CPU; in float32 or on a GPU if it runs only there.

    Raises:
        InputError: it gives no image of a whole multiple of the input's size, or keeps something from pass to pass.
        Exception: no image can be restored; it is the network's own exception.
    """
    try:
        return probe(net)
    except InputError:
        raise
    except Exception:
        if any(weight.is_floating_point() and weight.dtype != torch.float32 for weight in net.parameters()):
            return replace(probe(copy_in_single_precision(net)), single_precision=True)
        if not torch.cuda.is_available():
            raise
    return probe(net.to("cuda"))


def copy_in_single_precision(net: nn.Module) -> nn.Module:
    """Copy a network with float32 weights; the network itself may be in use elsewhere."""
    return copy.deepcopy(net).float()


def probe(net: nn.Module, size: SizeRequirement | None = None) -> Facts:
    """Find out what a network, which is in evaluation mode, takes and gives.

    Args:
        size: the sides that a library says its network accepts, which works on 0..1; if a trial fails, they are
            found anew.

    Raises:
        InputError: it gives no image of a whole multiple of the input's size, or keeps something from pass to pass.
        Exception: no image can be restored; it is the network's own exception.
    """
    channels, side, output = _first_output(net, [_trial_sides(size)[0][0], *SIDES] if size else SIDES)
    try:
        scale = check_image(output, channels, side)
    except InputError as error:
        raise InputError(f"{error}{_other_outputs(net, channels, side)}") from error
    draws = _draws(net, channels, side, output)
    values, likely = (UNIT, None) if size else _range_of(net, channels, side, output, scale)
    on_range = net if values == UNIT else OnRange(net, *values)
    one_by_one = draws or _mixes(on_range, channels, side)

    def accepts(height: int, width: int) -> bool:
        try:
            restored = _run(on_range, waves(channels, height, width))
        except Exception:
            return False
        return restored.shape == (1, channels, height * scale, width * scale) and bool(restored.isfinite().all())

    known = size is not None and all(accepts(*sides) for sides in _trial_sides(size))
    found = size if known and size else find_size(accepts, side)
    return Facts(channels, scale, found, values, likely, one_by_one, draws)


def _trial_sides(size: SizeRequirement) -> list[tuple[int, int]]:
    """Give the smallest sizes that meet a requirement: a square and, if it is allowed, one wider than high."""
    least = -(-max(size.minimum, TRIAL_SIDE) // size.multiple) * size.multiple
    return [(least, least), (least, least + (0 if size.square else size.multiple))]


def check_image(output: object, channels: int, side: int) -> int:
    """Check what a network gives for an image of ``side`` x ``side`` pixels, and give the network's scale.

    Raises:
        InputError: it is not an image.
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
    if not output.isfinite().all():
        raise InputError("it returns NaN or infinite values; check its weights")
    return height // side


def _other_outputs(net: nn.Module, channels: int, side: int) -> str:
    """Say what else a network returns beside the last element, which may not be the image."""
    if not isinstance(net, ImageOutput) or net.output is not None:
        return ""
    returned = _run(net, waves(channels, side, side), call=net.net)
    if not isinstance(returned, (Mapping, list, tuple)) or len(returned) < 2:
        return ""
    names = [repr(name) for name in (returned if isinstance(returned, Mapping) else range(len(returned)))]
    return f"; that is {names[-1]} of {', '.join(names)}: name the image as output of the model, or return it alone"


def _first_output(net: nn.Module, sides: Sequence[int]) -> tuple[int, int, Tensor]:
    """Find the channels and side of an image that the network takes, and what it gives for that image."""
    failure: Exception | None = None
    for channels in (3, 1):
        for side in sides:
            try:
                return channels, side, _run(net, waves(channels, side, side))
            except InputError:
                raise
            except Exception as error:
                failure = failure or error
    assert failure is not None
    if isinstance(failure, TypeError) and (needed := _further_arguments(net)):
        raise InputError(
            f"it needs {', '.join(needed)} beside the image; give a small wrapper instead, which takes the image alone "
            "and fixes the rest, such as the noise level"
        ) from failure
    raise failure


def _further_arguments(net: nn.Module) -> list[str]:
    """List the arguments without defaults that a network needs beside the image."""
    inner = net.net if isinstance(net, ImageOutput) else net
    try:
        signature = inspect.signature(inner.forward if isinstance(inner, nn.Module) else inner)
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    given = signature.parameters.values()
    return [one.name for one in given if one.kind in kinds and one.default is one.empty][1:]


def _draws(net: nn.Module, channels: int, side: int, output: Tensor) -> bool:
    """Say whether another seed gives another image.

    Raises:
        InputError: the same seed does, too.
    """
    image = waves(channels, side, side)
    if _is_same(_run(net, image, seed=1), output):
        return False
    if not _is_same(_run(net, image), output):
        raise InputError(
            "it gives another image each time, even from the same seed; it must keep nothing between passes"
        )
    return True


def _range_of(net: nn.Module, channels: int, side: int, output: Tensor, scale: int) -> tuple[Range, Range | None]:
    """Find the range on which the network gives a smooth image back, and the range for which it may be meant.

    The first is other than 0..1 only if the network clips to it. Otherwise the residual may just be bounded, so that it
    vanishes beside large values, as in networks that are not trained.

    Raises:
        InputError: there is no such range, and the values leave 0..1 by far.
    """
    image = waves(channels, side, side)
    expected = F.interpolate(image, scale_factor=scale, mode="bicubic", antialias=True)

    def error(values: Range) -> float:
        restored = _run(OnRange(net, *values), image)
        return float((restored.float().cpu() - expected).square().mean().sqrt())

    likely = next((values for values in RANGES if error(values) < NEAR), None) if error(UNIT) > FAR else None
    if likely and error(Range(4 * likely.low, 4 * likely.high)) > FAR:
        return likely, None
    largest = output.abs().max().item()
    if largest > LARGEST_VALUE:
        raise InputError(
            f"it returns values up to {largest:.0f} for an image in 0..1; if it works on 0..255, "
            "multiply its input and divide its output by 255"
        )
    return UNIT, likely


def _mixes(net: nn.Module, channels: int, side: int) -> bool:
    """Say whether an image comes out differently, or not at all, when other images are in its batch."""
    image = waves(channels, side, side)
    # Some are much darker or brighter: what the images share may be a decision.
    images = torch.cat((image, 0.1 * image.flip(3), 0.9 + 0.1 * image.flip(2)))
    try:
        together = _run(net, images)
    except Exception:
        return True
    alone = [_run(net, one) for one in images.split(1)]
    return not _is_same(together, torch.cat(alone))


def _is_same(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    largest = max(1.0, float(expected.abs().max()))
    return bool((found - expected).abs().max() <= ROUNDING * largest)


def find_size(accepts: Callable[[int, int], bool], side: int) -> SizeRequirement:
    """Find the sides that a network accepts, given one of them: the smallest step, and the smallest side."""
    steps = [step for step in range(1, side + 1) if side % step == 0]
    multiple = next((step for step in steps if accepts(side + step, side + step)), None)
    if multiple is None:
        return SizeRequirement(side, side, square=True, maximum=side)
    low, high = 1, side // multiple
    while low < high:
        middle = (low + high) // 2
        if accepts(middle * multiple, middle * multiple):
            high = middle
        else:
            low = middle + 1
    return SizeRequirement(multiple, high * multiple, square=not accepts(side, side + multiple))


def waves(channels: int, height: int, width: int) -> Tensor:
    """Make a smooth image in 0..1, 1 x channels x height x width."""
    rows = torch.arange(height)[:, None] / 5.0
    columns = torch.arange(width) / 7.0
    phases = torch.arange(channels)[:, None, None]
    return (0.5 + 0.4 * torch.sin(rows + phases) * torch.cos(columns - phases))[None]


def _run(net: nn.Module, images: Tensor, seed: int = 0, call: Callable[[Tensor], Any] | None = None) -> Any:
    """Run the network, or only a part of it, from the same random state, unless another seed is given."""
    device = next((weight.device for weight in net.parameters()), torch.device("cpu"))
    with torch.inference_mode(), seeded(seed):
        return (call or net)(images.to(device))
