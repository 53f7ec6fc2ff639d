"""Let networks that draw random numbers draw the same ones in every pass."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the generators of PyTorch, NumPy and Python, and restore their states afterwards."""
    states = np.random.get_state(), random.getstate()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(states[0])
            random.setstate(states[1])


class Seeded(nn.Module):
    """A network whose every pass draws the numbers that follow one seed.

    Its output then depends on its images alone, not on what was restored before.
    """

    def __init__(self, net: nn.Module, seed: int) -> None:
        super().__init__()
        self.net = net
        self.seed = seed

    def forward(self, images: Tensor) -> Tensor:
        with seeded(self.seed):
            return self.net(images)
