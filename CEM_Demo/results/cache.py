"""Open the results on disk: a session holds the lock, resumes what an earlier run left, and saves."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.errors import InputError
from CEM_Demo.files import LOCK, is_file, remove, remove_leftovers, sole_writer, write_bytes
from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image, png_bytes, read_image, with_roi_box
from CEM_Demo.method.measurements import Draws, Measurements, round_of
from CEM_Demo.results.manifest import (
    Manifest,
    StoredRound,
    reach_rows,
    read_manifest,
    runs_of,
)
from CEM_Demo.results.mat_files import mat_bytes, read_mat
from CEM_Demo.results.paths import ResultPaths, metric_label
from CEM_Demo.results.provenance import differences, digest_of
from CEM_Demo.results.reading import Pictures, read_results
from CEM_Demo.results.sealed import WHAT_TO_DO

# How long a process waits for another one that writes what the models of a run share, which takes milliseconds.
LOCK_TIMEOUT_SECONDS = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cache:
    """The place where the measurements of one model on one ROI of an image are kept.

    Attributes:
        paths: where its files lie.
        roi: in full-resolution pixels.
        provenance: all that decides the numbers; results of another provenance are never mixed in.
        inference: the inference that the config asks for.
        rois: the ROIs of the image that the run asks for.
    """

    paths: ResultPaths
    roi: ROI
    provenance: dict[str, Any]
    inference: str
    rois: list[str]

    def check(self) -> None:
        """Raise InputError when an earlier run's results are here that this run must not continue."""
        paths, earlier = self.paths, read_manifest(self.paths)
        if earlier is None:
            strangers = [path for path in (paths.coarse, paths.fine, paths.origin) if path.exists()]
            if strangers:
                raise InputError(f"{strangers[0]} has no manifest, so no run can continue it; {WHAT_TO_DO}")
            return
        changes = differences(earlier.provenance, self.provenance)
        if self.inference not in ("auto", earlier.inference):
            changes.append(f"inference was {earlier.inference}, is now {self.inference}")
        self.refuse(changes)

    def check_free(self) -> None:
        """Raise InputError when another process is writing here; write nothing."""
        if is_file(self.paths.pair_folder / LOCK):
            with sole_writer(self.paths.pair_folder):
                pass

    def refuse(self, changes: list[str]) -> None:
        """Raise InputError if there are any changes since an earlier run."""
        if changes:
            raise InputError(f"{self.paths.pair_folder} was computed differently: {'; '.join(changes)}; {WHAT_TO_DO}")

    def earlier(self) -> Manifest | None:
        """Read the manifest of an earlier run, if that run left something to continue."""
        manifest = read_manifest(self.paths)
        return manifest if manifest and manifest.has_begun else None

    def is_complete(self) -> bool:
        """Say whether an earlier run finished, and all that it wrote is still there and whole."""
        try:
            read_image(self.paths.restored_with_roi)
            return read_results(self.paths).manifest is not None
        except InputError:
            return False

    def began_with_the_same_rois(self) -> bool:
        """Say whether an earlier run was asked for the same ROIs, so that they shared their batches."""
        manifest = read_manifest(self.paths)
        return manifest is not None and manifest.rois == self.rois


@dataclass
class Session:
    """The right to write the measurements of ROIs that are computed together, and the measurements themselves.

    ``measurements`` holds, for each ROI, what an earlier run left; the caller adds the rest and saves it.
    """

    caches: Sequence[Cache]
    measurements: list[Measurements]
    _stored: list[dict[str, StoredRound]] = field(default_factory=list)
    _finished: list[bool] = field(default_factory=list)

    def save(self) -> None:
        """Write what was measured since the last time, and then the manifests, which vouch for it."""
        for number, cache in enumerate(self.caches):
            if not self._finished[number]:
                self._write(number, cache)

    def finish(self) -> None:
        """Write everything, and note that all rounds are done."""
        for number, cache in enumerate(self.caches):
            if not self._finished[number]:
                self._finished[number] = True
                self._write(number, cache)

    def _write(self, number: int, cache: Cache) -> None:
        of_roi, stored = self.measurements[number], self._stored[number]
        for name, draws in of_roi.rounds.items():
            counts = runs_of(draws.counts)
            if counts != stored[name].counts:
                values = draws.published
                _write(cache.paths, name, values)
                stored[name] = StoredRound(draws=values.shape[2], counts=counts, sha256=digest_of(values))
        _write_manifest(cache, of_roi, stored, self._finished[number])


