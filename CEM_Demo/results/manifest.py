"""The manifest of a result: what it was computed from and what is done, typed, versioned and sealed."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from CEM_Demo.method.measurements import MeasuredMetric
from CEM_Demo.results.paths import ResultPaths
from CEM_Demo.results.sealed import Sealed, read_sealed

NotNegative = Annotated[int, Field(ge=0)]


class StoredRound(BaseModel):
    """What is on disk of one round of draws.

    Attributes:
        draws: the most draws of a block; part of the name of its file.
        counts: how many draws each block has, as runs in row-major order: ``3x40 0x8`` means three draws on each of 40
            blocks, then none on 8.
        sha256: digest of the values in its file; empty before there is a file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    draws: NotNegative
    counts: str = Field(pattern=r"^([0-9]+x[0-9]+( [0-9]+x[0-9]+)*)?$")
    sha256: str = ""

    def counts_of(self, shape: tuple[int, int]) -> NDArray[np.int64]:
        """Give rows x columns, how many draws each block has.

        Raises:
            ValueError: the runs do not add up to the blocks.
        """
        runs = np.array([run.split("x") for run in self.counts.split()], np.int64).reshape(-1, 2)
        return np.repeat(runs[:, 0], runs[:, 1]).reshape(shape)


def runs_of(counts: NDArray[np.int64]) -> str:
    """Write counts of draws, rows x columns, as :attr:`StoredRound.counts` has them."""
    return " ".join(f"{count}x{len(list(run))}" for count, run in groupby(counts.reshape(-1).tolist()))


class Manifest(Sealed):
    """What vouches for the other files of one model on one ROI of an image.

    Attributes:
        format: number of this file format.
        provenance: all that decides the numbers.
        rois: the ROIs of the image that the run was asked for; they may share batches.
        inference, batch_size, threads, origin, unrounded_origin, restored_sha256: see
            :class:`~CEM_Demo.method.measurements.Measurements`.
        reach: a string for each row of blocks; 0 marks blocks that cannot reach the ROI.
        rounds: what is on disk of each round, by its name.
        metrics: those that were measured beside PSNR, by their names.
        finished: whether all rounds are done.
        wall_seconds: the time that was spent computing.
        seal: digest of all the above except the time.
    """

    format: Literal[2] = 2
    provenance: dict[str, Any]
    rois: list[str]
    inference: Literal["dense", "incremental"]
    batch_size: int = Field(gt=0)
    threads: int = Field(gt=0)
    reach: list[str]
    origin: float
    unrounded_origin: float
    rounds: dict[str, StoredRound]
    metrics: dict[str, MeasuredMetric] = {}
    finished: bool
    restored_sha256: str
    wall_seconds: float
    seal: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Block rows and block columns."""
        return len(self.reach), len(self.reach[0]) if self.reach else 0

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Rows x columns, False for blocks that cannot change the ROI."""
        return np.array([[mark == "1" for mark in row] for row in self.reach])

    @property
    def draws(self) -> dict[str, int]:
        """The most draws of a block in each round."""
        return {name: stored.draws for name, stored in self.rounds.items()}

    @property
    def has_begun(self) -> bool:
        """Whether any draw is on disk."""
        return any(stored.sha256 for stored in self.rounds.values())


def reach_rows(reached: NDArray[np.bool_]) -> list[str]:
    """Write which blocks reach the ROI, rows x columns, as a string for each row."""
    return ["".join("01"[mark] for mark in row) for row in reached.astype(int)]


def read_manifest(paths: ResultPaths) -> Manifest | None:
    """Read the manifest of a model's results on an ROI of an image; None if there is none.

    Raises:
        InputError: it is damaged or edited, or has another format.
    """
    return read_sealed(paths.manifest, Manifest)
