"""Cut the bundled bank of natural patches (``patches.npz``) from freely licensed photographs.

``python -m CEM_Demo.patches.cut_patches`` rewrites the bank; the program itself never runs this. For a bank of your own
photographs there is ``python -m CEM_Demo.patches cut``.

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
from importlib import import_module
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.command_line import exit_code
from CEM_Demo.errors import InputError
from CEM_Demo.patches.banks import write_bank
from CEM_Demo.patches.cutting import cut_patches

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


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Cut the bundled bank of natural patches.")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("patches.npz"), help="the bank")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Cut the bank, write it, print its quantiles of sharpness, and return the exit code."""
    options = parse_arguments(arguments)
    return exit_code(lambda: write_bank(options.output, cut_patches(default_photographs(), options.seed)))


if __name__ == "__main__":
    sys.exit(main())
