"""Record the effects of the same patches on every block: ``python -m CEM_Demo.run.record_draws --out FILE.npz ...``.

The file is a population that :mod:`CEM_Demo.run.sampling_benchmark` replays. Blocks that the gradient predicts far
below the tolerance get a few draws, which are repeated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from CEM_Demo.command_line import exit_code
from CEM_Demo.device import exact_arithmetic, pick_device
from CEM_Demo.errors import InputError
from CEM_Demo.files import write_bytes
from CEM_Demo.geometry import ROI, grid_of
from CEM_Demo.images import read_image
from CEM_Demo.inference.choice import choose_inference
from CEM_Demo.method.allocation import Rule
from CEM_Demo.method.measurements import Draws
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.method.plan import Plan
from CEM_Demo.method.stratified_draws import color_order, make_sequence
from CEM_Demo.ModelZoo import load_network
from CEM_Demo.run.adaptive import AdaptiveSampling
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.tasks import Degradation, make_scene

BANK = Path(__file__).parents[1] / "patches" / "patches.npz"
ROI_SIDE = 32
BLOCK = 8
TOL = 0.01
# Blocks that are predicted below this share of the tolerance get so few draws.
NEGLIGIBLE = 0.03
FEW = 4


@dataclass(frozen=True)
class SamePatches:
    """Draws that paste the same patches on every block, each with noise of its own.

    Attributes:
        patches: M, indices into the bank.
        seeds: blocks x M uint64.
    """

    patches: NDArray[np.int64]
    seeds: NDArray[np.uint64]

    def __call__(
        self, blocks: NDArray[np.int64], draws: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """See :class:`~CEM_Demo.method.plan.DrawSource`."""
        return self.patches[draws], self.seeds[blocks, draws]


@exact_arithmetic()
def record(arguments: argparse.Namespace) -> None:
    """Measure the population that the arguments name, and write it."""
    top, left, side = arguments.crop
    scale = 4 if arguments.task == "SR" else 1
    image = read_image(arguments.image)[top : top + side, left : left + side]
    if image.shape[:2] != (side, side):
        raise InputError(f"--crop: {arguments.image} does not hold {side} x {side} pixels at row {top}, column {left}")
    scene = make_scene(Degradation(arguments.task, scale), np.ascontiguousarray(image), arguments.image.name)
    roi = ROI.square((side - ROI_SIDE) // 2 // BLOCK * BLOCK, (side - ROI_SIDE) // 2 // BLOCK * BLOCK, ROI_SIDE)
    device, net = pick_device("auto"), load_network(arguments.model, arguments.task, scale)
    grid = grid_of(scene.degraded, BLOCK // scale, scale)
    (group,) = choose_inference(net, scene.degraded, [roi], grid.block, device)
    experiment = Experiment(net, group, scene, grid, load_bank(BANK), device)
    write_bytes(arguments.out, population_of(experiment, roi, arguments.patches))


def population_of(experiment: Experiment, roi: ROI, count: int) -> bytes:
    """Measure ``count`` patches on every block of an experiment; the bytes of the ``.npz``."""
    grid, bank = experiment.grid, experiment.bank
    random = np.random.default_rng(0)
    blocks = grid.shape[0] * grid.shape[1]
    patches = random.choice(len(bank), count, replace=False)
    source = SamePatches(patches, random.integers(2**63, size=(blocks, count), dtype=np.uint64))
    sequence = make_sequence(0, "population", color_order(bank.mean_colors))
    predicted = AdaptiveSampling(sequence, grid.shape, Rule(TOL), False).predict(experiment, roi)
    overlaps = grid.overlaps(roi)
    reached = experiment.group.reached[0].reshape(grid.shape)
    full = (predicted >= NEGLIGIBLE * TOL) & ~overlaps
    plan = Plan(source, np.zeros(grid.shape, np.int64), np.where(reached, np.where(full, count, min(FEW, count)), 0))
    inference = experiment.group.inference
    batch_size = inference.automatic_batch_size()
    (measured,) = experiment.fresh_measurements(inference.baseline(), {"all": count}, batch_size)
    draws = measured.rounds["all"]
    for start in tqdm(range(0, len(plan), batch_size), unit="batch"):
        batch = plan[start : start + batch_size]
        draws.record(batch, experiment.measure(batch)[0], np.ones(len(batch), bool))
    content = BytesIO()
    np.savez(
        content,
        effects=_repeated(measured.origin, draws),
        patches=patches,
        colors=bank.mean_colors,
        reached=reached,
        roi=overlaps,
        predicted=predicted,
    )
    return content.getvalue()


def _repeated(origin: float, draws: Draws) -> NDArray[np.float64]:
    """The effects (dB) of all draws; where few were made, they stand for the others too. Zero where none was."""
    effects = np.where(draws.tried, origin - draws.values, 0.0)
    numbers = np.arange(effects.shape[2]) % np.maximum(draws.counts, 1)[..., None]
    return np.take_along_axis(effects, numbers, axis=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Record a population and return the exit code; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=("SR", "DN", "DR"), required=True)
    parser.add_argument("--model", required=True, help="of the zoo")
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--crop", type=int, nargs=3, default=(0, 0, 128), metavar=("TOP", "LEFT", "SIDE"))
    parser.add_argument("--patches", type=int, default=96, help="on every block (default: %(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.npz")
    chosen = parser.parse_args(arguments)
    return exit_code(lambda: record(chosen))


if __name__ == "__main__":
    sys.exit(main())
