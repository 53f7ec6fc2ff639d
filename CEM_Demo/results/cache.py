"""Effects on disk: the published .mat files, and a manifest that says what they are worth."""

from __future__ import annotations

import contextlib
import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, savemat

from CEM_Demo.errors import InputError
from CEM_Demo.files import LOCK, remove, remove_leftovers, sole_writer, write_bytes
from CEM_Demo.images import UInt8Image, png_bytes, read_image
from CEM_Demo.method.plan import Plan
from CEM_Demo.results.paths import ResultPaths
from CEM_Demo.results.provenance import differences, digest_of

# A .mat file begins with 116 bytes of text. SciPy puts the date there, which would make equal arrays unequal files; the
# digest of all that follows is of more use, since SciPy's reader can crash the whole process on a damaged file.
MAT_TEXT_BYTES = 116
MAT_TEXT = b"MATLAB 5.0 MAT-file, Causal Effect Map, SHA-256 "

WAYS_ON = "set load_previous: 0 to compute anew, or another prefix to keep both"
MENDING = "run demo_causal_effect_calculation.py with load_previous: 1 to mend it"

# How long a process waits for another one that writes what the models of a run share; that takes milliseconds.
PATIENCE_SECONDS = 60.0


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
    """The measured PSNRs (dB) of one model on one ROI of an image.

    Attributes:
        origin: PSNR of the ROI without intervention.
        coarse: rows x columns x coarse_num.
        fine: rows x columns x fine_num, zero for blocks that were not tried.
        inference: dense or incremental.
        reached: rows x columns, False for blocks whose effect is exactly zero since they cannot reach the ROI.
        batch_size: interventions restored at a time; kept on resuming, since it can move the last digits.
        threads: of the CPU; kept on resuming for the same reason.
        restored_sha256: digest of the untouched image's restoration; empty where nothing is kept on disk.
        seconds: computing time so far.
        digests: of the stages, as they were last saved.
    """

    origin: float
    coarse: NDArray[np.float64]
    fine: NDArray[np.float64]
    inference: str
    reached: NDArray[np.bool_]
    batch_size: int
    threads: int
    restored_sha256: str = ""
    progress: Progress = field(default_factory=Progress)
    seconds: float = 0.0
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cache:
    """Reads and writes the effects of one model on one ROI of an image.

    Attributes:
        provenance: all that decides the numbers; results of another provenance are never mixed in.
        inference: what the config asks for.
        rois: the ROIs of the image that the run asks for.
    """

    paths: ResultPaths
    provenance: dict[str, Any]
    inference: str
    rois: list[str]

    def locked(self) -> AbstractContextManager[None]:
        """Hold the only right to write; see :func:`~CEM_Demo.files.sole_writer`."""
        return sole_writer(self.paths.pair_folder)

    def check_free(self) -> None:
        """Raises InputError when another process is writing here; writes nothing."""
        if (self.paths.pair_folder / LOCK).exists():
            with self.locked():
                pass

    def check(self) -> None:
        """Raises InputError when an earlier run's results are here that this run must not go on from."""
        paths, earlier = self.paths, read_manifest(self.paths)
        if earlier is None:
            strangers = [path for path in (paths.coarse, paths.fine, paths.origin) if path.exists()]
            if strangers:
                raise InputError(f"{strangers[0]} has no manifest, so it cannot be gone on from; {WAYS_ON}")
            return
        changes = differences(earlier["provenance"], self.provenance)
        if self.inference not in ("auto", earlier["inference"]):
            changes.append(f"inference was {earlier['inference']}, is now {self.inference}")
        self._refuse(changes)

    def _refuse(self, changes: list[str]) -> None:
        if changes:
            raise InputError(f"{self.paths.pair_folder} was computed differently: {'; '.join(changes)}; {WAYS_ON}")

    def earlier(self) -> dict[str, Any] | None:
        """The manifest of an earlier run that left something to go on from."""
        manifest = read_manifest(self.paths)
        return manifest if manifest and manifest["progress"]["coarse"] else None

    def is_complete(self) -> bool:
        """Whether an earlier run finished, and all that it wrote is still there and whole."""
        if not self.paths.restored_with_roi.is_file():
            return False
        try:
            return read_effects(self.paths).manifest is not None
        except InputError:
            return False

    def began_with_the_same_rois(self) -> bool:
        """Whether an earlier run was asked for the ROIs of this one, so that they shared their batches."""
        manifest = read_manifest(self.paths)
        return manifest is not None and manifest["rois"] == self.rois

    def resume(self, fresh: Effects) -> Effects:
        """``fresh``, or what an earlier run of the same provenance left; :meth:`recover` fills in the stages.

        Raises:
            InputError: the untouched image's restoration is no longer the same, so the effects would not be either.
        """
        manifest = self.earlier()
        if manifest is None:
            return fresh
        now = {"the PSNR (dB) of the ROI without intervention": fresh.origin, "inference": fresh.inference}
        self._refuse(differences(dict(zip(now, (manifest["origin"], manifest["inference"]), strict=True)), now))
        return replace(
            fresh,
            progress=Progress(**manifest["progress"]),
            seconds=manifest["wall_seconds"],
            batch_size=manifest["batch_size"],
            digests=manifest["digests"],
        )

    def recover(self, stage: str, plan: Plan, effects: Effects) -> None:
        """Fill in what an earlier run finished of a stage; where its file is lost, say so and set progress back."""
        path, done = getattr(self.paths, stage), getattr(effects.progress, stage)
        if not done:
            return
        try:
            stored = read_mat(path)
            if stored.shape != getattr(effects, stage).shape:
                raise InputError(f"{path} is damaged")
            # Killed between its two files, a run left more than its manifest vouches for.
            blank(stored, plan, done)
            _check_digest(stored, effects.digests[stage], path)
        except InputError as error:
            print(f"{error}: the {stage} stage{' and all after it' * (stage == 'coarse')} is computed again")
            effects.progress = Progress() if stage == "coarse" else replace(effects.progress, fine=0)
            effects.digests = {} if stage == "coarse" else {"coarse": effects.digests["coarse"]}
        else:
            setattr(effects, stage, stored)

    def begin(self, effects: Effects) -> None:
        """Take the place of an earlier run: its files go, and a manifest of nothing done comes."""
        paths = [self.paths]
        with contextlib.suppress(InputError):
            if manifest := read_manifest(self.paths):
                earlier = {key: manifest["provenance"][key] for key in ("coarse_num", "fine_num")}
                paths.append(replace(self.paths, **earlier))
        for old in paths:
            for path in (old.origin, old.coarse, old.fine, old.overlay, old.colour_bar, old.pie):
                remove(path)
        self._write_manifest(effects)

    def write_baseline(
        self, effects: Effects, ground_truth: UInt8Image, degraded: UInt8Image, restored: UInt8Image, boxed: UInt8Image
    ) -> None:
        """The origin, and the pictures that the report shows beside the maps; ``boxed`` has the ROI drawn in."""
        self._write_mat(self.paths.origin, np.array([[effects.origin]]))
        self._write(self.paths.restored, png_bytes(restored))
        self._write(self.paths.restored_with_roi, png_bytes(boxed))
        with shared_files(self.paths):
            remove_leftovers(self.paths.run)
            for path, image in ((self.paths.ground_truth, ground_truth), (self.paths.degraded, degraded)):
                if not _holds(path, image):
                    write_bytes(path, png_bytes(image))

    def write(self, stage: str, effects: Effects) -> None:
        """Save what is done of a stage; the manifest last, since it vouches for the rest."""
        if getattr(effects.progress, stage):
            values = getattr(effects, stage)
            self._write_mat(getattr(self.paths, stage), values)
            effects.digests[stage] = digest_of(values)
        self._write_manifest(effects)

    def _write_mat(self, path: Path, values: NDArray[np.float64]) -> None:
        self._write(path, mat_bytes(values))

    def _write_manifest(self, effects: Effects) -> None:
        content = {
            "provenance": self.provenance,
            "rois": self.rois,
            "inference": effects.inference,
            "batch_size": effects.batch_size,
            "threads": effects.threads,
            # One string a row of blocks; 0 marks those that cannot reach the ROI, whose effect is exactly zero.
            "reach": ["".join("01"[reached] for reached in row) for row in effects.reached.astype(int)],
            "origin": effects.origin,
            "progress": vars(effects.progress),
            "digests": effects.digests,
            "restored_sha256": effects.restored_sha256,
            "wall_seconds": round(effects.seconds, 1),
        }
        content["seal"] = _seal(content)
        self._write(self.paths.manifest, (json.dumps(content, indent=2) + "\n").encode())

    def _write(self, path: Path, content: bytes) -> None:
        write_bytes(path, content, scratch=self.paths.pair_folder)


