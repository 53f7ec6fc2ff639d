"""Read and write images as H x W x 3 uint8 RGB arrays."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from CEM_Demo.errors import InputError

UInt8Image = NDArray[np.uint8]

# Pillow's modes for one channel of more than 8 bits.
DEEP_GREY_MODES = ("I", "I;16", "I;16B", "I;16L")


def read_image(path: Path) -> UInt8Image:
    """The image in a file as H x W x 3 uint8 RGB.

    Grey becomes RGB, a palette its colours; alpha is dropped, not composited; 16-bit grey is scaled to 8 bits.

    Raises:
        InputError: no such file, or no image in it.
    """
    if not path.is_file():
        near = _sibling_names(path)
        raise InputError(f"{path}: no such image{near}")
    try:
        with Image.open(path) as image:
            if image.mode in DEEP_GREY_MODES:
                return _to_8_bits(np.asarray(image))
            return np.array(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable image ({type(error).__name__}: {error})") from error


def _to_8_bits(grey: NDArray[np.integer]) -> UInt8Image:
    levels = np.rint(grey / 257).clip(0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def png_bytes(image: UInt8Image) -> bytes:
    """The image as the bytes of a PNG file."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, format="png")
    return buffer.getvalue()


def _sibling_names(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist"
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    return f"; {path.parent} holds {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}" if names else ""
