"""Keep the books of one round: which interventions are left, whose they are, and when to save."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from CEM_Demo.method.measurements import Measurements
from CEM_Demo.method.plan import Interventions, Plan

SECONDS_BETWEEN_SAVES = 2.0


class Ledger:
    """Hands out the batches of a round that are left, and records what was measured.

    ROIs that share an inference share the batches; each records only the draws that it wants.
    """

    def __init__(
        self,
        name: str,
        plan: Plan,
        wanted: NDArray[np.int64],
        measurements: Sequence[Measurements],
        save: Callable[[], None],
    ) -> None:
        """Open the books.

        Args:
            name: the name of the round.
            plan: its interventions, as many as any ROI wants.
            wanted: ROIs x rows x columns, how many of its first draws each ROI wants of each block.
            measurements: the measurements of each ROI, which may hold what an earlier run did.
            save: saves; it is called now and then, at the end, and when the round is interrupted.
        """
        self._name = name
        self._plan = plan
        self._wanted = wanted
        self._measurements = measurements
        self._save = save

    def batches_left(self, label: str | None) -> Iterator[Interventions]:
        """Give the batches of which some ROI lacks a part; a bar called ``label``, if any, shows the progress.

        Batches start at multiples of their size, so that a resumed run has the batches of an uninterrupted one.
        """
        size = self._measurements[0].batch_size
        with tqdm(
            total=len(self._plan), desc=f"{label} {self._name}", unit="intervention", disable=label is None
        ) as bar:
            for start in range(0, len(self._plan), size):
                part = slice(start, min(start + size, len(self._plan)))
                if self._is_left(part):
                    yield self._plan[part]
                    bar.update(part.stop - part.start)
                elif not bar.disable:  # a bar that is not shown does not know where it began
                    bar.initial += part.stop - part.start
                    bar.n += part.stop - part.start

    def _is_left(self, part: slice) -> bool:
        blocks, draws = self._plan.places(part)
        return any(
            ((draws < wanted.flat[blocks]) & (draws >= of_metric.counts.flat[blocks])).any()
            for wanted, of_roi in zip(self._wanted, self._measurements, strict=True)
            for of_metric in of_roi.draws_of(self._name).values()
        )

    @contextmanager
    def saving(self) -> Iterator[Callable[[Interventions, Sequence[Mapping[str, NDArray[np.float64]]]], None]]:
        """Give the function that records a batch; what is recorded is saved even after an interruption."""
        began = saved = time.monotonic()
        unsaved = False

        def record(batch: Interventions, measured: Sequence[Mapping[str, NDArray[np.float64]]]) -> None:
            nonlocal began, saved, unsaved
            now = time.monotonic()
            for wanted, of_roi, values in zip(self._wanted, self._measurements, measured, strict=True):
                chosen = batch.draws < wanted[batch.rows, batch.columns]
                for metric, draws in of_roi.draws_of(self._name).items():
                    draws.record(batch, values[metric], chosen)
                of_roi.seconds += (now - began) / len(self._measurements)
            began, unsaved = now, True
            if now - saved > SECONDS_BETWEEN_SAVES:
                self._save()
                began, saved, unsaved = time.monotonic(), time.monotonic(), False

        try:
            yield record
        finally:
            if unsaved:
                self._save()
