"""The task of a run: how strongly images are degraded, or where the degraded ones lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import SCALES

TaskName = Literal["SR", "DN", "DR", "PAIR"]
RainKind = Literal["small", "medium", "large", "random"]


@dataclass(frozen=True)
class Degradation:
    """A task and its parameters; the defaults are the published ones.

    Attributes:
        task: SR, DN, DR or PAIR.
        scale: side of the ground truth over side of the network's input; 1 for DN and DR.
        sigma: for DN, the standard deviation of the noise in 8-bit levels.
        rain: for DR, small, medium, large or random.
        inputs: for PAIR, the folder of the degraded inputs.
        function: for PAIR, the ``FILE.py:FUNCTION`` that degrades patches; None pastes them as they are.
    """

    task: str
    scale: int = 1
    sigma: float = 50.0
    rain: str = "medium"
    inputs: Path | None = None
    function: str | None = None

    def __post_init__(self) -> None:
        """Check the values; raise InputError for one that is not among those above."""
        choices = {"task": get_args(TaskName), "scale": SCALES, "rain": get_args(RainKind)}
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise InputError(f"{key}: {getattr(self, key)!r} is not one of {', '.join(map(str, known))}")
        if self.task in ("DN", "DR") and self.scale != 1:
            raise InputError(f"scale: must be 1 for task {self.task}, not {self.scale}")
        if not 0 < self.sigma < math.inf:
            raise InputError(f"sigma: {self.sigma} is not a strength of noise; give a number of 8-bit levels above 0")
        if self.task == "PAIR" and self.inputs is None:
            raise InputError("inputs: task PAIR needs the folder of the degraded inputs")
