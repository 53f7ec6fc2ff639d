"""Read finished results back from disk: this project's own, or those of the published code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from CEM_Demo.errors import InputError
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.method.measurements import Draws, round_of
from CEM_Demo.results.manifest import Manifest, read_manifest
from CEM_Demo.results.mat_files import read_mat
from CEM_Demo.results.paths import ResultPaths, metric_label
from CEM_Demo.results.provenance import digest_of
from CEM_Demo.results.sealed import WHAT_TO_DO

HOW_TO_REPAIR = "run demo_causal_effect_calculation.py with load_previous: 1 to compute it again"


@dataclass(frozen=True)
class Pictures:
    """What a run saw and made, H x W x 3 uint8 RGB each."""

    ground_truth: UInt8Image
    degraded: UInt8Image
    restored: UInt8Image


@dataclass(frozen=True)
class Results:
    """The finished measurements of one model on one ROI of an image.

    Attributes:
        origin: PSNR (dB) of the ROI without intervention.
        rounds: the draws by the name of their round, those of other metrics than PSNR as in ``ssim coarse``; rounds in
            which no block was tried are left out.
        manifest, pictures: None if the published code wrote the results.
    """

    origin: float
    rounds: dict[str, Draws]
    manifest: Manifest | None
    pictures: Pictures | None


def read_results(paths: ResultPaths) -> Results:
    """Read what a run or the published code wrote; what a run wrote is verified to the bit.

    Raises:
        InputError: files are missing, damaged or unfinished.
    """
    manifest = read_manifest(paths)
    if manifest is None:
        return _read_published(paths)
    if not manifest.finished:
        raise InputError(
            f"{paths.pair_folder} is not finished; run demo_causal_effect_calculation.py again with load_previous: 1"
        )
    try:
        # The file names hold the numbers of draws, which a config can change.
        return _read_own(paths.with_draws(manifest.draws), manifest)
    except InputError as error:
        raise InputError(f"{error}; {HOW_TO_REPAIR}") from error


def _read_own(paths: ResultPaths, manifest: Manifest) -> Results:
    origins = {"origin": manifest.origin}
    origins |= {round_of("origin", name): metric.origin for name, metric in manifest.metrics.items()}
    for name, written in origins.items():
        origin = read_mat(paths.of_round(name), metric_label(name))
        if origin.shape != (1, 1) or origin.item() != written:
            raise InputError(f"{paths.of_round(name)} is not what was written")
    rounds = {}
    for name, stored in manifest.rounds.items():
        if stored.sha256:
            values = read_mat(paths.of_round(name), metric_label(name))
            _check_digest(values, stored.sha256, paths.of_round(name))
            rounds[name] = Draws(values, stored.counts_of(manifest.shape))
    pictures = Pictures(
        _read_picture(paths.ground_truth, manifest.provenance["image_sha256"]),
        _read_picture(paths.degraded, manifest.provenance["degraded_sha256"]),
        _read_picture(paths.restored, manifest.restored_sha256),
    )
    return Results(manifest.origin, rounds, manifest, pictures)


def _read_published(paths: ResultPaths) -> Results:
    try:
        origin = read_mat(paths.origin)
        rounds = {"coarse": Draws.of_published(read_mat(paths.coarse))}
        if paths.fine.exists():
            rounds["fine"] = Draws.of_published(read_mat(paths.fine))
    except InputError as error:
        raise InputError(f"{error}; run demo_causal_effect_calculation.py first") from error
    wanted = {"coarse": True, "fine": rounds["fine"].counts > 0 if "fine" in rounds else False}
    for name, draws in rounds.items():
        if ((draws.counts < draws.values.shape[2]) & wanted[name]).any():
            raise InputError(f"{paths.of_round(name)} has zeros among its draws, so it is not finished; {WHAT_TO_DO}")
    return Results(origin.item(), rounds, None, None)


def _check_digest(values: NDArray[Any], expected: str, path: Path) -> None:
    if digest_of(values) != expected:
        raise InputError(f"{path} is not what was written")


def _read_picture(path: Path, digest: str) -> UInt8Image:
    picture = read_image(path)
    _check_digest(picture, digest, path)
    return picture
