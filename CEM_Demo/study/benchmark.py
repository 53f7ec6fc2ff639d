"""Measure what two workers gain over one, and what the orchestration of a study costs; prints ratios of the same run.

``python -m CEM_Demo.study.benchmark`` needs two idle cores and some minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from CEM_Demo.config.schema import Config
from CEM_Demo.explain import BUNDLED_BANK
from CEM_Demo.study.jobs import jobs_of
from CEM_Demo.study.pool import work_through
from CEM_Demo.study.worker import Outcome

IMAGES = Path(__file__).parents[1] / "test_images" / "Test1"


def benchmark_config(folder: Path, models: Sequence[str], fine: int) -> Config:
    """Make the config of a study of denoising networks on the bundled images."""
    images = sorted(path.name for path in IMAGES.glob("*.png"))
    return Config(
        task="DN",
        sr=1,
        Modellist=list(models),
        TextImg_path=str(IMAGES),
        Imagelist=images,
        patch_path=str(BUNDLED_BANK),
        prefix="BENCHMARK",
        w=112,
        h=112,
        ROI_size=32,
        mask_block_size=16,
        coarse_num=3,
        fine_num=fine,
        load_previous=1,
        tol=0.01,
        device="cpu",
        output_dir=str(folder),
    )


def measure(models: Sequence[str], fine: int, workers: int) -> tuple[float, list[Outcome]]:
    """Run the study anew with so many single-thread workers; give its seconds, and the outcomes of its jobs."""
    with tempfile.TemporaryDirectory() as folder:
        config = benchmark_config(Path(folder), models, fine)
        outcomes: list[Outcome] = []
        began = time.perf_counter()
        work_through([config] * workers, 1, jobs_of(config), outcomes.append)
        return time.perf_counter() - began, outcomes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m CEM_Demo.study.benchmark", description=__doc__)
    parser.add_argument("--models", nargs="+", default=["DnCNN@Demo", "SRResNet_DN@Demo"], metavar="NAME")
    parser.add_argument("--fine", type=int, default=50, metavar="N", help="fine draws on a block (default 50)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="compared with one (default 2)")
    arguments = parser.parse_args()
    alone, outcomes = measure(arguments.models, arguments.fine, 1)
    together, _ = measure(arguments.models, arguments.fine, arguments.workers)
    of_jobs = sum(outcome.seconds for outcome in outcomes)
    workers, rest = arguments.workers, 100 * (alone - of_jobs) / of_jobs
    print(
        f"{len(outcomes)} jobs of {of_jobs / len(outcomes):.1f} s: one worker {alone:.1f} s, {workers} {together:.1f} s"
    )
    print(f"{workers} workers do {alone / together:.2f} times what one does")
    print(f"starting processes and handing out jobs takes {rest:.1f} % of the jobs' own time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
