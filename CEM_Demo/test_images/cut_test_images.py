"""Cut the bundled test images (``Test1/demo_{1,2,3}.png``) from freely licensed photographs.

``python -m CEM_Demo.test_images.cut_test_images`` rewrites them; the program itself never runs this.

| image      | shows                | photograph | author, or page                               | licence       |
|------------|----------------------|------------|-----------------------------------------------|---------------|
| demo_1.png | a tower, tiled roofs | china      | danielbuechele (flickr, 6061409035)           | CC BY 2.0     |
| demo_2.png | a dahlia             | flower     | vultilion (flickr, 6056698931)                | CC BY 2.0     |
| demo_3.png | fur and palm leaves  | raccoon    | unnamed (public-domain-image.com, pixnio.com) | public domain |

The packages that provide the photographs are named in ``CEM_Demo/patches/cut_patches.py``. The demos' region of
interest, columns 112..143 and rows 112..143, lies on the eaves and railings before the lake, on petals before the dark
background, and on a leaf: structure that continues around it, and that a network can restore well enough to lose
something.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from CEM_Demo.errors import InputError
from CEM_Demo.patches.cut_patches import load_photograph

SIDE = 256


@dataclass(frozen=True)
class Crop:
    """A square of ``SIDE`` pixels in a photograph that is first shrunk ``shrink`` times (Lanczos).

    ``column`` and ``row``: the square's top-left corner, in pixels of the shrunk photograph.
    """

    photograph: str
    shrink: int
    column: int
    row: int

    def cut(self) -> Image.Image:
        """Cut out the square, 8-bit RGB."""
        image = Image.fromarray(load_photograph(self.photograph))
        size = (image.width // self.shrink, image.height // self.shrink)
        box = (self.column, self.row, self.column + SIDE, self.row + SIDE)
        return image.resize(size, Image.Resampling.LANCZOS).crop(box)


CROPS = {
    "demo_1.png": Crop("china", shrink=1, column=200, row=80),
    "demo_2.png": Crop("flower", shrink=1, column=304, row=104),
    "demo_3.png": Crop("raccoon", shrink=2, column=8, row=128),
}


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Cut the bundled test images.")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("Test1"), help="folder to write to")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Cut and write all images, and return the exit code."""
    options = parse_arguments(arguments)
    try:
        images = {name: crop.cut() for name, crop in CROPS.items()}
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        image.save(options.output / name, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
