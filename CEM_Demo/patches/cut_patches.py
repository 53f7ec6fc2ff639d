"""Cut the bundled bank of natural patches (``patches.npz``) from freely licensed photographs.

``python -m CEM_Demo.patches.cut_patches`` rewrites the bank; the program itself never runs this.

All photographs are in color. The last column is the package that provides them:

| name      | shows                | author, or page                               | license       | package      |
|-----------|----------------------|-----------------------------------------------|---------------|--------------|
| astronaut | Eileen Collins       | NASA (flic.kr/p/r9qvLn)                       | public domain | scikit-image |
| chelsea   | a cat                | Stefan van der Walt                           | CC0           | scikit-image |
| coffee    | an espresso on wood  | Rachel Michetti, Pikolo Espresso Bar          | CC0           | scikit-image |
| rocket    | Falcon 9 with DSCOVR | SpaceX (flickr, spacexphotos/16511594820)     | public domain | scikit-image |
| china     | a tower over a lake  | danielbuechele (flickr, 6061409035)           | CC BY 2.0     | scikit-learn |
| flower    | a dahlia             | vultilion (flickr, 6056698931)                | CC BY 2.0     | scikit-learn |
| raccoon   | a raccoon in leaves  | unnamed (public-domain-image.com, pixnio.com) | public domain | SciPy        |

SciPy fetches the raccoon once over the network (``scipy.datasets.face`` needs pooch); the others lie in their packages
(checked with scikit-image 0.26 and scikit-learn 1.9). scikit-learn's README credits the dahlia to the author of the
tower, but links vultilion's page. No patch comes from a part that a bundled test image shows.

Each photograph is cut at full and at half size: with two scales, few patches need to overlap.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from CEM_Demo.errors import InputError
from CEM_Demo.files import reading
from CEM_Demo.patches.sharpness import patch_sharpness

# The module, function and arguments that load each photograph.
LOADERS = {
    "astronaut": ("skimage.data", "astronaut"),
    "chelsea": ("skimage.data", "chelsea"),
    "coffee": ("skimage.data", "coffee"),
    "rocket": ("skimage.data", "rocket"),
    "china": ("sklearn.datasets", "load_sample_image", "china.jpg"),
    "flower": ("sklearn.datasets", "load_sample_image", "flower.jpg"),
    "raccoon": ("scipy.datasets", "face"),
}
# The name and columns of each part that is cut; the missing columns hold the bundled test images.
PARTS = (
    ("astronaut", slice(None)),
    ("chelsea", slice(None)),
    ("coffee", slice(None)),
    ("rocket", slice(None)),
    ("china", slice(356, None)),
    ("flower", slice(0, 192)),
    ("flower", slice(448, None)),
    ("raccoon", slice(0, 300)),
    ("raccoon", slice(820, None)),
)
SUFFIXES = (".jpeg", ".jpg", ".png")
BANK_SIZE = 10_000
SIDE = 8

# The sharpness of the published bank, without its end: two patches, of 949 and 1061, lie beyond 900.
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.50, 0.75, 0.95, 0.99, 1.0)
SHARPNESS = (0, 0, 7, 20, 56, 148, 368, 543, 900)

# The smallest distance (pixels, along rows or columns) of two patches of a photograph. They lie apart if the
# photographs allow it, and overlap where patches are scarce: very sharp ones, and different ones of no sharpness.
SPACINGS = (SIDE, SIDE * 3 // 4, SIDE // 2, SIDE // 4)


@dataclass(frozen=True)
class Candidates:
    """Every patch that could be cut, in parallel int64 arrays with one value per patch."""

    photograph: NDArray[np.int64]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    sharpness: NDArray[np.int64]


def load_photograph(name: str) -> NDArray[np.uint8]:
    """Load one photograph of the table above, height x width x 3, uint8, RGB."""
    module, function, *arguments = LOADERS[name]
    try:
        return np.asarray(getattr(import_module(module), function)(*arguments), np.uint8)
    except (ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"photograph {name}: cannot be loaded ({reason}); 'pip install scikit-image scikit-learn pooch'"
        ) from error


def default_photographs() -> list[NDArray[np.uint8]]:
    """Load the parts of the photographs of the table above, height x width x 3, uint8, RGB."""
    return [load_photograph(name)[:, columns] for name, columns in PARTS]


def folder_photographs(folder: Path) -> list[NDArray[np.uint8]]:
    """Load the color photographs of a folder in order of name, height x width x 3, uint8, RGB."""
    if not folder.is_dir():
        raise InputError(f"--photographs {folder}: no such folder")
    photographs = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            with reading(path), Image.open(path) as image:
                if image.mode == "RGB" and min(image.size) >= SIDE:
                    photographs.append(np.array(image))
    if not photographs:
        raise InputError(f"--photographs {folder}: holds no RGB photograph ({', '.join(SUFFIXES)})")
    return photographs


def with_half_sizes(photographs: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Add each photograph (height x width x 3, uint8, RGB) at half its size (Lanczos), if a patch fits."""
    images = [Image.fromarray(photograph) for photograph in photographs if min(photograph.shape[:2]) >= 2 * SIDE]
    halves = [image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS) for image in images]
    return [*photographs, *(np.array(half) for half in halves)]


