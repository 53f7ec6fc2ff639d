"""Find a network's state dict in what a checkpoint file holds, whatever a framework put around it and beside it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from CEM_Demo.errors import InputError
from CEM_Demo.wording import first_of

Layout = Mapping[str, tuple[int, ...]]

# What training on several devices and torch.compile put before every key.
PREFIXES = ("module.", "_orig_mod.")
# The keys under which the published files nest a state dict, the best weights first.
WRAPPERS = ("params_ema", "params", "state_dict")
# How deeply a state dict may be nested.
DEPTH = 2
# A name such as model_ema or netG.ema, whose weights are averages over the training.
AVERAGED = re.compile(r"(?<![a-z])ema(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Candidate:
    """A state dict within a checkpoint file.

    Attributes:
        wrappers: the keys under which it lies.
        prefix: what was removed from its keys; entries without this prefix were left out.
        state: the state dict.
        others: the candidates of the same file that would do as well, but are less preferred.
    """

    wrappers: tuple[str, ...]
    prefix: str
    state: Mapping[str, Tensor]
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " / ".join([*self.wrappers, *([f"{self.prefix}*"] if self.prefix else [])]) or "its own entries"

    @property
    def remark(self) -> str:
        """Say which state dict was taken if the file holds several that would do; else nothing."""
        return f" (its {self}, not {first_of(self.others)})" if self.others else ""


def layout_of(state: Mapping[str, Tensor]) -> Layout:
    """Give the keys and shapes of a state dict, without what modules keep there beside tensors."""
    return {key: tuple(value.shape) for key, value in state.items() if isinstance(value, Tensor)}


def find_candidates(content: Any, wrappers: tuple[str, ...] = ()) -> list[Candidate]:
    """List the state dicts in what a file holds: all mappings with tensors in them, the outermost first."""
    if not isinstance(content, Mapping):
        return []
    state = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    found = [Candidate(wrappers, "", _without_prefixes(state))] if state else []
    if len(wrappers) < DEPTH:
        found += [inner for key, value in content.items() for inner in find_candidates(value, (*wrappers, str(key)))]
    return found


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    while prefix := next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _part(candidate: Candidate, prefix: str) -> Candidate:
    """Give the entries of a candidate whose keys begin with ``prefix``, without it."""
    state = {key.removeprefix(prefix): value for key, value in candidate.state.items() if key.startswith(prefix)}
    return replace(candidate, prefix=candidate.prefix + prefix, state=state)


def take(candidates: Sequence[Candidate], like: Candidate) -> Candidate:
    """Give the state dict at the same place of the same file, read once more."""
    return _part(next(candidate for candidate in candidates if candidate.wrappers == like.wrappers), like.prefix)


def fitting(candidates: Sequence[Candidate], expected: Layout) -> list[Candidate]:
    """List the candidates, or the parts of them under one dotted prefix, that have exactly this layout."""
    likely = (
        _part(candidate, prefix)
        for candidate in candidates
        for prefix, hits in _prefixes(candidate, expected).items()
        if hits == len(expected)
    )
    return [part for part in likely if layout_of(part.state) == expected]


def nearest(candidates: Sequence[Candidate], expected: Layout) -> Candidate:
    """Give the candidate, or the part of one, with the most keys of this layout."""
    hits = {
        (place, prefix): count
        for place, candidate in enumerate(candidates)
        for prefix, count in _prefixes(candidate, expected).items()
    }
    place, prefix = max(hits, key=lambda key: hits[key], default=(0, ""))
    # A few keys in common, such as weight and bias, say nothing.
    return _part(candidates[place], prefix if 2 * hits.get((place, prefix), 0) >= len(expected) else "")


def _prefixes(candidate: Candidate, expected: Layout) -> Counter[str]:
    """Count for every dotted prefix of a candidate how many of the expected keys follow it."""
    dots = ((key, [0, *(dot.end() for dot in re.finditer(r"\.", key))]) for key in candidate.state)
    return Counter(key[:end] for key, ends in dots for end in ends if key[end:] in expected)


def unprefixed(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """List for every candidate the forms that it may have without what all of its keys begin with, itself first."""
    for candidate in candidates:
        forms = [candidate]
        while prefix := _common_prefix(forms[-1]):
            forms.append(_part(forms[-1], prefix))
        yield forms


def _common_prefix(candidate: Candidate) -> str:
    """Give the first name and its dot if all keys begin with them; else nothing."""
    first = next(iter(candidate.state)).partition(".")
    prefix = "".join(first[:2])
    return prefix if first[1] and all(key.startswith(prefix) for key in candidate.state) else ""


def parts(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    """List for every candidate, and for every part of it under the first name of a key, that one alone."""
    for candidate in candidates:
        yield [candidate]
        for first in dict.fromkeys(key.partition(".")[0] for key in candidate.state if "." in key):
            yield [_part(candidate, f"{first}.")]


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """Choose the preferred one of several state dicts that would do.

    Those of the published wrappers go first, in their order, then moving averages, then all others.

    Raises:
        InputError: nothing decides between several.
    """
    best, *others = sorted(candidates, key=_rank)
    alike = [str(best), *(str(other) for other in others if _rank(other) == _rank(best))]
    if len(alike) > 1:
        raise InputError(f"it holds several state dicts that would do: {first_of(alike)}; save the one you mean alone")
    return replace(best, others=tuple(map(str, others)))


def _rank(candidate: Candidate) -> list[int]:
    """Give what candidates are sorted by: how good the name of each of their wrappers is, the best first."""
    names = [*candidate.wrappers, *candidate.prefix.split(".")[:-1]]
    return sorted(map(_rank_of_name, names)) or [len(WRAPPERS) + 2]


def _rank_of_name(name: str) -> int:
    if name in WRAPPERS:
        return WRAPPERS.index(name)
    return len(WRAPPERS) + (0 if AVERAGED.search(name) else 1)
