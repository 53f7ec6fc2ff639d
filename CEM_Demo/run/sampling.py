"""Which blocks are drawn how often: the published rule, or draws that know when to stop."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.config.settings import Drawing
from CEM_Demo.errors import InputError
from CEM_Demo.method.allocation import PRECISIONS, Rule
from CEM_Demo.method.measurements import Measurements
from CEM_Demo.method.plan import Interventions, Plan, make_plans
from CEM_Demo.method.stratified_draws import color_order, make_sequence
from CEM_Demo.run.adaptive import AdaptiveSampling
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.interventions import Chosen
from CEM_Demo.run.stages import run_round, run_stages


class Sampling(Protocol):
    """How the blocks of an image are drawn; the same for all models of the image."""

    @property
    def room(self) -> Mapping[str, int]:
        """The most draws of a block, by the names of the rounds."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides the draws."""
        ...

    @property
    def positions(self) -> NDArray[np.float64] | None:
        """Rows x columns x draws, where in the order of the bank stratified draws lie; None of independent draws."""
        ...

    @property
    def typical(self) -> tuple[Plan, Plan]:
        """Draws on all blocks, and those on blocks that matter: by these the time is predicted."""
        ...

    def first(self) -> Interventions:
        """The first intervention, to try whether it can be made."""
        ...

    def run(
        self,
        experiment: Experiment,
        measurements: Sequence[Measurements],
        save: Callable[[], None] = lambda: None,
        label: str | None = None,
    ) -> None:
        """Draw what is left, and fill in ``measurements``; see :func:`~CEM_Demo.run.stages.run_stages`."""
        ...


@dataclass(frozen=True)
class PublishedSampling:
    """Coarse draws on every block, fine draws where one of them moved the PSNR by ``tol`` (dB)."""

    plans: Mapping[str, Plan]
    tol: float

    @property
    def room(self) -> dict[str, int]:
        """See :attr:`Sampling.room`."""
        return {name: plan.draws for name, plan in self.plans.items()}

    @property
    def digest(self) -> str:
        """See :attr:`Sampling.digest`."""
        return hashlib.sha256("".join(plan.digest for plan in self.plans.values()).encode()).hexdigest()

    @property
    def positions(self) -> None:
        """See :attr:`Sampling.positions`."""
        return None

    @property
    def typical(self) -> tuple[Plan, Plan]:
        """See :attr:`Sampling.typical`."""
        return self.plans["coarse"], self.plans["fine"]

    def first(self) -> Interventions:
        """See :meth:`Sampling.first`."""
        return self.plans["coarse"][:1]

    def run(
        self,
        experiment: Experiment,
        measurements: Sequence[Measurements],
        save: Callable[[], None] = lambda: None,
        label: str | None = None,
    ) -> None:
        """See :meth:`Sampling.run`."""
        run_stages(experiment, self.plans, self.tol, measurements, save, label)


@dataclass(frozen=True)
class SingleDraws:
    """One draw on every block, and no second stage, where another draw would be the same."""

    shape: tuple[int, int]

    @property
    def room(self) -> dict[str, int]:
        """See :attr:`Sampling.room`."""
        return {"single": 1}

    @property
    def digest(self) -> str:
        """See :attr:`Sampling.digest`."""
        return self._plan.digest

    @property
    def positions(self) -> None:
        """See :attr:`Sampling.positions`."""
        return None

    @property
    def typical(self) -> tuple[Plan, Plan]:
        """See :attr:`Sampling.typical`."""
        return self._plan, self._plan.up_to(np.zeros(self.shape, np.int64))

    def first(self) -> Interventions:
        """See :meth:`Sampling.first`."""
        return self._plan[:1]

    def run(
        self,
        experiment: Experiment,
        measurements: Sequence[Measurements],
        save: Callable[[], None] = lambda: None,
        label: str | None = None,
    ) -> None:
        """See :meth:`Sampling.run`."""
        wanted = np.stack([self._plan.stop] * len(measurements))
        run_round(experiment, "single", self._plan, wanted, measurements, save, label)

    @property
    def _plan(self) -> Plan:
        return Plan(_no_choice, np.zeros(self.shape, np.int64), np.ones(self.shape, np.int64))


def _no_choice(blocks: NDArray[np.int64], draws: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    return np.zeros_like(blocks), np.zeros(len(blocks), np.uint64)


def make_sampling(drawing: Drawing, image_name: str, shape: tuple[int, int], chosen: Chosen) -> Sampling:
    """Choose how the blocks of an image are drawn.

    Args:
        drawing: what a config or Settings say about the draws.
        image_name: name of the image's file; the draws depend on it.
        shape: block rows and block columns.
        chosen: what stands in the blocks.

    Raises:
        InputError: adaptive draws are asked for, but what stands in the blocks is chosen from no patches.
    """
    bank = chosen.bank
    if chosen.one_draw:
        return SingleDraws(shape)
    if drawing.sampling == "published":
        numbers = drawing.coarse_num, drawing.fine_num, len(bank)
        return PublishedSampling(make_plans(drawing.seed, image_name, shape, *numbers), drawing.tol)
    if not chosen.stratified:
        kind = drawing.intervention_source.kind
        raise InputError(f"sampling: adaptive draws spread over patches, which {kind} has none of; use published")
    sequence = make_sequence(drawing.seed, image_name, color_order(bank.mean_colors))
    return AdaptiveSampling(sequence, shape, Rule(drawing.tol, PRECISIONS[drawing.precision]), bool(drawing.roi_blocks))
