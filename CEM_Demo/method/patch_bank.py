"""The bank of natural patches that interventions paste."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from CEM_Demo.errors import InputError
from CEM_Demo.files import reading
from CEM_Demo.images import read_image
from CEM_Demo.wording import first_of

BUNDLED = "CEM_Demo/patches/patches.npz"
PACKING = "pack patches with np.savez(path, patches=...), uint8 (N, p, p, 3)"


@dataclass(frozen=True)
class PatchBank:
    """Natural patches to intervene with.

    Attributes:
        patches: N x p x p x 3 uint8 RGB, N at least 1.
    """

    patches: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Raise InputError if the array does not hold patches."""
        shape = self.patches.shape
        if self.patches.dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
            raise InputError(f"holds {self.patches.dtype} {shape}, not square RGB patches, uint8 (N, p, p, 3)")
        if not self.patches.size:
            raise InputError(f"holds no patches; {BUNDLED} has 10,000")

    def __len__(self) -> int:
        return len(self.patches)

    @property
    def mean_colors(self) -> NDArray[np.float64]:
        """N x 3, the mean red, green and blue of each patch, 0..255."""
        return self.patches.mean(axis=(1, 2))

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels."""
        return hashlib.sha256(self.patches.tobytes()).hexdigest()

    def at_size(self, indices: NDArray[np.integer], side: int) -> NDArray[np.uint8]:
        """Give the patches of N indices as N x side x side x 3 uint8.

        Patches of another size are resized by OpenCV's cubic rule without antialiasing, as published for SR.
        """
        chosen = self.patches[indices]
        if chosen.shape[1] == side:
            return chosen
        resized = [cv2.resize(patch, (side, side), interpolation=cv2.INTER_CUBIC) for patch in chosen]
        return np.array(resized, dtype=np.uint8).reshape(-1, side, side, 3)


def load_bank(path: Path) -> PatchBank:
    """Load the bank in a packed ``.npz`` (array ``patches``) or a folder of PNG files, in the order of their names.

    Raises:
        InputError: there is no bank, it holds no patches, or they are not square, RGB and all of one size.
    """
    with reading(path):
        patches = _read_patches(path)
    try:
        return PatchBank(patches)
    except InputError as error:
        raise InputError(f"patch_path: {path} {error}") from error


def _read_patches(path: Path) -> NDArray[np.uint8]:
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return _read_packed(path)
    raise InputError(f"patch_path: {path} does not exist; the bundled bank is {BUNDLED}")


def _read_folder(folder: Path) -> NDArray[np.uint8]:
    paths = sorted(folder.glob("*.png"))
    if not paths:
        held = sorted(entry.name for entry in folder.iterdir())
        what = f", only {first_of(held)}" if held else ""
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
    """Read the array ``patches``; objects, whose pickles could run code, are not read."""
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
    except Exception as error:  # the readers of archives may raise anything on broken bytes
        archive = "; unpack it and give its folder of .png files" if path.suffix in (".gz", ".tar", ".tgz") else ""
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"patch_path: {path} is not a bank of patches ({reason}){archive or f'; {PACKING}'}"
        ) from error