def shared_files(paths: ResultPaths) -> AbstractContextManager[None]:
    """Hold the only right to write what is not one model's on one image: the run's pictures, and reports."""
    return sole_writer(paths.run.parent, PATIENCE_SECONDS)


def blank(values: NDArray[np.float64], plan: Plan, done: int) -> None:
    """Set what a plan has behind its first ``done`` interventions to zero, which marks it as missing."""
    of_blocks = values.reshape(-1, plan.draws)
    whole, part = divmod(done, plan.draws)
    of_blocks[plan.blocks[whole : whole + 1], part:] = 0
    of_blocks[plan.blocks[whole + 1 :]] = 0


def read_manifest(paths: ResultPaths) -> dict[str, Any] | None:
    """The manifest of a pair, or None where there is none.

    Raises:
        InputError: it is damaged.
    """
    try:
        content = json.loads(paths.manifest.read_text(encoding="utf-8"))
        float(content["wall_seconds"])
        sealed = content["seal"] == _seal(content)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{paths.manifest} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{paths.manifest} is damaged; {WAYS_ON}") from error
    if not sealed:
        raise InputError(f"{paths.manifest} is damaged, or was edited; {WAYS_ON}")
    return content


def _seal(content: dict[str, Any]) -> str:
    """SHA-256 of all that a manifest says, but of the time it took."""
    sealed = {key: value for key, value in content.items() if key not in ("seal", "wall_seconds")}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()


