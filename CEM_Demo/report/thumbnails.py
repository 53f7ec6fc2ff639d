"""The patches with which an ROI was restored best and worst: found again from the plan of the draws, in small."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.images import webp_bytes
from CEM_Demo.method.intervention import NaturalPatches
from CEM_Demo.method.patch_bank import PatchBank, load_bank
from CEM_Demo.method.plan import DrawSource
from CEM_Demo.report.panels import Map
from CEM_Demo.results.manifest import Manifest
from CEM_Demo.run.interventions import Chosen, bank_of
from CEM_Demo.run.sampling import make_sampling
from CEM_Demo.tasks.scene import keep_patches

# Interventions whose draws choose patches of a bank; noise, functions and edits of the image have no patches to show.
KINDS = ("natural", "images")
MOST_SIDE = 16  # pixels; patches of a larger bank are shown smaller
SHEET_COLUMNS = 100


@dataclass(frozen=True)
class Sheet:
    """The thumbnails of a page in one picture, row by row.

    Attributes:
        picture: bytes of a WebP file.
        side: of a thumbnail (pixels).
        columns: thumbnails in a row.
        width, height: of the picture (pixels).
    """

    picture: bytes
    side: int
    columns: int
    width: int
    height: int


def find_bank(config: Config) -> PatchBank | str:
    """Read the patches that the draws of a run chose from; or say why none can be shown."""
    source = config.intervention_source
    if source.kind not in KINDS:
        return f"What stood in a block is not shown, for {source.kind} pastes no natural patches."
    try:
        return bank_of(source, lambda: load_bank(Path(config.patch_path)), config.mask_block_size, config.seed)
    except InputError as error:
        return f"The patches are not shown, for they cannot be read: {error}."


def draws_of(
    config: Config, image: str, shape: tuple[int, int], bank: PatchBank, manifest: Manifest | None
) -> DrawSource | str:
    """Find again which patch each draw that makes an effect pasted; or say why that is not known.

    Args:
        config: of the run.
        image: its name, on which the draws depend.
        shape: block rows and block columns.
        bank: the patches.
        manifest: of the results, whose digests tell whether the patches and draws are theirs.
    """
    if manifest is None:
        return "The patches of unverified results are not known."
    if manifest.provenance.get("bank_sha256") != bank.digest:
        return "The patches are not shown, for the bank is not the one that the results were computed with."
    chosen = Chosen(NaturalPatches(bank, config.block, keep_patches), bank, stratified=True)
    sampling = make_sampling(config, image, shape, chosen)
    if manifest.provenance.get("plan_sha256") != sampling.digest:
        return "The patches are not shown, for the draws are not those of the results."
    _, on_blocks_that_matter = sampling.typical
    return on_blocks_that_matter.source


def best_and_worst(shown: Map, source: DrawSource) -> NDArray[np.int64]:
    """Give which patches of the bank restored the ROI best and worst: 2 x rows x columns, -1 where there are no draws.

    An effect is what the ROI lost, so that the best patch is that of the lowest draw.
    """
    some = shown.tried.any(axis=2)
    blocks = np.flatnonzero(some)
    found = np.full((2, *some.shape), -1)
    lowest = np.where(shown.tried, shown.draws, np.inf).argmin(axis=2)
    highest = np.where(shown.tried, shown.draws, -np.inf).argmax(axis=2)
    for patches, draws in zip(found, (lowest, highest), strict=True):
        patches[some] = source(blocks, draws[some])[0]
    return found


def make_sheet(bank: PatchBank, used: NDArray[np.int64]) -> Sheet:
    """Put patches of a bank, N in number, side by side into one picture."""
    side = min(bank.patches.shape[1], MOST_SIDE)
    columns = min(len(used), SHEET_COLUMNS)
    rows = -(-len(used) // columns)
    cells = np.zeros((rows * columns, side, side, 3), np.uint8)
    cells[: len(used)] = bank.at_size(used, side)
    picture = cells.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)
    return Sheet(webp_bytes(picture), side, columns, columns * side, rows * side)
