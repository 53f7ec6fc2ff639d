"""Make networks with the user's own code."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from CEM_Demo.errors import InputError
from CEM_Demo.networks.fitting import unwrap
from CEM_Demo.networks.randomness import seeded
from CEM_Demo.user_code import user_errors


def build_own(make: Any, kwargs: Mapping[str, Any], code: Path) -> Callable[[Tensor], Any]:
    """Make the network, always from the same random state, so that untrained weights are the same each time.

    Args:
        make: a class or function that gives a network, or the network itself: a module or a function of an image.

    Raises:
        InputError: the code fails, or gives no network.
    """
    if isinstance(make, nn.Module) or _takes_an_image(make, kwargs):
        return unwrap(make)
    with user_errors(code, make), seeded(0):
        net = make(**kwargs)
    if not callable(net):
        raise InputError(f"{code} gives a {type(net).__name__}, not a network (torch.nn.Module or another function)")
    return unwrap(net)


def _takes_an_image(make: Any, kwargs: Mapping[str, Any]) -> bool:
    """Say whether a function needs one more argument than it is given: the image."""
    if kwargs or isinstance(make, type):
        return False
    try:
        needed = [given for given in inspect.signature(make).parameters.values() if given.default is given.empty]
    except (TypeError, ValueError):
        return False
    return len(needed) == 1 and needed[0].kind in (needed[0].POSITIONAL_ONLY, needed[0].POSITIONAL_OR_KEYWORD)


def weights_digest(net: nn.Module) -> str:
    """Compute the SHA-256 of a network's weights in memory, wherever they came from."""
    digest = hashlib.sha256()
    for key, value in net.state_dict().items():
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
