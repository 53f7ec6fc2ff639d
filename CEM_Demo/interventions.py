"""What is pasted where: the bank of natural patches and the plan of the draws."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from CEM_Demo.errors import InputError
from CEM_Demo.images import read_image

STAGES = ("coarse", "fine")
BUNDLED = "CEM_Demo/patches/patches.npz"
PACKING = "pack patches with np.savez(path, patches=...), uint8 (N, p, p, 3)"


@dataclass(frozen=True)
class PatchBank:
    """Natural patches to intervene with: ``patches`` is N x p x p x 3 uint8 RGB."""

    patches: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.patches)

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels."""
        return hashlib.sha256(self.patches.tobytes()).hexdigest()

    def at_size(self, indices: NDArray[np.integer], side: int) -> NDArray[np.uint8]:
        """The patches of the indices N as N x side x side x 3 uint8.

        Resized where need be by OpenCV's cubic rule without antialiasing, as published for SR.
        """
        chosen = self.patches[indices]
        if chosen.shape[1] == side:
            return chosen
        resized = [cv2.resize(patch, (side, side), interpolation=cv2.INTER_CUBIC) for patch in chosen]
        return np.array(resized, dtype=np.uint8).reshape(-1, side, side, 3)


def load_bank(path: Path) -> PatchBank:
    """The bank in a packed ``.npz`` (array ``patches``) or a folder of PNG files, in the order of their names.

    Raises:
        InputError: nothing there, no patches in it, or patches that are not square, RGB and all of one size.
    """
    if path.is_dir():
        patches = _read_folder(path)
    elif path.is_file():
        patches = _read_packed(path)
    else:
        raise InputError(f"patch_path: {path} does not exist; the bundled bank is {BUNDLED}")
    if patches.dtype != np.uint8 or patches.ndim != 4 or patches.shape[1] != patches.shape[2] or patches.shape[3] != 3:
        raise InputError(
            f"patch_path: {path} holds {patches.dtype} {patches.shape}, not square RGB patches, uint8 (N, p, p, 3)"
        )
    if not patches.size:
        raise InputError(f"patch_path: {path} holds no patches; {BUNDLED} has 10,000")
    return PatchBank(patches)


def _read_folder(folder: Path) -> NDArray[np.uint8]:
    paths = sorted(folder.glob("*.png"))
    if not paths:
        held = sorted(entry.name for entry in folder.iterdir())
        what = f", only {', '.join(held[:3])}{', ...' if len(held) > 3 else ''}" if held else ""
        raise InputError(f"patch_path: the folder {folder} holds no .png patches{what}; the bundled bank is {BUNDLED}")
    patches = [read_image(path) for path in paths]
    for path, patch in zip(paths, patches, strict=True):
        if patch.shape != patches[0].shape:
            raise InputError(
                f"patch_path: {path.name} is {patch.shape[1]} x {patch.shape[0]} pixels, "
                f"{paths[0].name} is {patches[0].shape[1]} x {patches[0].shape[0]}; all must be of one size"
            )
    return np.stack(patches)


def _read_packed(path: Path) -> NDArray[np.uint8]:
    """The array ``patches``; objects, whose pickles could run code, are not read."""
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            raise InputError(f"patch_path: {path} is a .npy file; {PACKING}")
        with content:
            if "patches" not in content:
                held = ", ".join(content.files) or "nothing"
                raise InputError(f"patch_path: {path} has no array `patches`, it holds {held}; {PACKING}")
            return np.asarray(content["patches"])
    except InputError:
        raise
    except Exception as error:  # the readers of archives raise whatever the broken bytes make fail
        archive = "; unpack it and give its folder of .png files" if path.suffix in (".gz", ".tar", ".tgz") else ""
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"patch_path: {path} is no bank of patches ({reason}){archive or f'; {PACKING}'}") from error


@dataclass(frozen=True)
class Plan:
    """The interventions of one stage, in the order they are run; every array is of length N.

    Attributes:
        rows, columns: block that is replaced.
        draws: number of the draw on that block.
        patches: index into the bank.
        noise_seeds: uint64, the seed of the patch's own noise (DN).
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    draws: NDArray[np.int64]
    patches: NDArray[np.int64]
    noise_seeds: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice | NDArray[np.bool_]) -> Plan:
        return Plan(*(getattr(self, field.name)[part] for field in fields(self)))

    def of_blocks(self, chosen: NDArray[np.bool_]) -> Plan:
        """The part on the blocks for which ``chosen`` (rows x columns) is True."""
        return self[chosen[self.rows, self.columns]]

    @property
    def digest(self) -> str:
        """SHA-256 of the arrays."""
        digest = hashlib.sha256()
        for field in fields(self):
            digest.update(getattr(self, field.name).tobytes())
        return digest.hexdigest()


def make_plan(seed: int, image_name: str, stage: str, shape: tuple[int, int], draws: int, bank_size: int) -> Plan:
    """The plan for all blocks of an image in one stage, block by block in row-major order.

    Every draw's patch and noise depend on (seed, image name, stage, draw, block) alone: neither the order of the
    work nor the batch size nor the number of draws changes them, and all models of an image share them.
    """
    rows, columns = shape
    raw = np.stack([_random_words(seed, image_name, stage, draw, 2 * rows * columns) for draw in range(draws)])
    raw = raw.reshape(draws, 2, rows * columns).transpose(1, 2, 0).reshape(2, -1)
    block, draw = np.divmod(np.arange(rows * columns * draws), draws)
    return Plan(block // columns, block % columns, draw, (raw[0] % np.uint64(bank_size)).astype(np.int64), raw[1])


def _random_words(seed: int, image_name: str, stage: str, draw: int, count: int) -> NDArray[np.uint64]:
    # Raw words: unlike the distributions of NumPy's generators, they are the same in every version.
    name = int.from_bytes(hashlib.sha256(image_name.encode()).digest()[:16], "little")
    sequence = np.random.SeedSequence([seed, name, STAGES.index(stage), draw])
    return np.random.Philox(sequence).random_raw(count)
