"""The manifest of a result: what it was computed from and what is done, typed, versioned and sealed."""

from __future__ import annotations

import hashlib
import json
from itertools import groupby
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from CEM_Demo.errors import InputError
from CEM_Demo.results.paths import ResultPaths

WHAT_TO_DO = "set load_previous: 0 to compute anew, or another prefix to keep both"

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


class Manifest(BaseModel):
    """What vouches for the other files of one model on one ROI of an image.

    Attributes:
        format: number of this file format.
        provenance: all that decides the numbers.
        rois: the ROIs of the image that the run was asked for; they may share batches.
        inference, batch_size, threads, origin, unrounded_origin, restored_sha256: see
            :class:`~CEM_Demo.method.measurements.Measurements`.
        reach: a string for each row of blocks; 0 marks blocks that cannot reach the ROI.
        rounds: what is on disk of each round, by its name.
        finished: whether all rounds are done.
        wall_seconds: the time that was spent computing.
        seal: digest of all the above except the time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

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

    def to_bytes(self) -> bytes:
        """Give the bytes of the file, with the seal."""
        content = self.model_dump(mode="json", exclude={"seal"})
        content["seal"] = _seal(content)
        return (json.dumps(content, indent=2) + "\n").encode()


def reach_rows(reached: NDArray[np.bool_]) -> list[str]:
    """Write which blocks reach the ROI, rows x columns, as a string for each row."""
    return ["".join("01"[mark] for mark in row) for row in reached.astype(int)]


def read_manifest(paths: ResultPaths) -> Manifest | None:
    """Read the manifest of a model's results on an ROI of an image; None if there is none.

    Raises:
        InputError: it is damaged or edited, or has another format.
    """
    try:
        content = json.loads(paths.manifest.read_text(encoding="utf-8"))
        if content["seal"] != _seal({key: value for key, value in content.items() if key != "seal"}):
            raise InputError(f"{paths.manifest} is damaged, or was edited")
        earlier = content.get("format", 1)
        if earlier != Manifest.model_fields["format"].default:
            raise InputError(f"{paths.manifest} is of format {earlier}, which another version of this project wrote")
        return Manifest(**content)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{paths.manifest} cannot be read ({error.strerror})") from error
    except InputError as error:
        raise InputError(f"{error}; {WHAT_TO_DO}") from error
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{paths.manifest} is damaged; {WHAT_TO_DO}") from error


def _seal(content: dict[str, Any]) -> str:
    """Compute the SHA-256 of all that a manifest says, except the time."""
    sealed = {key: value for key, value in content.items() if key != "wall_seconds"}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()
