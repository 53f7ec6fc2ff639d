"""What an entry of a config's ``Modellist`` names: a model of the zoo, a checkpoint file, or the user's own code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from CEM_Demo.user_code import split_code
from CEM_Demo.wording import did_you_mean

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")
PROGRAM_SUFFIXES = (".pt", ".pth", ".ts", ".jit", ".torchscript")
FORMS = "EDSR, EDSR@Demo, weights/mine.pth, my_net.py:MyNet, or {code: my_net.py:MyNet, weights: mine.pth}"


@dataclass(frozen=True)
class ZooModel:
    """A model of the zoo; its label is its name there."""

    label: str


@dataclass(frozen=True)
class WeightsFile:
    """A checkpoint file. Its network is ``model`` of the zoo or, with None, is identified from the weights."""

    label: str
    weights: Path
    model: str | None = None


@dataclass(frozen=True)
class OwnCode:
    """A class or function, ``attribute`` of the Python file ``code``, that gives a network when called with ``kwargs``.

    ``output`` is the key or the number of the image in what the network returns; None means the last item.
    """

    label: str
    code: Path
    attribute: str
    weights: Path | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    output: str | int | None = None


@dataclass(frozen=True)
class Program:
    """A TorchScript file, which holds a network's code and weights; ``output`` is as in :class:`OwnCode`."""

    label: str
    file: Path
    output: str | int | None = None


ModelSource = ZooModel | WeightsFile | OwnCode | Program


def parse_model(given: str | Mapping[str, Any]) -> ModelSource:
    """Parse an entry of ``Modellist`` into the source that it names, without reading any file.

    Raises:
        ValueError: the entry has no known form.
    """
    if isinstance(given, str):
        return _parse_word(given)
    _check_mapping(given)
    if "code" not in given:
        return WeightsFile(given.get("name", Path(given["weights"]).stem), Path(given["weights"]), given.get("model"))
    if given["code"].lower().endswith(PROGRAM_SUFFIXES):
        return _parse_program(given)
    code, attribute = split_code(given["code"])
    weights = Path(given["weights"]) if "weights" in given else None
    kwargs = given.get("kwargs", {})
    return OwnCode(given.get("name", attribute), code, attribute, weights, kwargs, given.get("output"))


def _parse_program(given: Mapping[str, Any]) -> Program:
    strangers = [key for key in ("weights", "kwargs") if key in given]
    if strangers:
        raise ValueError(f"{strangers[0]}: a TorchScript file needs none; give the file alone, as code")
    file = Path(given["code"])
    return Program(given.get("name", file.stem), file, given.get("output"))


def _parse_word(word: str) -> ModelSource:
    if ".py:" in word or word.endswith(".py"):
        code, attribute = split_code(word)
        return OwnCode(attribute, code, attribute)
    if "/" in word or "\\" in word or word.lower().endswith(CHECKPOINT_SUFFIXES):
        return WeightsFile(Path(word).stem, Path(word))
    return ZooModel(word)


KINDS: dict[str, tuple[type, ...]] = {
    "code": (str,),
    "weights": (str,),
    "model": (str,),
    "name": (str,),
    "kwargs": (dict,),
    "output": (str, int),
}


def _check_mapping(given: Mapping[str, Any]) -> None:
    for key, value in given.items():
        if key not in KINDS:
            hint = did_you_mean(str(key), KINDS) or f"there are {', '.join(KINDS)}"
            raise ValueError(f"a model has no key {key!r}; {hint}")
        if not isinstance(value, KINDS[key]) or isinstance(value, bool):
            raise ValueError(f"{key}: {value!r} should be a {' or '.join(kind.__name__ for kind in KINDS[key])}")
    if "code" not in given and "weights" not in given:
        raise ValueError(f"a model needs weights or code; write {FORMS}")
    only_with = {"code": ("kwargs", "output"), "weights": ("model",)}
    for needed, keys in only_with.items():
        for key in keys:
            if key in given and needed not in given:
                raise ValueError(f"{key} needs {needed} beside it")
    if "code" in given and "model" in given:
        raise ValueError("give code or model, not both: each names the network of the weights")
