"""The Local Attribution Map of one model on one ROI of an image, on disk beside the causal effect map.

``LAM.npz`` holds the arrays, and ``LAM.json`` vouches for them or says why there is no map.
"""

from __future__ import annotations

import logging
import zipfile
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from CEM_Demo.errors import InputError
from CEM_Demo.files import remove, write_bytes
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.paths import ResultPaths
from CEM_Demo.results.provenance import differences, digest_of
from CEM_Demo.results.sealed import WHAT_TO_DO, Sealed, read_sealed

ARRAYS = ("map", "signed", "block_sums")

log = logging.getLogger(__name__)


class LamNumbers(BaseModel):
    """What a map comes down to.

    Attributes:
        diffusion_index: DI, 0..100, which depends on the size of the input.
        gini: 0..1.
        pixels: the number of input pixels that DI stands for.
        width, height: of the network's input (pixels).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    diffusion_index: float
    gini: float
    pixels: float
    width: int
    height: int


class LamManifest(Sealed):
    """What vouches for a Local Attribution Map, or says why there is none.

    Attributes:
        format: number of this layout.
        provenance: all that decides the map.
        threads: of the CPU, which can move the last digits.
        missing: why there is no map; empty where there is one.
        numbers: None where there is no map.
        sha256: digests of the arrays by their names.
        wall_seconds: computing time.
        seal: digest of all the above but the time.
    """

    format: Literal[1] = 1
    provenance: dict[str, Any]
    threads: int
    missing: str = ""
    numbers: LamNumbers | None = None
    sha256: dict[str, str] = {}
    wall_seconds: float
    seal: str = ""


@dataclass(frozen=True)
class StoredLam:
    """A Local Attribution Map.

    Attributes:
        map: H x W float32, 0..1, as published.
        signed: H x W float32, -1..1.
        block_sums: rows x columns float64, the sums of ``map`` over the blocks of the causal effect map.
        numbers: what the map comes down to.
    """

    map: NDArray[np.float32]
    signed: NDArray[np.float32]
    block_sums: NDArray[np.float64]
    numbers: LamNumbers


@dataclass(frozen=True)
class MissingLam:
    """No map, and the reason in one line."""

    reason: str


@dataclass(frozen=True)
class LamCache:
    """Where the Local Attribution Map of one model on one ROI of an image is kept.

    Attributes:
        paths: of the files.
        provenance: all that decides the map; neither the draws nor the patches do.
    """

    paths: ResultPaths
    provenance: dict[str, Any]

    def check(self) -> None:
        """Raise InputError when the map of an earlier run is here that does not belong to this one."""
        earlier = read_lam_manifest(self.paths)
        changes = differences(earlier.provenance, self.provenance) if earlier else []
        if changes:
            raise InputError(f"{self.paths.lam_manifest} was computed differently: {'; '.join(changes)}; {WHAT_TO_DO}")

    def is_complete(self) -> bool:
        """Whether an earlier run finished here, and all that it wrote is still there and whole."""
        if not self.paths.lam_manifest.is_file():
            return False
        try:
            read_lam(self.paths)
        except InputError as error:
            log.warning("%s: LAM is computed again", error)
            return False
        return True

    def save(self, found: StoredLam | MissingLam, threads: int, seconds: float) -> None:
        """Write a map, or why there is none; the manifest last, since it vouches for the rest.

        Only the holder of the right to write in the pair's folder may do so.
        """
        for path in self.paths.files_of_lam():
            remove(path)
        manifest = LamManifest(provenance=self.provenance, threads=threads, wall_seconds=round(seconds, 1))
        if isinstance(found, MissingLam):
            manifest = manifest.model_copy(update={"missing": found.reason})
        else:
            arrays = {name: getattr(found, name) for name in ARRAYS}
            digests = {name: digest_of(values) for name, values in arrays.items()}
            manifest = manifest.model_copy(update={"numbers": found.numbers, "sha256": digests})
            buffer = BytesIO()
            np.savez_compressed(buffer, **arrays)
            write_bytes(self.paths.lam_arrays, buffer.getvalue())
        write_bytes(self.paths.lam_manifest, manifest.to_bytes())


def read_lam_manifest(paths: ResultPaths) -> LamManifest | None:
    """Read what vouches for a map; None where there is nothing.

    Raises:
        InputError: it is damaged, was edited, or is of another format.
    """
    return read_sealed(paths.lam_manifest, LamManifest)


def read_lam(paths: ResultPaths) -> StoredLam | MissingLam:
    """Read what a run wrote, to the bit.

    Raises:
        InputError: files are missing, damaged, not what was written, or do not belong to the effects beside them.
    """
    manifest = read_lam_manifest(paths)
    if manifest is None:
        raise InputError(
            f"{paths.pair_folder} has no LAM; run demo_causal_effect_calculation.py with maps: [CEM, LAM] and "
            "load_previous: 1 to compute it, or leave LAM out of maps"
        )
    if effects := read_manifest(paths):
        shared = {key: effects.provenance[key] for key in manifest.provenance if key in effects.provenance}
        if changes := differences(shared, {key: manifest.provenance[key] for key in shared}):
            raise InputError(f"{paths.lam_manifest} does not belong to the effects beside it: {'; '.join(changes)}")
    if manifest.numbers is None:
        return MissingLam(manifest.missing)
    try:
        with np.load(BytesIO(paths.lam_arrays.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in ARRAYS}
        whole = {name: digest_of(values) for name, values in arrays.items()} == manifest.sha256
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{paths.lam_arrays} is missing or damaged") from error
    if not whole:
        raise InputError(f"{paths.lam_arrays} is not what was written")
    return StoredLam(**arrays, numbers=manifest.numbers)
