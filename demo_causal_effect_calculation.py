"""Compute the causal effects of every model on every image of a config, and keep them on disk."""

from __future__ import annotations

import argparse
import sys

from CEM_Demo.attribution.blur_path import steps_that_change
from CEM_Demo.command_line import make_parser, run_script
from CEM_Demo.config.schema import Config
from CEM_Demo.inference.roi_graph import Cost
from CEM_Demo.results.paths import report_path
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.forecast import Forecast, forecast
from CEM_Demo.run.preparation import prepare


def work(config: Config, arguments: argparse.Namespace) -> None:
    run = prepare(config)
    if not arguments.dry_run:
        compute_effects(run)
        print("effects are computed; demo_CEM_generation.py draws their maps")
        return
    print(f"device {run.device}, seed {config.seed}, {len(run.bank)} patches")
    peak = 0
    for ahead in forecast(run):
        peak = max(peak, ahead.memory_bytes)
        passes = -(-ahead.coarse // ahead.batch_size) + -(-ahead.fine // ahead.batch_size)
        rois, folders = (" and ".join(map(str, names)) for names in (ahead.rois, ahead.folders))
        print(
            f"{ahead.model} on {ahead.image}, ROI {rois}: {ahead.coarse} coarse and up to {ahead.fine} fine "
            f"interventions, up to {passes} batches of {ahead.batch_size}, {ahead.kind} inference, "
            f"{work_of(ahead.cost)}{memory_of(ahead)}, {ahead.duration}; results in {folders}"
        )
    if "LAM" in config.maps:
        print(f"then LAM, {steps_that_change()} passes with gradients for each model and ROI, in the same folders")
    print(f"peak memory of the run about {peak / 2**30:.2f} GiB (host)")
    print(f"report: {report_path(config)}")


def memory_of(ahead: Forecast) -> str:
    """Write the predicted peaks of memory."""
    host = f"peak memory about {ahead.memory_bytes / 2**30:.2f} GiB (host)"
    return host if ahead.device_bytes is None else f"{host}, {ahead.device_bytes / 2**30:.2f} GiB (GPU)"


def work_of(cost: Cost | None) -> str:
    """Write the predicted work by either inference."""
    if cost is None:
        return ""
    dense, incremental = (multiply_adds / 1e6 for multiply_adds in (cost.dense, cost.incremental))
    return (
        f"{dense:,.0f} million multiply-adds per intervention dense, {incremental:,.1f} incremental "
        f"({cost.reached} of {cost.blocks} blocks reach the ROI), "
    )


if __name__ == "__main__":
    parser = make_parser(__doc__ or "")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and how long it would take")
    sys.exit(run_script(parser, work))
