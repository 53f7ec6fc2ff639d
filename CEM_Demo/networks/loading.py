"""The models of a run: from what ``Modellist`` names to networks, and to what ties their effects to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from CEM_Demo.config.model_sources import ModelSource, OwnCode, WeightsFile, ZooModel
from CEM_Demo.errors import InputError, about
from CEM_Demo.files import is_file
from CEM_Demo.ModelZoo import find, load_network, split_name
from CEM_Demo.ModelZoo.checkpoints import checkpoint_path, load_strictly, read_state_dict, sha256_of
from CEM_Demo.ModelZoo.padding import accept_any_size
from CEM_Demo.ModelZoo.registry import SizeRequirement, check_scale
from CEM_Demo.networks.enlarging import EnlargeFirst
from CEM_Demo.networks.identification import Match, identify, with_values
from CEM_Demo.networks.own_code import ImageOutput, build_own, weights_digest
from CEM_Demo.networks.probing import Facts, PerChannel, probe
from CEM_Demo.networks.spandrel_models import load_with_spandrel
from CEM_Demo.user_code import UserCode, blaming, load_user_code


@dataclass(frozen=True)
class Model:
    """A model of a run, found and checked.

    Attributes:
        load: gives its network in evaluation mode, on the CPU, from N x 3 x H x W in 0..1 to N x 3 x sH x sW.
        checkpoint: the file of its weights; None where the user's code makes them.
        origin: what else decides its numbers, if it is not the zoo's: architecture, code, arguments.
    """

    load: Callable[[], nn.Module]
    checkpoint: Path | None
    origin: Mapping[str, Any] = field(default_factory=dict)

    def provenance(self) -> dict[str, Any]:
        """All that decides its numbers."""
        return {"checkpoint_sha256": self.checkpoint and sha256_of(self.checkpoint), **self.origin}


@dataclass(frozen=True)
class Known:
    """A network that is not looked up by its name, and what it is."""

    net: nn.Module
    architecture: str
    facts: Facts


def resolve(source: ModelSource, task: str, scale: int) -> Model:
    """Find a model, check that it can be run at this scale, and say in one line what it is if it is not the zoo's.

    Raises:
        InputError: it cannot; the message names the model and what would mend it.
    """
    if isinstance(source, ZooModel):
        name, training = split_name(source.label)
        entry = find(name, task)
        check_scale(entry, training, task, scale)
        return Model(partial(_load_from_zoo, source.label, task, scale), checkpoint_path(entry, training))
    with about(f"Modellist: {source.label}"):
        if isinstance(source, WeightsFile):
            return _resolve_file(source, task, scale)
        return _resolve_code(source, task, scale)


def _load_from_zoo(label: str, task: str, scale: int) -> nn.Module:
    """In super-resolution, a network of scale 1 gets the bicubically enlarged image."""
    net = load_network(label, task, scale)
    entry = find(split_name(label)[0], task)
    return EnlargeFirst(net, scale) if scale > 1 and entry.scale == 1 else net


def _resolve_file(source: WeightsFile, task: str, scale: int) -> Model:
    known, build = _identify_file(source, task, scale)
    _check_scale(known.facts, task, scale)
    print(describe(source.label, known, scale, f"from {source.weights}"))

    def load() -> nn.Module:
        return _fit(replace(known, net=build(read_state_dict(source.weights)).net), scale)

    return Model(load, source.weights, {"architecture": known.architecture})


def describe_file(path: Path, task: str) -> str:
    """What network a checkpoint file holds, in a line; at scale 4 where an SR network's file leaves that open.

    Raises:
        InputError: no checkpoint, or of no known network, or of several.
    """
    scale = 4 if task == "SR" else 1
    with about(str(path)):
        known, _ = _identify_file(WeightsFile(path.stem, path), task, scale)
    return describe(path.stem, known, known.facts.scale, f"from {path}")


def _identify_file(source: WeightsFile, task: str, scale: int) -> tuple[Known, Callable[[Mapping[str, Tensor]], Known]]:
    """The network of a file, of the zoo, else of spandrel; and what builds it again from its state dict."""
    if not is_file(source.weights):
        raise InputError(f"there is no file {source.weights}")
    state = read_state_dict(source.weights)
    match = identify(state, scale, task, source.model)
    if match is None and source.model is not None:
        raise InputError(
            f"{source.weights} does not have the keys and shapes of {source.model}, of whatever width, depth and scale"
        )
    build = partial(_build_known, match) if match else _build_with_spandrel
    return build(state), build


def _build_known(match: Match, state: Mapping[str, Tensor]) -> Known:
    match = with_values(match, state)
    net = match.entry.build(**match.arguments)
    load_strictly(net, state, match.name)
    net.eval()
    # The sides that a network takes may depend on its scale.
    as_entered = match.entry.scale in (None, match.scale) or match.entry.size == SizeRequirement()
    size = match.entry.size if as_entered else probe(net).size
    return Known(net, match.name, Facts(match.arguments.get("channels", 3), match.scale, size))


def _build_with_spandrel(state: Mapping[str, Tensor]) -> Known:
    model = load_with_spandrel(state)
    return Known(model.net.eval(), model.architecture, Facts(model.channels, model.scale, model.size))


def _resolve_code(source: OwnCode, task: str, scale: int) -> Model:
    factory = load_user_code(source.code, source.attribute)
    net = _build_code(source, factory)
    with blaming(source.code, factory.value):
        facts = probe(net)
    _check_scale(facts, task, scale)
    known = Known(net, f"{source.attribute} of {source.code}", facts)
    print(describe(source.label, known, scale, f"from {source.weights}" if source.weights else "weights of its own"))

    def load() -> nn.Module:
        return _fit(replace(known, net=_build_code(source, factory)), scale)

    origin = {
        "architecture": source.attribute,
        "code_sha256": factory.sources,
        "kwargs": dict(source.kwargs),
        "output": source.output,
        "weights_sha256": weights_digest(net),
    }
    return Model(load, source.weights, origin)


def _build_code(source: OwnCode, factory: UserCode) -> nn.Module:
    net = build_own(factory.value, source.kwargs, source.code)
    if source.weights:
        if not is_file(source.weights):
            raise InputError(f"there is no file {source.weights}")
        load_strictly(net, read_state_dict(source.weights), f"{source.attribute} of {source.code}")
    return ImageOutput(net, source.output).eval()


def _check_scale(facts: Facts, task: str, scale: int) -> None:
    if facts.scale in (1, scale):
        return
    if task in ("DN", "DR"):
        raise InputError(f"its output is {facts.scale} times as large as its input; task {task} needs the same size")
    raise InputError(f"its scale is {facts.scale}, not {scale}; set sr: {facts.scale}")


def _fit(known: Known, scale: int) -> nn.Module:
    """The network for colour images of any size, at a run's scale."""
    net = accept_any_size(known.net, known.facts.size)
    if known.facts.channels == 1:
        net = PerChannel(net)
    return EnlargeFirst(net, scale) if scale > 1 and known.facts.scale == 1 else net


def describe(label: str, known: Known, scale: int, origin: str) -> str:
    """A network in one line: ``mine: EDSR-64-16, x4, 1,517,595 parameters, from weights/mine.pth``."""
    facts = known.facts
    parameters = sum(weight.numel() for weight in known.net.parameters())
    parts = [known.architecture, f"x{facts.scale}", f"{parameters:,} parameters", origin]
    if facts.channels == 1:
        parts.append("grey, run on each colour channel")
    if facts.size != SizeRequirement():
        parts.append(f"sides padded to multiples of {facts.size.multiple}, at least {facts.size.minimum}")
    if scale > 1 and facts.scale == 1:
        parts.append("on the bicubically enlarged image")
    return f"{label}: {', '.join(parts)}"