@contextmanager
def open_session(
    caches: Sequence[Cache], fresh: Sequence[Measurements], pictures: Pictures, resume: bool
) -> Iterator[Session]:
    """Hold the only right to write the results of ROIs that are computed together.

    Args:
        caches: the caches of the ROIs.
        fresh: the measurements of each ROI before anything is tried.
        pictures: what the run saw and made; the report shows them beside the maps.
        resume: whether to continue what an earlier run left; otherwise it is replaced.

    Raises:
        InputError: another process writes here, or an earlier run's results must not be continued.
    """
    with ExitStack() as locks:
        for cache in caches:
            locks.enter_context(sole_writer(cache.paths.pair_folder))
        session = Session(caches, list(fresh))
        for number, cache in enumerate(caches):
            if resume:
                cache.check()  # again: another process may have come first
            else:
                _remove_lam(cache.paths)
            complete = resume and cache.is_complete()
            session.measurements[number] = _resumed(cache, fresh[number]) if resume else fresh[number]
            session._stored.append(_stored(session.measurements[number]))
            session._finished.append(complete)
        for number, cache in enumerate(caches):
            if not session._finished[number]:
                _begin(cache, session.measurements[number], session._stored[number], pictures)
        yield session


def _stored(of_roi: Measurements) -> dict[str, StoredRound]:
    """Describe what is on disk of the rounds of measurements that were just read, or of fresh ones."""
    return {
        name: StoredRound(
            draws=draws.values.shape[2],
            counts=runs_of(draws.counts),
            sha256=digest_of(draws.published) if draws.counts.any() else "",
        )
        for name, draws in of_roi.rounds.items()
    }


def _resumed(cache: Cache, fresh: Measurements) -> Measurements:
    """Continue what an earlier run of the same provenance left.

    Raises:
        InputError: the untouched image is no longer restored in the same way, so the effects would change as well.
    """
    manifest = cache.earlier()
    if manifest is None:
        return fresh
    now = {"the PSNR (dB) of the ROI without intervention": fresh.origin, "inference": fresh.inference}
    cache.refuse(differences(dict(zip(now, (manifest.origin, manifest.inference), strict=True)), now))
    without = "the {} of the ROI without intervention"
    origins = [{without.format(name): metric.origin for name, metric in of.metrics.items()} for of in (manifest, fresh)]
    cache.refuse(differences(*origins))
    resumed = replace(fresh, seconds=manifest.wall_seconds, batch_size=manifest.batch_size, rounds=dict(fresh.rounds))
    last = list(fresh.rounds)[-1]
    for name, draws in fresh.rounds.items():
        try:
            resumed.rounds[name] = _recovered(cache.paths, name, manifest, draws)
        except InputError as error:
            if metric_label(name) != "PSNR":
                log.warning("%s: all stages are computed again", error)
                return replace(resumed, rounds=dict(fresh.rounds))  # for the draws follow PSNR alone
            after = "" if name == last else " and all after it"
            log.warning("%s: the %s stage%s is computed again", error, name, after)
            break  # later rounds depend on this one
    return resumed


def _recovered(paths: ResultPaths, name: str, manifest: Manifest, fresh: Draws) -> Draws:
    """Read what is on disk of a round.

    Raises:
        InputError: its file is missing, damaged, or not what the manifest vouches for.
    """
    stored = manifest.rounds[name]
    if not stored.sha256:
        return fresh
    path = paths.of_round(name)
    values = read_mat(path, metric_label(name))
    if values.shape != fresh.values.shape:
        raise InputError(f"{path} is damaged")
    # A run that was killed between its two files left more than its manifest vouches for.
    draws = Draws(values, stored.counts_of(manifest.shape))
    if digest_of(draws.published) != stored.sha256:
        raise InputError(f"{path} is not what was written")
    return draws


