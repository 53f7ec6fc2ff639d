"""Does a map show what the network has learned? Its layers are initialized anew, from the output backwards."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import nn

from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.method.metric import error_growth
from CEM_Demo.method.rank_correlation import rank_correlation

SINGLE_LAYERS = 5


class Randomization(BaseModel):
    """How much of a map is left in networks that forgot (Adebayo et al. 2018).

    Maps are compared as growth of the squared error, without tolerance and before rounding, since effects in dB vanish
    where the error of the untouched ROI explodes. All have the same draws. None stands for a map that is the same
    everywhere.

    Attributes:
        similarity: Spearman's rank correlation with the network's own map, by what was initialized anew, from the
            output backwards.
        singly: the same where one layer alone was, by the layer's name, from the input to the output.
        skip: the same where the last layer gives zero: what the network's global skip path does alone. The level that
            the others are to be held against.
    """

    model_config = ConfigDict(frozen=True)

    similarity: dict[str, float | None]
    singly: dict[str, float | None]
    skip: float | None


def randomize(
    net: nn.Module, prepare: Callable[[nn.Module], JointExperiment], draws: int, seed: int = 0
) -> Randomization:
    """Compare the map of a network with those of copies whose layers were initialized anew.

    Args:
        net: the network; it is left as it is.
        prepare: makes the experiment of a network.
        draws: of each block and network.
        seed: of the new weights.
    """
    own, names = _map_of(prepare(net), draws), list(_layers(net))
    if not names:
        return Randomization(similarity={}, singly={}, skip=None)

    def similarity(forget: Callable[[nn.Module], None], forgotten: list[str]) -> float | None:
        other = copy.deepcopy(net)
        layers = _layers(other)
        for name in forgotten:
            forget(layers[name])
        return rank_correlation(own, _map_of(prepare(other), draws))

    spread = np.unique(np.linspace(0, len(names) - 1, SINGLE_LAYERS).round().astype(int))
    cascade = {"last half": names[len(names) // 2 :], "all layers": names}
    with torch.random.fork_rng():
        # A network that was itself initialized from a small seed must not get its own weights back.
        torch.manual_seed(int(np.random.SeedSequence([seed]).generate_state(1)[0]))
        singly = {names[place]: similarity(_initialize, [names[place]]) for place in spread}
        deeper = {depth: similarity(_initialize, forgotten) for depth, forgotten in cascade.items()}
    return Randomization(
        similarity={"last layer": singly[names[-1]], **deeper},
        singly=singly,
        skip=similarity(_silence, names[-1:]),
    )


def _layers(net: nn.Module) -> dict[str, nn.Module]:
    """The layers with weights of their own by name, in the order of their definition: by custom, that of the data."""
    return {
        name: layer
        for name, layer in net.named_modules()
        if hasattr(layer, "reset_parameters") and next(layer.parameters(), None) is not None
    }


def _initialize(layer: nn.Module) -> None:
    layer.reset_parameters()  # type: ignore[operator]


def _silence(layer: nn.Module) -> None:
    for weights in layer.parameters():
        nn.init.zeros_(weights)


def _map_of(joint: JointExperiment, draws: int) -> NDArray[np.float64]:
    """The mean growth of the squared error by each block that may be replaced."""
    blocks, joint = joint.candidates, joint.unrounded()
    effects = joint.single_effects(np.repeat(blocks, draws), np.tile(np.arange(draws), len(blocks)))
    return np.asarray(error_growth(effects).reshape(len(blocks), draws).mean(axis=1))