def sharpness_map(photograph: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Measure the sharpness of the patch that starts at each pixel: (height - 7) x (width - 7), int64."""
    windows = sliding_window_view(photograph, (SIDE, SIDE), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    # One row of windows at a time: all of them at once would be 64 copies of the photograph.
    return np.stack([patch_sharpness(row) for row in windows])


def find_candidates(photographs: Sequence[NDArray[np.uint8]]) -> Candidates:
    """List every position of every photograph."""
    columns: list[list[NDArray[np.int64]]] = []
    for index, photograph in enumerate(photographs):
        sharpness = sharpness_map(photograph)
        row, column = np.indices(sharpness.shape)
        columns.append([np.full(sharpness.size, index), row.ravel(), column.ravel(), sharpness.ravel()])
    return Candidates(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))


def wanted_per_level() -> NDArray[np.int64]:
    """Count the wanted patches of each sharpness, from 0 up, by interpolating the published quantiles."""
    ranks = (np.arange(BANK_SIZE) + 0.5) / BANK_SIZE
    return np.bincount(np.rint(np.interp(ranks, QUANTILES, SHARPNESS)).astype(np.int64))


def draw_order(candidates: Candidates, seed: int) -> NDArray[np.int64]:
    """Order the indices by sharpness; within one, the order is random and the photographs take turns."""
    chance = np.random.default_rng(seed).random(candidates.sharpness.size)
    order = np.lexsort((chance, candidates.photograph, candidates.sharpness))
    group = candidates.sharpness[order] * (candidates.photograph.max() + 1) + candidates.photograph[order]
    turn = np.arange(order.size) - np.searchsorted(group, group)
    return order[np.lexsort((turn, candidates.sharpness[order]))]


class Picker:
    """Takes patches that differ from, and keep their distance to, those already taken."""

    def __init__(self, photographs: Sequence[NDArray[np.uint8]], candidates: Candidates) -> None:
        self.photographs = photographs
        self.candidates = candidates
        self.corners = [np.zeros(photograph.shape[:2], bool) for photograph in photographs]
        self.pixels: set[bytes] = set()
        self.taken: list[int] = []

    def cut(self, index: int) -> NDArray[np.uint8]:
        """Cut out the pixels of one candidate, 8 x 8 x 3, uint8, RGB."""
        row, column = self.candidates.row[index], self.candidates.column[index]
        photograph = self.photographs[self.candidates.photograph[index]]
        patch: NDArray[np.uint8] = photograph[row : row + SIDE, column : column + SIDE]
        return patch

    def try_to_take(self, index: int, spacing: int) -> bool:
        """Take one candidate unless another lies within ``spacing`` pixels or has the same pixels."""
        corners = self.corners[self.candidates.photograph[index]]
        row, column = self.candidates.row[index], self.candidates.column[index]
        top, left = max(row - spacing + 1, 0), max(column - spacing + 1, 0)
        pixels = self.cut(index).tobytes()
        if corners[top : row + spacing, left : column + spacing].any() or pixels in self.pixels:
            return False
        corners[row, column] = True
        self.pixels.add(pixels)
        self.taken.append(index)
        return True

    def take(self, indices: NDArray[np.int64], wanted: int) -> int:
        """Take up to ``wanted`` candidates of ``indices``, as far apart as possible; return how many are lacking."""
        for spacing in SPACINGS:
            for index in indices:
                if wanted == 0:
                    return 0
                wanted -= self.try_to_take(int(index), spacing)
        return wanted


def cut_patches(photographs: Sequence[NDArray[np.uint8]], seed: int) -> NDArray[np.uint8]:
    """Cut 10,000 different patches, 10,000 x 8 x 8 x 3, uint8, RGB, ordered by sharpness and position.

    The position is photograph (all at full size, then all at half), row, column. It raises InputError if the
    photographs hold too few patches.
    """
    photographs = with_half_sizes(photographs)
    candidates = find_candidates(photographs)
    order = draw_order(candidates, seed)
    ordered = candidates.sharpness[order]
    wanted = wanted_per_level()
    picker = Picker(photographs, candidates)
    lacking = 0
    for level in reversed(range(wanted.size)):
        # What one level lacks is taken from the next softer one, so that the bank is always full.
        start, stop = np.searchsorted(ordered, (level, level + 1))
        lacking = picker.take(order[start:stop], int(wanted[level]) + lacking)
    if lacking:
        raise InputError(f"--photographs: {lacking} of {BANK_SIZE} patches cannot be cut; add photographs")
    # Candidates are in order of position, so their index breaks ties of sharpness.
    by_sharpness = sorted(picker.taken, key=lambda index: (candidates.sharpness[index], index))
    return np.stack([picker.cut(index) for index in by_sharpness])


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Cut the bundled bank of natural patches.")
    parser.add_argument("--photographs", type=Path, help="folder of RGB photographs (default: the ones in LOADERS)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("patches.npz"), help="the bank")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Cut the bank, write it, print its quantiles of sharpness, and return the exit code."""
    options = parse_arguments(arguments)
    try:
        chosen = options.photographs
        photographs = default_photographs() if chosen is None else folder_photographs(chosen)
        patches = cut_patches(photographs, options.seed)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    np.savez_compressed(options.output, patches=patches)
    reached = np.quantile(patch_sharpness(patches), QUANTILES)
    print(f"{options.output}: {len(patches)} patches, {options.output.stat().st_size} bytes")
    for quantile, published, value in zip(QUANTILES, SHARPNESS, reached, strict=True):
        print(f"{quantile:7.0%}  wanted {published:4d}  reached {value:6.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
