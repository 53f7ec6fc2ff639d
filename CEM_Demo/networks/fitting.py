"""Turn a network into one that maps N x 3 x H x W in 0..1 to N x 3 x sH x sW."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from CEM_Demo.errors import InputError, brief, naming
from CEM_Demo.ModelZoo.enlarging import EnlargeFirst
from CEM_Demo.ModelZoo.padding import accept_any_size
from CEM_Demo.ModelZoo.registry import SizeRequirement
from CEM_Demo.networks.adapting import ImageOutput, OneByOne, OnRange, PerChannel
from CEM_Demo.networks.probing import UNIT, Facts, copy_in_single_precision, examine
from CEM_Demo.networks.randomness import Seeded
from CEM_Demo.user_code import place_of

log = logging.getLogger(__name__)

WRAPPERS = (ImageOutput, PerChannel, OneByOne, OnRange, Seeded, EnlargeFirst)


def prepare_network(
    network: Callable[[Tensor], Any], task: str, scale: int, random_seed: int | None = None
) -> nn.Module:
    """Make any network ready for interventions, as a run from a config does: probe it, check it, adapt it.

    Anything unusual about it is logged in one line.

    Args:
        network: a module or another callable from N x C x H x W to images, or to a list, tuple or dictionary whose
            last element they are; put in evaluation mode.
        scale: scale of the task.
        random_seed: seed of what the network draws in every pass; None if it may not draw.

    Raises:
        InputError: the network fails, or restores no images of that scale.
    """
    if isinstance(network, type):
        raise InputError(f"the network: it is the class {network.__name__}; make one of it: {network.__name__}(...)")
    if not callable(network):
        raise InputError(f"the network: it is a {type(network).__name__}, not a torch.nn.Module or another function")
    net = ImageOutput(unwrap(network)).eval()
    with naming("the network"):
        with blaming_the_network():
            facts = examine(net)
        check_facts(facts, task, scale, random_seed)
    if unusual := remarks(facts, scale):
        log.info(f"the network: {', '.join(unusual)}")
    return fit(net, facts, scale, random_seed)


def unwrap(network: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """Remove what torch.compile or training on several devices wrapped around a network."""
    if isinstance(network, (DataParallel, DistributedDataParallel)):
        return unwrap(network.module)
    return unwrap(network._orig_mod) if hasattr(network, "_orig_mod") else network


def innermost(net: nn.Module) -> tuple[nn.Module, str]:
    """Give the network inside all that this project wrapped around it, and the prefix of its parameters' names."""
    prefix = ""
    while isinstance(net, WRAPPERS) and isinstance(net.net, nn.Module):
        net, prefix = net.net, f"{prefix}net."
    return net, prefix


@contextmanager
def blaming_the_network() -> Iterator[None]:
    """Turn an exception of a network's code into one line.

    Raises:
        InputError: in place of any exception but another InputError.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"it fails: {type(error).__name__}: {brief(error)} ({place_of(error)})") from error


def check_facts(facts: Facts, task: str, scale: int, random_seed: int | None) -> None:
    """Check that a network can be run for a task at a scale.

    Raises:
        InputError: it cannot; the message says what would help.
    """
    if facts.draws and random_seed is None:
        raise InputError(
            "it draws random numbers, so its effects would depend on chance; remove the noise, "
            "or set allow_random: 1 to give every pass the same numbers"
        )
    if facts.scale in (1, scale):
        return
    if task in ("DN", "DR"):
        raise InputError(f"its output is {facts.scale} times as large as its input; task {task} needs the same size")
    raise InputError(f"its scale is {facts.scale}, not {scale}; set sr: {facts.scale}")


def fit(net: nn.Module, facts: Facts, scale: int, random_seed: int | None = None) -> nn.Module:
    """Make a network take batches of color images of any size in 0..1, at the scale of a run."""
    if facts.single_precision:
        net = copy_in_single_precision(net)
    if facts.values != UNIT:
        net = OnRange(net, *facts.values)
    net = accept_any_size(net, facts.size)
    if facts.draws and random_seed is not None:
        net = Seeded(net, random_seed)
    if facts.one_by_one:
        net = OneByOne(net)
    if facts.channels == 1:
        net = PerChannel(net)
    return (EnlargeFirst(net, scale) if scale > 1 and facts.scale == 1 else net).eval()


def remarks(facts: Facts, scale: int) -> list[str]:
    """List what a user should know about how a network is run."""
    said = {
        "gray, run on each color channel": facts.channels == 1,
        f"on values in {facts.values}": facts.values != UNIT,
        f"restores smooth images only on {facts.likely_values}: convert its images if that is its range": (
            facts.likely_values is not None
        ),
        "its weights turned into float32": facts.single_precision,
        "draws the same random numbers in every pass": facts.draws,
        "one image at a time": facts.one_by_one,
        _padding(facts.size): facts.size != SizeRequirement(),
        "on the bicubically enlarged image": scale > 1 and facts.scale == 1,
    }
    return [remark for remark, holds in said.items() if holds]


def _padding(size: SizeRequirement) -> str:
    """Say how images are padded, such as ``sides padded to multiples of 8, at least 16``."""
    limits = [
        f"multiples of {size.multiple}" if size.multiple > 1 else "",
        f"at least {size.minimum}" if size.minimum > 1 else "",
        f"at most {size.maximum}" if size.maximum else "",
    ]
    said = ", ".join(filter(None, limits))
    if size.square:
        return f"padded to squares{f' with sides of {said}' if said else ''}"
    return f"sides padded to {said}"
