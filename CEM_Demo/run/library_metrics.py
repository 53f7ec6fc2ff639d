"""Full-reference metrics of the libraries lpips and pyiqa, with weights from files that the user has.

Both libraries fetch what they lack from the network. Here nothing is ever fetched: what is missing is named, with the
place where it belongs.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn
from unittest import mock

import torch
from torch import Tensor, nn

from CEM_Demo.config.metric_sources import LPIPS, WITH_WEIGHTS, MetricSource
from CEM_Demo.errors import InputError, brief, naming
from CEM_Demo.files import is_file
from CEM_Demo.ModelZoo.checkpoints import load_strictly, read_state_dict
from CEM_Demo.networks.own_networks import weights_digest
from CEM_Demo.wording import did_you_mean

# What the activations of a network take grows with the images that it sees at once.
AT_ONCE = 32
# The modules whose function ``download_url_to_file`` fetches files.
FETCHING = frozenset({"torch.hub", "pyiqa.utils.download_util"})


@dataclass(frozen=True)
class LibraryMetric:
    """A metric of a library, ready to measure.

    Attributes:
        function: from restored images and ground truths, N x 3 x h x w in 0..1 each, to N values.
        where: names it in messages.
        higher_is_better: as the library says.
        provenance: the library's version, and the digest of the weights.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    where: str
    higher_is_better: bool
    provenance: dict[str, str]


def load_library_metric(source: MetricSource) -> LibraryMetric:
    """Load a metric of ``lpips`` or ``pyiqa``.

    Raises:
        InputError: the library, the metric, or a file of weights is missing, or the file is of another network.
    """
    where = source.label if source.library == LPIPS else f"{source.library}:{source.label}"
    with naming(where):
        if source.library == LPIPS:
            net, higher_is_better = _load_lpips(source.weights), False
        else:
            net, higher_is_better = _load_of_pyiqa(source.label)

    def measure(images: Tensor, truths: Tensor) -> Tensor:
        net.to(images.device)
        with naming(where), _library_errors(), torch.inference_mode():
            parts = [net(*pair) for pair in zip(images.split(AT_ONCE), truths.split(AT_ONCE), strict=True)]
            return torch.cat([part.reshape(-1) for part in parts])

    provenance = {"library": f"{source.library} {version(source.library)}", "weights": weights_digest(net)}
    return LibraryMetric(measure, where, higher_is_better, provenance)


class _Lpips(nn.Module):
    """LPIPS of images in 0..1."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor, truths: Tensor) -> Tensor:
        return self.net(images, truths, normalize=True)


def _load_lpips(given: Path | None) -> nn.Module:
    """LPIPS 0.1: its own linear layers, which the library holds, on the backbone that a file has the weights of."""
    lpips = _imported(LPIPS)
    path = given or _expected_backbone()
    if not is_file(path):
        raise InputError(
            f"there is no file {path}; fetch {_backbone_weights().url} and put it there, or name the file that you "
            f"have: {WITH_WEIGHTS}"
        )
    state = read_state_dict(path)
    kind = _backbone_of(state)
    if kind is None:
        raise InputError(f"{path} holds none of the networks that LPIPS knows: AlexNet, VGG16, SqueezeNet 1.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, that the library's arguments are old ones
        net = lpips.LPIPS(net=kind, pnet_rand=True, verbose=False)
    # The library cuts the backbone into slices, which keep torchvision's numbers: slice2.3 is features.3.
    places = {key: f"features.{key.split('.', 1)[1]}" for key in net.net.state_dict()}
    used = {key: state[place] for key, place in places.items() if place in state}
    load_strictly(net.net, used, str(path))
    return _Lpips(net).eval()


def _backbone_of(state: Mapping[str, Tensor]) -> str | None:
    """Tell by its weights what the library calls a backbone of torchvision; None for one that it does not know."""
    if "features.3.squeeze.weight" in state:
        return "squeeze"
    first = state.get("features.0.weight")
    sides: dict[tuple[int, ...], str] = {(64, 3, 11, 11): "alex", (64, 3, 3, 3): "vgg"}
    return None if first is None else sides.get(tuple(first.shape))


def _backbone_weights() -> Any:
    """What torchvision knows of the default backbone's weights."""
    from torchvision.models import AlexNet_Weights

    return AlexNet_Weights.IMAGENET1K_V1


def _expected_backbone() -> Path:
    """Where PyTorch keeps the default backbone's weights once they were fetched."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_backbone_weights().url).name


def _load_of_pyiqa(label: str) -> tuple[nn.Module, bool]:
    """A full-reference metric of pyiqa, and whether higher values are better."""
    pyiqa = _imported("pyiqa")
    known = pyiqa.list_models("FR")
    if label not in known:
        hint = did_you_mean(label, known) or f"there are {', '.join(known)}"
        raise InputError(f"{pyiqa.__name__} has no full-reference metric of this name; {hint}")
    with _from_files_alone():
        metric = pyiqa.create_metric(label, device=torch.device("cpu"))
    return metric, not metric.lower_better


def _imported(library: str) -> ModuleType:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise InputError(f"the library is not there ({brief(error)}); pip install {library}") from error


@contextmanager
def _from_files_alone() -> Iterator[None]:
    """Keep a library from fetching anything, and from unpickling anything but weights.

    Raises:
        InputError: the library would fetch a file, or fails otherwise.
    """

    def refuse_file(url: str, target: str | Path, *_: Any, **__: Any) -> NoReturn:
        raise InputError(f"there is no file {target}; fetch {url} and put it there")

    def refuse_connection(*_: Any, **__: Any) -> NoReturn:
        raise OSError("a file is not there, and nothing is fetched from the network")

    # Libraries announce a download before they try it.
    silent = redirect_stdout(StringIO()), redirect_stderr(StringIO())
    with ExitStack() as changed, _library_errors(), silent[0], silent[1]:
        changed.enter_context(mock.patch.dict(os.environ, {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}))
        changed.enter_context(mock.patch.object(socket, "getaddrinfo", refuse_connection))
        for name in FETCHING.intersection(sys.modules):
            changed.enter_context(mock.patch.object(sys.modules[name], "download_url_to_file", refuse_file))
        yield


@contextmanager
def _library_errors() -> Iterator[None]:
    """Turn an exception of a library into one line; a lack of memory stays what it is.

    Raises:
        InputError: in place of any other exception.
    """
    try:
        yield
    except (InputError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise InputError(f"{type(error).__name__}: {brief(error)}") from error
