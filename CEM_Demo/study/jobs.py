"""The jobs of a study, the parts into which machines share them, and what of them is on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.files import LOCK, HeldByAnother, is_file, remove, sole_writer, write_bytes
from CEM_Demo.results.lam_files import read_lam, read_lam_manifest
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.paths import ResultPaths, result_paths
from CEM_Demo.results.provenance import changes_since, of_config
from CEM_Demo.results.reading import read_results

DONE, RUNNING, FAILED, LEFT = "done", "running", "failed", "left"
STATES = (DONE, RUNNING, FAILED, LEFT)


@dataclass(frozen=True)
class Job:
    """One model on all ROIs of one image, by their names in the config."""

    model: str
    image: str

    def __str__(self) -> str:
        """Name it as in ``EDSR@Demo on demo_1.png``."""
        return f"{self.model} on {self.image}"


def jobs_of(config: Config) -> list[Job]:
    """List the jobs of a study; those of one model follow each other, so that its network is loaded once."""
    return [Job(model, image) for model in config.models for image in config.Imagelist]


def shard_of(jobs: Sequence[Job], word: str | None) -> list[Job]:
    """Give the part of the jobs that ``2/4`` means, the second of four: disjoint parts, whatever is done already.

    Raises:
        InputError: the word has another form.
    """
    if word is None:
        return list(jobs)
    number, _, parts = word.partition("/")
    if not (number.isdecimal() and parts.isdecimal() and 1 <= int(number) <= int(parts)):
        raise InputError(f"--shard {word}: write i/n, from 1/n to n/n, as in 2/4 for the second of four parts")
    return list(jobs[int(number) - 1 :: int(parts)])


def study_folder(config: Config) -> Path:
    """Where a study keeps what belongs to no single result: its manifest, failures and logs."""
    return Path(config.output_dir) / f"{config.task}_{config.prefix}_Study"


def paths_of(config: Config, job: Job) -> list[ResultPaths]:
    """Where the results of a job lie, for each ROI."""
    return [result_paths(config, job.model, job.image, roi) for roi in config.rois_of(job.image)]


def is_done(config: Config, job: Job) -> bool:
    """Say whether all results of a job are there, whole to the bit, and those of this config."""
    try:
        for paths in paths_of(config, job):
            if read_results(paths).manifest is None or not paths.restored_with_roi.is_file():
                return False
            if "LAM" in config.maps:
                read_lam(paths)
    except InputError:
        return False
    return _complaint(config, job) is None


def state_of(config: Config, job: Job) -> tuple[str, str]:
    """Give the state of a job, one of ``STATES``, and in one line why it failed; what vouches for files is believed."""
    failure = read_failure(config, job)
    try:
        complaint = _complaint(config, job)
        if complaint is None and not any(_lacks_lam(config, paths) for paths in paths_of(config, job)):
            return DONE, ""
        if any(_is_held(paths.pair_folder) for paths in paths_of(config, job)):
            return RUNNING, ""
    except InputError as error:
        complaint = str(error)
    failure = complaint or failure
    return (FAILED, failure) if failure else (LEFT, "")


def _complaint(config: Config, job: Job) -> str | None:
    """None if the manifests of a job say that it is finished; else what another config did differently, if anything.

    Raises:
        InputError: a manifest is damaged.
    """
    finished = True
    for paths, roi in zip(paths_of(config, job), config.rois_of(job.image), strict=True):
        manifest = read_manifest(paths)
        finished = finished and manifest is not None and manifest.finished
        if manifest is not None:
            changes = changes_since(manifest.provenance, of_config(config, roi))
            if changes:
                return f"{paths.pair_folder} was computed differently: {'; '.join(changes)}"
    return None if finished else ""


def _lacks_lam(config: Config, paths: ResultPaths) -> bool:
    return "LAM" in config.maps and read_lam_manifest(paths) is None


def _is_held(folder: Path) -> bool:
    if not is_file(folder / LOCK):
        return False
    try:
        with sole_writer(folder):
            return False
    except HeldByAnother:
        return True


def failure_path(config: Config, job: Job) -> Path:
    """Where it is written why a job failed: one line, and below it the traceback of what was not expected."""
    return study_folder(config) / "failed" / job.model / f"{job.image}.txt"


def read_failure(config: Config, job: Job) -> str:
    """Give the line that says why a job failed; an empty string if it did not."""
    try:
        return failure_path(config, job).read_text(encoding="utf-8").split("\n", 1)[0]
    except OSError:
        return ""


def record_failure(config: Config, job: Job, line: str, details: str = "") -> None:
    """Write down why a job failed.

    Raises:
        InputError: it cannot be written, for example because the disk is full.
    """
    write_bytes(failure_path(config, job), f"{line}\n{details}".encode())


def forget_failure(config: Config, job: Job) -> None:
    """Remove the note that a job failed, for it did not this time."""
    if failure_path(config, job).exists():
        remove(failure_path(config, job))