def read_mat(path: Path) -> NDArray[np.float64]:
    """The array PSNR of a .mat file.

    Raises:
        InputError: no such file, or it holds no such array.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing")
    try:
        content = path.read_bytes()
        text, body = content[:MAT_TEXT_BYTES], content[MAT_TEXT_BYTES:]
        if text.startswith(MAT_TEXT) and text != _mat_text(body):
            raise ValueError("the digest differs")
        # In the order of the file: a mean over another order in memory has other last digits.
        return np.asarray(loadmat(BytesIO(content))["PSNR"], dtype=np.float64)
    except Exception as error:  # SciPy's reader raises whatever a damaged file leads it to.
        raise InputError(f"{path} is damaged") from error


def mat_bytes(values: NDArray[np.float64]) -> bytes:
    """A .mat file that holds ``values`` as the array PSNR; equal values make equal bytes."""
    buffer = BytesIO()
    savemat(buffer, {"PSNR": values})
    body = buffer.getvalue()[MAT_TEXT_BYTES:]
    return _mat_text(body) + body


def _mat_text(body: bytes) -> bytes:
    return (MAT_TEXT + hashlib.sha256(body).hexdigest().encode()).ljust(MAT_TEXT_BYTES)


@dataclass(frozen=True)
class Pictures:
    """What a run saw and made, H x W x 3 uint8 RGB each."""

    ground_truth: UInt8Image
    degraded: UInt8Image
    restored: UInt8Image


@dataclass(frozen=True)
class StoredEffects:
    """The finished effects of one model on one image.

    ``fine`` is None where no block passed to the fine stage; ``manifest`` and ``pictures`` are where the published
    code wrote the cache.
    """

    origin: float
    coarse: NDArray[np.float64]
    fine: NDArray[np.float64] | None
    manifest: dict[str, Any] | None
    pictures: Pictures | None


def read_effects(paths: ResultPaths) -> StoredEffects:
    """Read back what :class:`Cache`, or the published code, wrote; the former is what was written, to the bit.

    Raises:
        InputError: files are missing, damaged or unfinished.
    """
    manifest = read_manifest(paths)
    if manifest is None:
        return _read_published(paths)
    progress = Progress(**manifest["progress"])
    if not progress.complete:
        raise InputError(
            f"{paths.pair_folder} is not finished; run demo_causal_effect_calculation.py again with load_previous: 1"
        )
    # The file names hold the numbers of draws, which a config can change.
    paths = replace(paths, **{key: manifest["provenance"][key] for key in ("coarse_num", "fine_num")})
    try:
        origin, coarse = read_mat(paths.origin), read_mat(paths.coarse)
        _check_digest(coarse, manifest["digests"]["coarse"], paths.coarse)
        if origin.shape != (1, 1) or origin.item() != manifest["origin"]:
            raise InputError(f"{paths.origin} is not what was written")
        fine = read_mat(paths.fine) if progress.fine else None
        if fine is not None:
            _check_digest(fine, manifest["digests"]["fine"], paths.fine)
        provenance = manifest["provenance"]
        pictures = Pictures(
            _read_picture(paths.ground_truth, provenance["image_sha256"]),
            _read_picture(paths.degraded, provenance["degraded_sha256"]),
            _read_picture(paths.restored, manifest["restored_sha256"]),
        )
    except InputError as error:
        raise InputError(f"{error}; {MENDING}") from error
    return StoredEffects(origin.item(), coarse, fine, manifest, pictures)


def _read_published(paths: ResultPaths) -> StoredEffects:
    try:
        origin, coarse = read_mat(paths.origin), read_mat(paths.coarse)
        fine = read_mat(paths.fine) if paths.fine.exists() else None
    except InputError as error:
        raise InputError(f"{error}; run demo_causal_effect_calculation.py first") from error
    tried = coarse if fine is None else np.concatenate((coarse.ravel(), fine[fine.any(axis=2)].ravel()))
    if not tried.all():
        raise InputError(f"{paths.coarse} or its fine stage has zeros, so it is not finished; {WAYS_ON}")
    return StoredEffects(origin.item(), coarse, fine, None, None)


def _check_digest(values: NDArray[Any], expected: str, path: Path) -> None:
    if digest_of(values) != expected:
        raise InputError(f"{path} is not what was written")


def _read_picture(path: Path, digest: str) -> UInt8Image:
    picture = read_image(path)
    _check_digest(picture, digest, path)
    return picture


def _holds(path: Path, image: UInt8Image) -> bool:
    try:
        return np.array_equal(read_image(path), image)
    except InputError:
        return False
