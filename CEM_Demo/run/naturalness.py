"""How far from natural each intervention is, beside its effect: ``python -m CEM_Demo.run.naturalness --config FILE``.

The first model, image and ROI of the config are taken, and one draw on each of some blocks, the same for all kinds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from CEM_Demo.command_line import make_parser, run_script
from CEM_Demo.config.intervention_sources import parse_intervention
from CEM_Demo.config.schema import Config
from CEM_Demo.device import exact_arithmetic
from CEM_Demo.method.naturalness import Naturalness, naturalness
from CEM_Demo.method.plan import make_plan
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.interventions import choose_intervention
from CEM_Demo.run.preparation import inferences_for, prepare

KINDS: tuple[str | dict[str, Any], ...] = (
    "natural",
    "shuffle",
    "noise",
    {"kind": "blur", "sigma": 1},
    {"kind": "blur", "sigma": 3},
    {"kind": "constant", "color": "block"},
    {"kind": "constant", "color": "image"},
    {"kind": "constant", "color": "zero"},
    "clean",
)
BLOCKS = 96


@exact_arithmetic()
def compare_kinds(config: Config, blocks: int = BLOCKS) -> Iterator[tuple[str, Naturalness, float]]:
    """For each kind: its name, how far from natural it is, and the root mean square effect (dB) of its draws.

    Args:
        config: whose first model, image and ROI are taken; its ``intervention`` is not.
        blocks: how many of those outside the ROI that can change it are tried, evenly spread.
    """
    run = prepare(config.model_copy(update={"intervention": "natural"}))
    posed, (model, *_) = run.posed_images[0], run.models.values()
    net, roi, grid = model.load(), posed.rois[0], posed.grid
    (group,) = inferences_for(run, net, posed, [roi])
    restored = group.inference.baseline()
    candidates = np.flatnonzero(group.reached[0] & ~grid.overlaps(roi).ravel())
    tried = np.zeros(grid.shape, np.int64)
    tried.flat[candidates[:: max(1, len(candidates) // blocks)]] = 1
    for given in KINDS:
        source = parse_intervention(given)
        if source.kind == "clean" and (config.task == "SR" or config.sr != 1):
            continue
        chosen = choose_intervention(source, posed.scene, grid, run.bank)
        batch = make_plan(config.seed, posed.name, "coarse", grid.shape, 1, len(chosen.bank)).up_to(tried)[:]
        experiment = Experiment(
            net, group, posed.scene, grid, chosen.bank, run.device, intervention=chosen.intervention
        )
        origin = experiment.fresh_measurements(restored, {}, 1)[0].origin
        effects = origin - experiment.measure(batch)[0]
        far = naturalness(posed.scene.degraded, chosen.intervention(batch))
        yield str(source), far, float(np.sqrt(np.square(effects).mean()))


def work(config: Config, arguments: argparse.Namespace) -> None:
    """Print the table."""
    print("| intervention | RMSE (levels) | seam | effect (dB, root mean square) |\n|---|---|---|---|")
    for name, far, effect in compare_kinds(config, arguments.blocks):
        seam = f"{far.seam:.1f}" if np.isfinite(far.seam) else "flat"
        print(f"| {name} | {far.error:.1f} | {seam} | {effect:.3f} |", flush=True)


if __name__ == "__main__":
    parser = make_parser(__doc__ or "")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="blocks that are tried (default: %(default)s)")
    sys.exit(run_script(parser, work))
