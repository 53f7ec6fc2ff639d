"""Find the models that ``Modellist`` names, their networks, and the provenance of their effects."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from CEM_Demo.config.model_sources import ModelSource, OwnCode, Program, WeightsFile, ZooModel
from CEM_Demo.errors import InputError, naming
from CEM_Demo.files import is_file
from CEM_Demo.ModelZoo import find, load_network, split_name
from CEM_Demo.ModelZoo.checkpoints import checkpoint_path, load_strictly, read_state_dict, sha256_of
from CEM_Demo.ModelZoo.registry import SizeRequirement, check_scale
from CEM_Demo.networks.adapting import ImageOutput
from CEM_Demo.networks.fitting import blaming_the_network, check_facts, fit, remarks
from CEM_Demo.networks.identification import Match, identify, with_values
from CEM_Demo.networks.own_networks import build_own, weights_digest
from CEM_Demo.networks.probing import Facts, examine, probe
from CEM_Demo.networks.spandrel_models import load_with_spandrel
from CEM_Demo.networks.torchscript import load_program
from CEM_Demo.user_code import UserCode, load_user_code, user_errors

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Model:
    """A model of a run, found and checked.

    Attributes:
        load: gives its network in evaluation mode, on the CPU, from N x 3 x H x W in 0..1 to N x 3 x sH x sW.
        checkpoint: the file of its weights; None if the user's code makes them.
        origin: what else decides its numbers if it is not of the zoo: architecture, code, arguments.
    """

    load: Callable[[], nn.Module]
    checkpoint: Path | None
    origin: Mapping[str, Any] = field(default_factory=dict)

    def provenance(self) -> dict[str, Any]:
        """Give all that decides the model's numbers, for the manifest."""
        return {"checkpoint_sha256": self.checkpoint and sha256_of(self.checkpoint), **self.origin}


@dataclass(frozen=True)
class Known:
    """A network, and what is known about it."""

    net: nn.Module
    architecture: str
    facts: Facts


def resolve(source: ModelSource, task: str, scale: int, random_seed: int | None = None) -> Model:
    """Find a model and check that it can run at this scale; print one line about it if it is not of the zoo.

    Args:
        random_seed: seed of what a network draws in every pass; None if it may not draw.

    Raises:
        InputError: it cannot; the message names the model and says what would help.
    """
    if isinstance(source, ZooModel):
        name, training = split_name(source.label)
        entry = find(name, task)
        check_scale(entry, training, task, scale)
        return Model(partial(load_network, source.label, task, scale), checkpoint_path(entry, training))
    with naming(f"Modellist: {source.label}"):
        if isinstance(source, WeightsFile):
            return _resolve_file(source, task, scale, random_seed)
        if isinstance(source, Program):
            return _resolve_program(source, task, scale, random_seed)
        return _resolve_code(source, task, scale, random_seed)


def _resolve_file(source: WeightsFile, task: str, scale: int, random_seed: int | None) -> Model:
    known, build = _identify_file(source, task, scale)
    check_facts(known.facts, task, scale, random_seed)
    log.info(describe(source.label, known, scale, f"from {source.weights}"))

    def load() -> nn.Module:
        return fit(build(read_state_dict(source.weights)), known.facts, scale, random_seed)

    return Model(load, source.weights, {"architecture": known.architecture})


def describe_file(path: Path, task: str) -> str:
    """Say in one line what network a checkpoint file holds; if an SR file leaves the scale open, assume 4.

    Raises:
        InputError: the file is not a checkpoint, or fits no known network or several.
    """
    scale = 4 if task == "SR" else 1
    with naming(str(path)):
        known, _ = _identify_file(WeightsFile(path.stem, path), task, scale)
    return describe(path.stem, known, known.facts.scale, f"from {path}")


def _identify_file(
    source: WeightsFile, task: str, scale: int
) -> tuple[Known, Callable[[Mapping[str, Tensor]], nn.Module]]:
    """Find the network of a file in the zoo or else in spandrel, and a function that builds it from a state dict."""
    if not is_file(source.weights):
        raise InputError(f"there is no file {source.weights}")
    state = read_state_dict(source.weights)
    match = identify(state, scale, task, source.model)
    if match is not None:
        match = with_values(match, state)
        net = _build_match(match, state)
        return Known(net, match.name, _facts_of(match, net)), partial(_build_match, match)
    if source.model is not None:
        raise InputError(
            f"{source.weights} does not have the keys and shapes of {source.model} at any width, depth or scale"
        )
    model = load_with_spandrel(state)
    with naming(f"it is {model.architecture}"), blaming_the_network():
        facts = probe(model.net, model.size)
    return Known(model.net, model.architecture, facts), lambda state: load_with_spandrel(state).net


def _build_match(match: Match, state: Mapping[str, Tensor]) -> nn.Module:
    net = match.entry.build(**match.arguments)
    load_strictly(net, state, match.name)
    return net.eval()


def _facts_of(match: Match, net: nn.Module) -> Facts:
    # The sides that a network accepts may depend on its scale.
    as_entered = match.entry.scale in (None, match.scale) or match.entry.size == SizeRequirement()
    size = match.entry.size if as_entered else probe(net).size
    return Facts(match.arguments.get("channels", 3), match.scale, size)


def _resolve_program(source: Program, task: str, scale: int, random_seed: int | None) -> Model:
    net = load_program(source)
    with blaming_the_network():
        facts = examine(net)
    check_facts(facts, task, scale, random_seed)
    log.info(describe(source.label, Known(net, "TorchScript", facts), scale, f"from {source.file}"))

    def load() -> nn.Module:
        return fit(load_program(source), facts, scale, random_seed)

    return Model(load, source.file, {"architecture": "TorchScript", "output": source.output})


def _resolve_code(source: OwnCode, task: str, scale: int, random_seed: int | None) -> Model:
    factory = load_user_code(source.code, source.attribute)
    net = _build_code(source, factory)
    with user_errors(source.code, factory.value):
        facts = examine(net)
    check_facts(facts, task, scale, random_seed)
    known = Known(net, f"{source.attribute} of {source.code}", facts)
    log.info(describe(source.label, known, scale, f"from {source.weights}" if source.weights else "weights of its own"))

    def load() -> nn.Module:
        return fit(_build_code(source, factory), facts, scale, random_seed)

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
        if not isinstance(net, nn.Module):
            raise InputError(f"{source.attribute} of {source.code} is not a torch.nn.Module, so it takes no weights")
        load_strictly(net, read_state_dict(source.weights), f"{source.attribute} of {source.code}")
    return ImageOutput(net, source.output).eval()


def describe(label: str, known: Known, scale: int, origin: str) -> str:
    """Describe a network in one line: ``mine: EDSR-64-16, x4, 1,517,595 parameters, from weights/mine.pth``."""
    parameters = sum(weight.numel() for weight in known.net.parameters())
    parts = [known.architecture, f"x{known.facts.scale}", f"{parameters:,} parameters", origin]
    return f"{label}: {', '.join([*parts, *remarks(known.facts, scale)])}"