def _begin(cache: Cache, of_roi: Measurements, stored: dict[str, StoredRound], pictures: Pictures) -> None:
    """Replace an earlier run if nothing of it is continued, and write what is known without draws."""
    paths = cache.paths
    own = {
        paths.restored: pictures.restored,
        paths.restored_with_roi: with_roi_box(pictures.restored, cache.roi),
    }
    shared = {paths.ground_truth: pictures.ground_truth, paths.degraded: pictures.degraded}
    if any(draws.counts.any() for draws in of_roi.rounds.values()):
        for path in _lost(paths, of_roi, own | shared):
            log.warning("%s is missing or damaged: it is written again", path)
    else:
        _remove_earlier(paths)
        _write_manifest(cache, of_roi, stored, finished=False)
    _write(paths, "origin", np.array([[of_roi.origin]]))
    for name, metric in of_roi.metrics.items():
        _write(paths, round_of("origin", name), np.array([[metric.origin]]))
    for path, image in own.items():
        write_bytes(path, png_bytes(image), scratch=paths.pair_folder)
    with shared_files(paths):
        remove_leftovers(paths.run)
        for path, image in shared.items():
            if not _holds(path, image):
                write_bytes(path, png_bytes(image))


def _lost(paths: ResultPaths, of_roi: Measurements, images: Mapping[Path, UInt8Image]) -> list[Path]:
    """List those files that a run writes before its first draw which are no longer there and whole."""
    expected = {"origin": of_roi.origin} | {round_of("origin", name): of.origin for name, of in of_roi.metrics.items()}
    lost = [path for path, image in images.items() if not _holds(path, image)]
    for name, value in expected.items():
        try:
            whole = read_mat(paths.of_round(name), metric_label(name)).tolist() == [[value]]
        except InputError:
            whole = False
        lost += [] if whole else [paths.of_round(name)]
    return lost


def _remove_earlier(paths: ResultPaths) -> None:
    """Remove the files of an earlier run, which may have had other numbers of draws."""
    earlier = [paths]
    with contextlib.suppress(InputError):
        if manifest := read_manifest(paths):
            earlier.append(paths.with_draws(manifest.draws))
            remains = [old.of_round(name) for name in manifest.rounds for old in earlier]
            remains += [path for name in manifest.metrics for path in _files_of_metric(paths, name)]
            for path in remains:
                remove(path)
    for old in earlier:
        of_rounds = [old.of_round(name) for name in ("coarse", "fine", "screen", "audit", "adaptive", "single")]
        drawn = (old.overlay, old.colour_bar, old.pie, old.intervals, *old.files_of_mediation())
        for path in (old.origin, *of_rounds, *drawn):
            remove(path)


def _remove_lam(paths: ResultPaths) -> None:
    """Remove the Local Attribution Map of an earlier run; what vouches for its files goes first."""
    for path in paths.files_of_lam():
        remove(path)


def _files_of_metric(paths: ResultPaths, name: str) -> list[Path]:
    """What there is of a metric beside PSNR, its draws aside."""
    return [paths.of_round(round_of("origin", name)), paths.map_of(name)]


def _write_manifest(cache: Cache, of_roi: Measurements, stored: dict[str, StoredRound], finished: bool) -> None:
    manifest = Manifest(
        provenance=cache.provenance,
        rois=cache.rois,
        inference=of_roi.inference,  # type: ignore[arg-type]
        batch_size=of_roi.batch_size,
        threads=of_roi.threads,
        reach=reach_rows(of_roi.reached),
        origin=of_roi.origin,
        unrounded_origin=of_roi.unrounded_origin,
        rounds=stored,
        metrics=of_roi.metrics,
        finished=finished,
        restored_sha256=of_roi.restored_sha256,
        wall_seconds=round(of_roi.seconds, 1),
    )
    write_bytes(cache.paths.manifest, manifest.to_bytes(), scratch=cache.paths.pair_folder)


def _write(paths: ResultPaths, name: str, values: NDArray[np.float64]) -> None:
    write_bytes(paths.of_round(name), mat_bytes(values, metric_label(name)), scratch=paths.pair_folder)


def shared_files(paths: ResultPaths) -> AbstractContextManager[None]:
    """Hold the only right to write what belongs to no single model and image: the run's pictures, and reports."""
    return sole_writer(paths.run.parent, LOCK_TIMEOUT_SECONDS)


@contextmanager
def drawn_from(paths: ResultPaths, manifest: Manifest | None) -> Iterator[None]:
    """Hold the only right to write beside results, to keep what was drawn from them.

    Args:
        paths: of the results.
        manifest: of the results as they were read; None if the published code wrote them.

    Raises:
        InputError: the results have changed since, or another process writes them.
    """
    with sole_writer(paths.pair_folder):
        if read_manifest(paths) != manifest:
            raise InputError(f"{paths.pair_folder} was computed anew while its maps were drawn; draw them again")
        yield


def _holds(path: Any, image: UInt8Image) -> bool:
    try:
        return np.array_equal(read_image(path), image)
    except InputError:
        return False
