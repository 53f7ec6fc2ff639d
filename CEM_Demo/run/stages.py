"""The method: coarse draws on every block, fine draws on those that moved the ROI (paper, section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.method.measurements import Measurements
from CEM_Demo.method.plan import Plan
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.ledger import Ledger


def run_stages(
    experiment: Experiment,
    plans: Mapping[str, Plan],
    tol: float,
    measurements: Sequence[Measurements],
    save: Callable[[], None] = lambda: None,
    label: str | None = None,
) -> None:
    """Run what is left of both stages, and fill in ``measurements``, one for each ROI of the experiment.

    Args:
        experiment: what is intervened on and measured.
        plans: of the coarse and the fine stage, for all blocks of the image.
        tol: dB; blocks that moved the PSNR by this much at least once pass to the fine stage.
        measurements: may hold what an earlier run did; the batch size is that of the first.
        save: keeps the measurements; called now and then, at the end of a stage, and when it is interrupted.
        label: names the work in front of the progress bars; None shows no bars.
    """
    everywhere = np.stack([plans["coarse"].stop] * len(measurements))
    run_round(experiment, "coarse", plans["coarse"], everywhere, measurements, save, label)
    moved = np.stack([passes_to_fine(of_roi.origin, of_roi.rounds["coarse"].values, tol) for of_roi in measurements])
    run_round(experiment, "fine", plans["fine"], moved * plans["fine"].stop, measurements, save, label)


def run_round(
    experiment: Experiment,
    name: str,
    plan: Plan,
    wanted: NDArray[np.int64],
    measurements: Sequence[Measurements],
    save: Callable[[], None],
    label: str | None,
) -> None:
    """Run what is left of one round, batch by batch; ``wanted`` tells how many draws each ROI wants of each block."""
    ledger = Ledger(name, plan.up_to(wanted.max(axis=0)), wanted, measurements, save)
    with ledger.saving() as record:
        for batch in ledger.batches_left(label):
            record(batch, experiment.measure_all(batch))


def passes_to_fine(origin: float, coarse: NDArray[np.float64], tol: float) -> NDArray[np.bool_]:
    """Rows x columns: whether any of the coarse draws (rows x columns x draws) moved the PSNR by ``tol`` dB or more."""
    # The extremes tell, without an array of all differences.
    return np.maximum(origin - coarse.min(axis=2), coarse.max(axis=2) - origin) >= tol
