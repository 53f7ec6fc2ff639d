"""What a run asks of its task: how strongly images are degraded, or where degraded ones lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Degradation:
    """A task and its parameters; the defaults are the published ones.

    Attributes:
        task: SR, DN, DR or PAIR.
        scale: side of the ground truth over side of the network's input; 1 for DN and DR.
        sigma: DN, standard deviation of the noise in 8-bit levels.
        rain: DR, small, medium, large or random.
        inputs: PAIR, folder of the degraded inputs.
        function: PAIR, ``FILE.py:FUNCTION`` that patches pass through; None pastes them as they are.
    """

    task: str
    scale: int = 1
    sigma: float = 50.0
    rain: str = "medium"
    inputs: Path | None = None
    function: str | None = None
