"""The manifest of a study: which images, ROIs, models and patches it is about, and how many threads compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.files import sole_writer, write_bytes
from CEM_Demo.results.cache import LOCK_TIMEOUT_SECONDS
from CEM_Demo.results.provenance import differences, digest_of, of_config, versions
from CEM_Demo.results.sealed import Sealed, read_sealed
from CEM_Demo.run.preparation import find_model, prepare_shared, read_image_of
from CEM_Demo.study.jobs import study_folder
from CEM_Demo.tasks.super_resolution import crop_to_multiple

THREADS = 1


class StudyImage(BaseModel):
    """An image of a study: the SHA-256 of its ground truth, as in the manifests of results, and its ROIs.

    ``missing`` says in one line why it could not be read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: str = ""
    rois: list[str]
    missing: str = ""


class StudyModel(BaseModel):
    """A model of a study: what decides its numbers; ``missing`` says in one line why it could not be found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provenance: dict[str, Any] = {}
    missing: str = ""


class StudyManifest(Sealed):
    """What a study used when it was last started.

    Attributes:
        format: number of this form of manifest.
        config: what decides the numbers, apart from the files.
        threads: that each job computes with, so that all machines get the same bytes.
        shared: digests of the patches and of the user's own metrics.
        images: by their names.
        models: by their labels.
        versions: of all that may change the numbers.
        seal: digest of all the above.
    """

    format: Literal[1] = 1
    config: dict[str, Any]
    threads: int
    shared: dict[str, Any]
    images: dict[str, StudyImage]
    models: dict[str, StudyModel]
    versions: dict[str, str]
    seal: str = ""


def manifest_path(config: Config) -> Path:
    """Where the manifest of a study lies."""
    return study_folder(config) / "manifest.json"


def read_study_manifest(config: Config) -> StudyManifest | None:
    """Read the manifest of a study; None if it was never started.

    Raises:
        InputError: it is damaged, or of another format.
    """
    return read_sealed(manifest_path(config), StudyManifest)


def threads_of(config: Config, asked: int | None) -> int:
    """Give the threads of each job: those that the study began with, or those that are asked for, or one.

    Raises:
        InputError: the study began with another number than is asked for.
    """
    if asked is not None and asked < 1:
        raise InputError(f"--threads {asked}: give 1 or more")
    earlier = read_study_manifest(config)
    if earlier is None:
        return asked or THREADS
    if asked not in (None, earlier.threads):
        raise InputError(
            f"--threads {asked}: this study began with {earlier.threads}, and another number could change the last "
            "digits; leave --threads out, or give the study another prefix"
        )
    return earlier.threads


def record_study(config: Config, threads: int) -> StudyManifest:
    """Write the manifest of a study that is about to run; images and models may have been added to an earlier one.

    An image or model that cannot be found is noted: its jobs fail, and the others go on.

    Raises:
        InputError: an image, its ROIs, a model, the patches or a setting are not what an earlier start recorded.
    """
    now = _describe(config, threads)
    with sole_writer(study_folder(config), LOCK_TIMEOUT_SECONDS):
        earlier = read_study_manifest(config)
        changes = _changes(earlier, now) if earlier else []
        if changes:
            raise InputError(
                f"{study_folder(config)}: this study began otherwise: {'; '.join(changes)}; "
                "set that back, or give the study another prefix"
            )
        if earlier is None or now.to_bytes() != earlier.to_bytes():
            write_bytes(manifest_path(config), now.to_bytes())
    return now


def _describe(config: Config, threads: int) -> StudyManifest:
    decides = of_config(config, config.rois_of(config.Imagelist[0])[0])
    return StudyManifest(
        config={key: value for key, value in decides.items() if key != "roi"},
        threads=threads,
        shared=prepare_shared(config).recorded,
        images={name: _describe_image(config, name) for name in config.Imagelist},
        models={label: _describe_model(config, label) for label in config.models},
        versions=versions(),
    )


def _describe_image(config: Config, name: str) -> StudyImage:
    rois = [str(roi) for roi in config.rois_of(name)]
    try:
        ground_truth = crop_to_multiple(read_image_of(config, name), config.sr)
    except InputError as error:
        return StudyImage(rois=rois, missing=str(error))
    return StudyImage(sha256=digest_of(ground_truth), rois=rois)


def _describe_model(config: Config, label: str) -> StudyModel:
    try:
        return StudyModel(provenance=find_model(config, label).provenance())
    except InputError as error:
        return StudyModel(missing=str(error))


def _changes(earlier: StudyManifest, now: StudyManifest) -> list[str]:
    """List what both know and know differently."""
    changes = []
    for key in ("config", "shared", "versions"):
        changes += differences(getattr(earlier, key), getattr(now, key))
    both: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = [
        *_in_both(earlier.images, now.images),
        *_in_both(earlier.models, now.models),
    ]
    for name, before, after in both:
        if not before["missing"] and not after["missing"]:
            changes += [f"{name}: {change}" for change in differences(before, after)]
    return changes


def _in_both(
    earlier: Mapping[str, BaseModel], now: Mapping[str, BaseModel]
) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    return [(name, earlier[name].model_dump(), now[name].model_dump()) for name in earlier if name in now]
