"""Which degraded input belongs to which ground truth, and their scale."""

from __future__ import annotations

from pathlib import Path

from CEM_Demo.errors import InputError, naming
from CEM_Demo.files import is_file
from CEM_Demo.geometry import SCALES
from CEM_Demo.images import UInt8Image, image_files, read_image
from CEM_Demo.wording import first_of


def find_input(folder: Path, name: str) -> Path:
    """Find the image in ``folder`` with the ground truth's name, or else the one with its stem and another suffix.

    Raises:
        InputError: there is none, or several differ from ``name`` in their suffix alone.
    """
    with naming("input_path"):
        if is_file(folder / name):
            return folder / name
        images = image_files(folder)
    found = [path for path in images if path.stem == Path(name).stem]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(f"input_path: {folder} holds several inputs for {name}: {names}; keep one")
    if not found:
        there = first_of([path.name for path in images], 5) or "no images"
        raise InputError(
            f"input_path: {folder} holds no input for {name}; an input has the same name or stem; there: {there}"
        )
    return found[0]


def scale_of_pair(ground_truth: UInt8Image, given: UInt8Image, name: str, path: Path) -> int:
    """Divide the side of the ground truth by that of its input; both sides must have this ratio.

    Raises:
        InputError: the sizes have no such ratio; the message names the ground truth ``name`` and its input ``path``.
    """
    (height, width), (low_height, low_width) = ground_truth.shape[:2], given.shape[:2]
    for scale in SCALES:
        if (height, width) == (low_height * scale, low_width * scale):
            return scale
    raise InputError(
        f"input_path: {name} is {width} x {height} pixels and its input {path} {low_width} x {low_height}; "
        f"both sides must be {', '.join(map(str, SCALES[:-1]))} or {SCALES[-1]} times as long; crop or resize the files"
    )


def find_scale(ground_truths: Path, inputs: Path, name: str) -> int:
    """Find the scale of the pair of images called ``name`` in two folders.

    Raises:
        InputError: an image is missing, or :func:`scale_of_pair` finds no scale.
    """
    given = find_input(inputs, name)
    return scale_of_pair(read_image(ground_truths / name), read_image(given), name, given)
