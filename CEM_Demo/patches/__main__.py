"""Banks of natural patches of your own: ``python -m CEM_Demo.patches cut --images FOLDER --out my.npz``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from CEM_Demo.command_line import exit_code
from CEM_Demo.errors import InputError, naming
from CEM_Demo.patches.banks import write_bank
from CEM_Demo.patches.cutting import cut_patches
from CEM_Demo.patches.photographs import read_photographs

SMALLEST, LARGEST = 2, 256  # pixels


def main(words: list[str] | None = None) -> int:
    """Cut a bank; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m CEM_Demo.patches", description=__doc__)
    parser.add_argument("command", choices=["cut"], help="cut a bank as sharp and as soft as the published one")
    parser.add_argument("--images", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--size", type=int, default=8, help="side of a patch in pixels (default: %(default)s)")
    parser.add_argument("--count", type=int, default=10_000, help="how many patches (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="the bank, FILE.npz; its picture goes to FILE.png")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    arguments = parser.parse_args(words)
    return exit_code(lambda: _cut(arguments))


def _cut(arguments: argparse.Namespace) -> None:
    if arguments.out.suffix != ".npz":
        raise InputError(f"--out: {arguments.out} must end with .npz")
    if not SMALLEST <= arguments.size <= LARGEST:
        raise InputError(f"--size: {arguments.size} is no side of a patch; give {SMALLEST} to {LARGEST} pixels")
    if arguments.count < 1 or arguments.seed < 0:
        raise InputError("--count must be 1 or more, --seed 0 or more")
    with naming(f"--images {arguments.images}"):
        photographs = read_photographs(arguments.images, arguments.size)
        patches = cut_patches(photographs, arguments.seed, arguments.size, arguments.count)
    write_bank(arguments.out, patches, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    sys.exit(main())
