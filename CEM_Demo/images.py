"""Read and write images as H x W x 3 uint8 RGB arrays."""

from __future__ import annotations

import unicodedata
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from CEM_Demo.errors import InputError
from CEM_Demo.files import reading
from CEM_Demo.geometry import ROI
from CEM_Demo.wording import did_you_mean, first_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UInt8Image = NDArray[np.uint8]
PEAK = 255  # the highest of 8-bit values, to which PSNR refers

# Formats of raster images; for others, Pillow runs a program on the file (EPS) or reads only part of the format.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM", "JPEG2000", "TGA")
# Pillow's modes for one channel of more than 8 bits.
DEEP_GREY_MODES = ("I", "I;16", "I;16B", "I;16L")
MOST_LEVELS = 1 << 16
ROI_COLOUR = (0, 255, 0)


def read_image(path: Path | str) -> UInt8Image:
    """Read the image in a file as H x W x 3 uint8 RGB.

    Gray and palettes become RGB; alpha is dropped, not composited; 16 bits are scaled to 8. With a warning, an image is
    turned as its EXIF orientation asks, CMYK becomes RGB, and only the first of several frames is read.

    Raises:
        InputError: there is no such file, it holds no image, or the range of its pixels is unknown.
    """
    path = Path(path)
    with reading(path):
        if not path.is_file():
            raise InputError(f"{path}: no such image{_nearest_files(path)}")
    try:
        return _read(path)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(f"{path}: has more than the {most:,} pixels that are read; crop it") from error
    except Exception as error:  # decoders may raise anything on broken bytes
        kinds = ", ".join(FORMATS)
        empty = not path.stat().st_size
        reason = "an empty file" if empty else f"not a readable image ({type(error).__name__}: {error})"
        raise InputError(f"{path}: {reason}; give a whole file of one of the formats {kinds}") from error


def _read(path: Path) -> UInt8Image:
    with Image.open(path, formats=FORMATS) as image:
        if image.mode == "F" or (image.mode in DEEP_GREY_MODES and not _is_16_bit(image)):
            raise InputError(f"{path}: its values are not 8 or 16 bits wide; save it as an 8-bit PNG")
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            warnings.warn(f"{path}: the first of its {frames} frames is taken", stacklevel=3)
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            warnings.warn(f"{path}: turned upright, as its EXIF orientation asks", stacklevel=3)
        if image.mode == "CMYK":
            warnings.warn(f"{path}: converted from CMYK to RGB, without a color profile", stacklevel=3)
        upright = ImageOps.exif_transpose(image)
        if upright.mode in DEEP_GREY_MODES:
            return _to_8_bits(np.asarray(upright))
        return np.array(upright.convert("RGB"))


def _is_16_bit(image: Image.Image) -> bool:
    lowest, highest = (float(value) for value in image.getextrema())  # type: ignore[arg-type]
    return lowest >= 0 and highest < MOST_LEVELS


def _to_8_bits(grey: NDArray[np.integer]) -> UInt8Image:
    levels = np.rint(grey / 257).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def image_files(folder: Path) -> list[Path]:
    """List the files of a folder that have the suffix of an image, in order of name; hidden ones are left out.

    Raises:
        InputError: there is no such folder, or it may not be read.
    """
    with reading(folder):
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder" if folder.exists() else f"the folder {folder} does not exist")
        suffixes = Image.registered_extensions()
        visible = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
    return sorted(path for path in visible if path.suffix.lower() in suffixes)


def png_bytes(image: UInt8Image) -> bytes:
    """Give the image as the bytes of a PNG file."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, format="png")
    return buffer.getvalue()


def figure_bytes(figure: Figure, dpi: float | None = None) -> bytes:
    """Draw a figure as the bytes of a PNG file, the same for the same figure, with ``dpi`` pixels per inch."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi="figure" if dpi is None else dpi, metadata={"Software": None})
    return buffer.getvalue()


def webp_bytes(image: UInt8Image, quality: int | None = None) -> bytes:
    """Give the image as the bytes of a WebP file, a quarter smaller than a PNG; lossy with a quality of 0..100."""
    buffer = BytesIO()
    kind = {"lossless": True} if quality is None else {"quality": quality}
    Image.fromarray(image).save(buffer, format="webp", method=2, **kind)
    return buffer.getvalue()


def with_roi_box(image: UInt8Image, roi: ROI, colour: tuple[int, int, int] = ROI_COLOUR) -> UInt8Image:
    """Copy the image and frame the ROI, in green or another RGB color, two pixels wide."""
    opposite = (roi.right, roi.bottom)
    return np.asarray(cv2.rectangle(image.copy(), (roi.left, roi.top), opposite, colour, 2), dtype=np.uint8)


def _nearest_files(path: Path) -> str:
    """Say what a path at which there is no file may have meant."""
    if path.is_dir():
        return "; it is a folder"
    if not path.parent.is_dir():
        return (
            f"; {path.parent} is not a folder" if path.parent.exists() else f"; the folder {path.parent} does not exist"
        )
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    if not names:
        return f"; {path.parent} holds no files"
    for name in names:
        if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", path.name):
            return f"; {path.parent} holds {name} in another Unicode form of the same letters: copy its name from there"
    hint = did_you_mean(path.name, names)
    return f"; {hint}{' ' * bool(hint)}{path.parent} holds {first_of(names, 5)}"
