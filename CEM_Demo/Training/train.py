"""The training loop: L1, Adam, warm-up and cosine, an exponential moving average of the weights."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import trange

from CEM_Demo.errors import InputError
from CEM_Demo.files import write_atomically
from CEM_Demo.ModelZoo.checkpoints import read_plain
from CEM_Demo.Training.data import TrainingPairs


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; ``crop`` is in input pixels, ``steps`` counts batches."""

    steps: int = 4000
    batch: int = 16
    crop: int = 32
    learning_rate: float = 4e-4
    warm_up: int = 100
    average_decay: float = 0.999
    seed: int = 0


@dataclass
class TrainingState:
    """All that goes on changing: the network, the running average of its weights, the optimiser, the step."""

    net: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    step: int
    seconds: float

    def save(self, path: Path) -> None:
        content = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        with write_atomically(path) as file:
            torch.save(content, file)

    def restore(self, path: Path) -> None:
        """Go on from what :meth:`save` wrote.

        Raises:
            InputError: the file is not the state of a training of this network.
        """
        content = read_plain(path)
        try:
            self.net.load_state_dict(content["net"])
            self.average.load_state_dict(content["average"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.step, self.seconds = int(content["step"]), float(content["seconds"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"--state {path}: not the state of a training of this network; remove it, or give another --state"
            ) from error


def learning_rate_factor(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to zero (Loshchilov and Hutter, SGDR, ICLR 2017)."""
    if step < recipe.warm_up:
        return (step + 1) / recipe.warm_up
    progress = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return 0.5 * (1 + math.cos(math.pi * progress))


def start(net: nn.Module, recipe: Recipe, device: torch.device) -> TrainingState:
    """A fresh training of ``net``."""
    net = net.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    average = copy.deepcopy(net).requires_grad_(False)
    learnable = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return TrainingState(net, average, torch.optim.Adam(learnable, recipe.learning_rate), step=0, seconds=0.0)


def train(state: TrainingState, pairs: TrainingPairs, recipe: Recipe, device: torch.device) -> Iterator[float]:
    """Run the steps that are left; yields the loss (L1, image range 0..1) after each."""
    for step in trange(state.step, recipe.steps, initial=state.step, total=recipe.steps, unit="step"):
        begin = time.perf_counter()
        for group in state.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * learning_rate_factor(step, recipe)
        degraded, clean = (
            images.to(device, memory_format=torch.channels_last) for images in pairs.batch(step, recipe.batch)
        )
        with torch.autocast(device.type, dtype=torch.bfloat16):
            restored = state.net(degraded)
        loss = F.l1_loss(restored.float(), clean)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(state.net.parameters(), 1.0)
        state.optimizer.step()
        _update_average(state, recipe.average_decay)
        state.step = step + 1
        state.seconds += time.perf_counter() - begin
        yield loss.item()


@torch.no_grad()
def _update_average(state: TrainingState, decay: float) -> None:
    # A young average follows fast, so that it forgets the random start.
    decay = min(decay, (1 + state.step) / (10 + state.step))
    for mean, weight in zip(state.average.parameters(), state.net.parameters(), strict=True):
        mean.lerp_(weight, 1 - decay)
