"""The model zoo: restoration networks by name, empty or with their published weights.

    net = get_model("EDSR")                 # an SR network, random weights
    net = load_model("EDSR@Demo")           # with the weights bundled under CEM_Demo/ModelZoo/models
    net = load_denoise_model("DnCNN")       # DnCNN@Base, the published checkpoint
    net = load_derain_model("PReNet@Demo")

Every network maps N x 3 x H x W in 0..1 (float32 RGB) to N x 3 x sH x sW, s being its scale.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from CEM_Demo.errors import InputError
from CEM_Demo.ModelZoo.checkpoints import MODEL_DIR, load_entry
from CEM_Demo.ModelZoo.enlarging import EnlargeFirst
from CEM_Demo.ModelZoo.entries import ENTRIES
from CEM_Demo.ModelZoo.padding import accept_any_size
from CEM_Demo.ModelZoo.registry import PAIRED, Checkpoint, Entry, SizeRequirement, entries, find, is_numbered, register

__all__ = [
    "MODEL_DIR",
    "MODEL_LIST",
    "NN_LIST",
    "Checkpoint",
    "Entry",
    "SizeRequirement",
    "at_scale",
    "build_network",
    "entries",
    "find",
    "get_denoise_model",
    "get_derain_model",
    "get_model",
    "load_denoise_model",
    "load_derain_model",
    "load_model",
    "load_network",
    "register",
    "split_name",
]

register(ENTRIES)


def __getattr__(name: str) -> Any:
    """Give the published lists as they are now: models may have been registered since the last look."""
    if name == "NN_LIST":
        return [entry.name for entry in entries() if not is_numbered(entry.name)]
    if name == "MODEL_LIST":
        return {
            entry.name: {training: checkpoint.file for training, checkpoint in entry.checkpoints.items()}
            for entry in entries()
            if entry.checkpoints
        }
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def split_name(model_loading_name: str) -> tuple[str, str]:
    """Split ``EDSR@Demo`` into (``EDSR``, ``Demo``); a plain name means the published weights, ``Base``."""
    name, _, training = model_loading_name.partition("@")
    if not name or "@" in training or model_loading_name.endswith("@"):
        raise InputError(f"{model_loading_name!r} is not a model name: write Model or Model@Training")
    return name, training or "Base"


def build_network(
    name: str, task: str, factor: int = 4, num_channels: int = 3, training: str | None = None
) -> nn.Module:
    """Build a network of the zoo with random weights.

    Args:
        name: model name without ``@Training``.
        task: SR, DN or DR.
        factor: scale of an SR network; DN and DR networks, and SR networks of scale 1, keep theirs.
        num_channels: channels of the images.
        training: build the network that fits the checkpoint of this training; few differ from the model's own.

    Raises:
        UnknownModelError: the zoo has no such model for this task.
        InputError: the network does not exist at this factor or for this number of channels.
    """
    entry = find(name, task)
    arguments = dict(entry.arguments)
    if training is not None and training in entry.checkpoints:
        arguments |= entry.checkpoints[training].arguments
    if entry.scale is None:
        arguments["scale"] = factor
    elif entry.scale > 1 and entry.scale != factor:
        raise InputError(f"{name} exists for scale {entry.scale} only, not {factor}")
    if entry.takes_channels:
        arguments["channels"] = num_channels
    elif task == "SR" and num_channels != 3:
        raise InputError(f"{name} restores RGB images only, not images of {num_channels} channels")
    return accept_any_size(entry.build(**arguments), entry.size)


def load_network(model_loading_name: str, task: str, factor: int = 4) -> nn.Module:
    """Load a network with its weights, in evaluation mode, on the CPU.

    Args:
        model_loading_name: ``Model`` (the published weights) or ``Model@Training``.
        task: SR, DN or DR.
        factor: scale of an SR network; one of scale 1 gets the bicubically enlarged image.

    Raises:
        InputError: the name is unknown, or the checkpoint is missing or does not fit the network.
    """
    name, training = split_name(model_loading_name)
    entry = find(name, task)
    net = load_entry(build_network(name, task, factor, training=training), entry, training)
    return at_scale(net, entry, task, factor)


def at_scale(net: nn.Module, entry: Entry, task: str, factor: int) -> nn.Module:
    """Put a bicubic enlargement before an entry's network if it has scale 1 and the task wants ``factor``."""
    enlarges = entry.scale == 1 and factor > 1 and task in ("SR", PAIRED)
    return EnlargeFirst(net, factor).train(net.training) if enlarges else net


def get_model(model_name: str, factor: int = 4, num_channels: int = 3) -> nn.Module:
    """Build a super-resolution network with random weights; see :func:`build_network`."""
    return build_network(model_name, "SR", factor, num_channels)


def get_denoise_model(model_name: str, factor: int = 1, num_channels: int = 3) -> nn.Module:
    """Build a denoising network with random weights; see :func:`build_network`."""
    return build_network(model_name, "DN", factor, num_channels)


def get_derain_model(model_name: str, factor: int = 1, num_channels: int = 3) -> nn.Module:
    """Build a deraining network with random weights; see :func:`build_network`."""
    return build_network(model_name, "DR", factor, num_channels)


def load_model(model_loading_name: str, factor: int = 4) -> nn.Module:
    """Load a super-resolution network with its weights; see :func:`load_network`."""
    return load_network(model_loading_name, "SR", factor)


def load_denoise_model(model_loading_name: str) -> nn.Module:
    """Load a denoising network with its weights; see :func:`load_network`."""
    return load_network(model_loading_name, "DN")


def load_derain_model(model_loading_name: str) -> nn.Module:
    """Load a deraining network with its weights; see :func:`load_network`."""
    return load_network(model_loading_name, "DR")
