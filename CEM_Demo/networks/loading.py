"""Find the models that ``Modellist`` names, their networks, and the provenance of their effects."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from CEM_Demo.config.model_sources import ModelSource, OwnCode, Program, WeightsFile, ZooModel
from CEM_Demo.errors import InputError, naming
from CEM_Demo.files import is_file
from CEM_Demo.ModelZoo import find, load_network, split_name
from CEM_Demo.ModelZoo.checkpoints import checkpoint_path, load_strictly, load_weights, read_candidates, sha256_of
from CEM_Demo.ModelZoo.registry import SizeRequirement, check_scale
from CEM_Demo.ModelZoo.state_dicts import Candidate, choose, parts, take, unprefixed
from CEM_Demo.networks.adapting import ImageOutput
from CEM_Demo.networks.fitting import blaming_the_network, check_facts, fit, remarks
from CEM_Demo.networks.identification import Match, identify, with_values
from CEM_Demo.networks.own_networks import build_own, weights_digest
from CEM_Demo.networks.probing import Facts, examine, probe
from CEM_Demo.networks.spandrel_models import is_known_to_spandrel, load_with_spandrel
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
    known, chosen, build = _identify_file(source, task, scale)
    check_facts(known.facts, task, scale, random_seed)
    log.info(describe(source.label, known, scale, f"from {source.weights}{chosen.remark}"))

    def load() -> nn.Module:
        state = take(read_candidates(source.weights), chosen).state
        return fit(build(state), known.facts, scale, random_seed)

    return Model(load, source.weights, {"architecture": known.architecture})


def describe_file(path: Path, task: str) -> str:
    """Say in one line what network a checkpoint file holds; if an SR file leaves the scale open, assume 4.

    Raises:
        InputError: the file is not a checkpoint, or fits no known network or several.
    """
    scale = 4 if task == "SR" else 1
    with naming(str(path)):
        known, chosen, _ = _identify_file(WeightsFile(path.stem, path), task, scale)
    return describe(path.stem, known, known.facts.scale, f"from {path}{chosen.remark}")


def _identify_file(
    source: WeightsFile, task: str, scale: int
) -> tuple[Known, Candidate, Callable[[Mapping[str, Tensor]], nn.Module]]:
    """Find the network of a file in the zoo or else in spandrel, its state dict, and a function that builds it."""
    if not is_file(source.weights):
        raise InputError(f"there is no file {source.weights}")
    candidates = read_candidates(source.weights)
    # Without a name, only what all keys begin with is removed, lest a part of a network be taken for a whole one.
    forms = list(parts(candidates) if source.model else unprefixed(candidates))
    found = _recognized(forms, lambda state: identify(state, scale, task, source.model) is not None)
    if found:
        chosen = choose(found)
        match = identify(chosen.state, scale, task, source.model)
        assert match is not None
        match = with_values(match, chosen.state)
        net = _build_match(match, chosen.state)
        return Known(net, match.name, _facts_of(match, net)), chosen, partial(_build_match, match)
    if source.model is not None:
        raise InputError(
            f"{source.weights} does not have the keys and shapes of {source.model} at any width, depth or scale"
        )
    return _identify_with_spandrel(forms)


def _recognized(
    forms: Iterable[Sequence[Candidate]], recognizes: Callable[[Mapping[str, Tensor]], bool]
) -> list[Candidate]:
    """List the candidates that are recognized, each in the first of its forms that is."""
    first = (next((form for form in candidate if recognizes(form.state)), None) for candidate in forms)
    return [form for form in first if form is not None]


def _identify_with_spandrel(
    forms: list[list[Candidate]],
) -> tuple[Known, Candidate, Callable[[Mapping[str, Tensor]], nn.Module]]:
    # To try is to build, which a file of one state dict need not do twice.
    found = forms[0] if len(forms) == len(forms[0]) == 1 else _recognized(forms, is_known_to_spandrel)
    # If there is none, the error about the preferred one says what would help.
    chosen = choose(found or [candidate[0] for candidate in forms][:1])
    model = load_with_spandrel(chosen.state)
    with naming(f"it is {model.architecture}"), blaming_the_network():
        facts = probe(model.net, model.size)
    return Known(model.net, model.architecture, facts), chosen, lambda state: load_with_spandrel(state).net


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
    net, remark = _build_code(source, factory)
    with user_errors(source.code, factory.value):
        facts = examine(net)
    check_facts(facts, task, scale, random_seed)
    known = Known(net, f"{source.attribute} of {source.code}", facts)
    origin_of_weights = f"from {source.weights}{remark}" if source.weights else "weights of its own"
    log.info(describe(source.label, known, scale, origin_of_weights))

    def load() -> nn.Module:
        return fit(_build_code(source, factory)[0], facts, scale, random_seed)

    origin = {
        "architecture": source.attribute,
        "code_sha256": factory.sources,
        "kwargs": dict(source.kwargs),
        "output": source.output,
        "weights_sha256": weights_digest(net),
    }
    return Model(load, source.weights, origin)


def _build_code(source: OwnCode, factory: UserCode) -> tuple[nn.Module, str]:
    """Build a network of the user's code, and say which of several state dicts in its file it has."""
    net, remark = build_own(factory.value, source.kwargs, source.code), ""
    if source.weights:
        if not is_file(source.weights):
            raise InputError(f"there is no file {source.weights}")
        if not isinstance(net, nn.Module):
            raise InputError(f"{source.attribute} of {source.code} is not a torch.nn.Module, so it takes no weights")
        remark = load_weights(net, source.weights, f"{source.attribute} of {source.code}").remark
    return ImageOutput(net, source.output).eval(), remark


def describe(label: str, known: Known, scale: int, origin: str) -> str:
    """Describe a network in one line: ``mine: EDSR-64-16, x4, 1,517,595 parameters, from weights/mine.pth``."""
    parameters = sum(weight.numel() for weight in known.net.parameters())
    parts = [known.architecture, f"x{known.facts.scale}", f"{parameters:,} parameters", origin]
    return f"{label}: {', '.join([*parts, *remarks(known.facts, scale)])}"
