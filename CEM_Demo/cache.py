"""Effects on disk: the published .mat files, and a manifest that says what they are worth."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from CEM_Demo.errors import InputError
from CEM_Demo.files import write_bytes
from CEM_Demo.images import UInt8Image, png_bytes
from CEM_Demo.result_paths import ResultPaths
from CEM_Demo.tasks import Degradation

# What runs had whose manifests do not tell it yet.
EARLIER_DEFAULTS = {"sigma": Degradation.sigma, "rain": Degradation.rain}

# SciPy puts the date into a .mat file's 116 bytes of text; without it equal arrays make equal files.
MAT_HEADER = b"MATLAB 5.0 MAT-file, Causal Effect Map".ljust(116)


@dataclass
class Progress:
    """How many interventions of each stage are on disk, in the order of the plan."""

    coarse: int = 0
    fine: int = 0
    fine_planned: int | None = None

    @property
    def complete(self) -> bool:
        return self.fine_planned is not None and self.fine == self.fine_planned


@dataclass
class Effects:
    """The measured PSNRs (dB) of one model on one image.

    Attributes:
        origin: PSNR of the ROI without intervention.
        coarse: rows x columns x coarse_num.
        fine: rows x columns x fine_num, zero for blocks that were not tried.
        inference: dense or incremental.
        reached: rows x columns, False for blocks whose effect is exactly zero since they cannot reach the ROI.
        batch_size: interventions restored at a time; kept on resuming, since it can move the last digits.
        seconds: computing time so far.
    """

    origin: float
    coarse: NDArray[np.float64]
    fine: NDArray[np.float64]
    inference: str
    reached: NDArray[np.bool_]
    batch_size: int
    progress: Progress = field(default_factory=Progress)
    seconds: float = 0.0


@dataclass(frozen=True)
class Cache:
    """Reads and writes the effects of one model on one ROI of an image.

    Attributes:
        provenance: all that decides the numbers; results of another provenance are never mixed in.
        rois: the ROIs of the image that the run asks for.
    """

    paths: ResultPaths
    provenance: dict[str, Any]
    rois: list[str]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the only right to write.

        Raises:
            InputError: another process holds it.
        """
        self.paths.pair_folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.paths.pair_folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise InputError(
                f"{self.paths.pair_folder} is being written by another process; "
                "wait for it, or give this run another prefix"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def check(self) -> None:
        """Raises InputError when an earlier run's results are here that this run must not go on from."""
        earlier = read_manifest(self.paths)
        ways_on = "set load_previous: 0 to compute anew, or another prefix to keep both"
        if earlier is None:
            if self.paths.coarse.exists():
                raise InputError(f"{self.paths.coarse} has no manifest, so it cannot be gone on from; {ways_on}")
            return
        told = EARLIER_DEFAULTS | earlier["provenance"]
        differing = [key for key, value in self.provenance.items() if told.get(key) != value]
        if differing:
            changes = ", ".join(f"{key} was {told.get(key)!r}" for key in differing)
            raise InputError(f"{self.paths.manifest.parent} was computed differently: {changes}; {ways_on}")

    def is_complete(self) -> bool:
        """Whether an earlier run finished."""
        manifest = read_manifest(self.paths)
        return manifest is not None and Progress(**manifest["progress"]).complete

    def began_with_the_same_rois(self) -> bool:
        """Whether an earlier run was asked for the ROIs of this one, so that they shared their batches."""
        manifest = read_manifest(self.paths)
        return manifest is not None and manifest["rois"] == self.rois

    def resume(self, fresh: Effects) -> Effects:
        """``fresh`` filled with what an earlier run of the same provenance finished."""
        manifest = read_manifest(self.paths)
        if manifest is None:
            return fresh
        progress = Progress(**manifest["progress"])
        seconds, batch_size = manifest["wall_seconds"], manifest["batch_size"]
        effects = replace(fresh, progress=progress, seconds=seconds, batch_size=batch_size)
        for stage, path in (("coarse", self.paths.coarse), ("fine", self.paths.fine)):
            if getattr(progress, stage):
                stored = read_mat(path)
                expected = getattr(fresh, stage).shape
                if stored.shape != expected:
                    raise InputError(f"{path} holds {stored.shape} values, not {expected}; compute anew")
                setattr(effects, stage, stored)
        return effects

    def begin(self, effects: Effects) -> None:
        """Take the place of an earlier run: first a manifest of nothing done, then its files go."""
        self._write_manifest(effects)
        paths = self.paths
        for path in (paths.origin, paths.coarse, paths.fine, paths.overlay, paths.colour_bar, paths.pie):
            path.unlink(missing_ok=True)

    def write_pictures(
        self, ground_truth: UInt8Image, degraded: UInt8Image, restored: UInt8Image, restored_with_roi: UInt8Image
    ) -> None:
        """What the report shows beside the maps."""
        write_bytes(self.paths.ground_truth, png_bytes(ground_truth))
        write_bytes(self.paths.degraded, png_bytes(degraded))
        write_bytes(self.paths.restored, png_bytes(restored))
        write_bytes(self.paths.restored_with_roi, png_bytes(restored_with_roi))

    def write(self, effects: Effects) -> None:
        """Save all that is done; the manifest last, since it vouches for the rest."""
        if effects.progress.fine:
            write_mat(self.paths.fine, effects.fine)
        else:
            write_mat(self.paths.origin, np.array([[effects.origin]]))
            write_mat(self.paths.coarse, effects.coarse)
        self._write_manifest(effects)

    def _write_manifest(self, effects: Effects) -> None:
        content = {
            "provenance": self.provenance,
            "rois": self.rois,
            "inference": effects.inference,
            "batch_size": effects.batch_size,
            # One string a row of blocks; 0 marks those that cannot reach the ROI, whose effect is exactly zero.
            "reach": ["".join("01"[reached] for reached in row) for row in effects.reached.astype(int)],
            "progress": vars(effects.progress),
            "wall_seconds": round(effects.seconds, 1),
        }
        write_bytes(self.paths.manifest, (json.dumps(content, indent=2) + "\n").encode())


def read_manifest(paths: ResultPaths) -> dict[str, Any] | None:
    """The manifest of a pair, or None where there is none.

    Raises:
        InputError: it is damaged.
    """
    try:
        content = json.loads(paths.manifest.read_text(encoding="utf-8"))
        Progress(**content["progress"])
        content["provenance"], content["rois"], content["batch_size"], content["reach"], content["wall_seconds"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{paths.manifest} is damaged; set load_previous: 0 to compute anew") from error
    return content


def read_mat(path: Path) -> NDArray[np.float64]:
    """The array PSNR of a .mat file.

    Raises:
        InputError: no such file, or it holds no such array.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; run demo_causal_effect_calculation.py first")
    try:
        return np.asarray(loadmat(path)["PSNR"], dtype=np.float64)
    except Exception as error:  # SciPy raises whatever the broken bytes make fail
        raise InputError(f"{path} is damaged; remove it and compute anew") from error


def write_mat(path: Path, values: NDArray[np.float64]) -> None:
    """Write ``values`` as the array PSNR; equal values make equal bytes."""
    buffer = BytesIO()
    savemat(buffer, {"PSNR": values})
    write_bytes(path, MAT_HEADER + buffer.getvalue()[len(MAT_HEADER) :])


@dataclass(frozen=True)
class StoredEffects:
    """The finished effects of one model on one image.

    ``fine`` is None where no block passed to the fine stage, ``manifest`` where the published code wrote the cache.
    """

    origin: float
    coarse: NDArray[np.float64]
    fine: NDArray[np.float64] | None
    manifest: dict[str, Any] | None


def read_effects(paths: ResultPaths) -> StoredEffects:
    """Read back what :class:`Cache`, or the published code, wrote.

    Raises:
        InputError: files are missing, damaged or unfinished.
    """
    manifest = read_manifest(paths)
    if manifest is not None and not Progress(**manifest["progress"]).complete:
        raise InputError(
            f"{paths.pair_folder} is not finished; run demo_causal_effect_calculation.py again with load_previous: 1"
        )
    fine = read_mat(paths.fine) if paths.fine.exists() else None
    return StoredEffects(read_mat(paths.origin).item(), read_mat(paths.coarse), fine, manifest)
