"""Predict and measure what incremental inference saves: ``python -m CEM_Demo.inference.benchmark``.

It prints a Markdown table for the demos' geometry: images of 256 x 256 pixels, an ROI of 32 pixels, blocks of 8 pixels,
3 coarse and 50 fine draws on every block. A few blocks are measured, from those that cost little to those that cost
much, and stand for the whole map; both inferences run in the same process, in turns. With ``--rois``, another table
compares several ROIs that share the work with as many that do not.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.device import DEVICES, check_device_name, exact_arithmetic, pick_device
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.images import read_image
from CEM_Demo.inference.choice import RoiGroup, choose_inference, is_cheaper
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.ModelZoo import at_scale, build_network, find, load_network
from CEM_Demo.tasks import Degradation, make_scene

PACKAGE = Path(__file__).parents[1]
IMAGE = PACKAGE / "test_images" / "Test1" / "demo_2.png"
BANK = PACKAGE / "patches" / "patches.npz"
MODELS = {
    "SR": ("EDSR", "SRResNet", "FSRCNN-16-6"),
    "DN": ("DnCNN", "SRResNet_DN", "RCAN_DN"),
    "DR": ("SRResNet_DR", "PReNet"),
}
TARGET_ROI = ROI.square(112, 112, 32)
BLOCK = 8
IMAGE_SIDE = 256
DRAWS = (3, 50)
COLUMNS = (
    "model",
    "blocks in reach",
    "multiply-adds dense (G)",
    "incremental (G)",
    "ratio",
    "dense (s)",
    "incremental (s)",
    "measured ratio",
    "largest difference",
    "auto takes",
)
ROI_COLUMNS = ("model", "ROIs", "inference", "groups", "one by one (s)", "together (s)", "ratio")


@exact_arithmetic()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; see ``--help``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=MODELS, help="take only this task's models")
    parser.add_argument("--models", nargs="+", help="models of the task instead of those of the demos")
    parser.add_argument("--device", type=check_device_name, default="auto", help=f"one of {DEVICES}")
    parser.add_argument("--blocks", type=int, default=8, help="how many blocks to measure (default: %(default)s)")
    parser.add_argument("--rois", type=int, help="compare this many ROIs in a row, together and one by one")
    chosen = parser.parse_args(arguments)
    if chosen.models and not chosen.task:
        parser.error("--models needs --task")
    device = pick_device(chosen.device)
    print(f"{_machine(device)}; seconds per intervention, mean over all blocks\n")
    columns = ROI_COLUMNS if chosen.rois else COLUMNS
    print(_line(columns), _line(["---"] * len(columns)), sep="\n")
    for task in [chosen.task] if chosen.task else MODELS:
        for model in chosen.models or MODELS[task]:
            if chosen.rois:
                line = measure_rois(task, model, device, chosen.blocks, chosen.rois)
            else:
                line = measure(task, model, device, chosen.blocks)
            print(_line(line), flush=True)


def measure(task: str, model: str, device: torch.device, sample: int) -> list[str]:
    """Give one line of the table, see ``COLUMNS``."""
    scale = 4 if task == "SR" else 1
    net, block = _network(task, model, scale), BLOCK // scale
    scene = make_scene(Degradation(task, scale), read_image(IMAGE), IMAGE.name)
    incremental = IncrementalInference(net, scene.degraded, TARGET_ROI, block, device)
    dense = DenseInference(net, scene.degraded, TARGET_ROI, device)
    cost = incremental.predicted_cost
    bank = load_bank(BANK)

    def interventions(corners: NDArray[np.int64]) -> NDArray[np.uint8]:
        random = np.random.default_rng(0)
        patches = bank.at_size(random.integers(len(bank), size=len(corners)), block)
        return scene.degrade_patches(patches, corners, random.integers(2**63, size=len(corners), dtype=np.uint64))

    predicted = [
        model,
        f"{cost.reached} / {cost.blocks}",
        f"{cost.dense / 1e9:.3g}",
        f"{cost.incremental / 1e9:.3g}",
        _ratio(cost.dense / cost.incremental),
    ]
    chosen = _spread(incremental, sample)
    if not is_cheaper(cost):
        # Comparing them would take too much time and memory.
        _, seconds = _timed(partial(dense.restore, chosen[:1], interventions(chosen[:1])))
        return [*predicted, f"{seconds:.3g}", "", "", "", "dense"]
    few = np.resize(chosen, (dense.automatic_batch_size(), 2))
    pasted = interventions(few)
    expected, before = _timed(partial(dense.restore, few, pasted))
    incremental.baseline()
    seconds = 0.0
    for corners in (np.repeat(corner[None], draws, axis=0) for draws in DRAWS for corner in chosen):
        seconds += _timed(partial(incremental.restore, corners, interventions(corners)))[1]
    seconds *= cost.reached / cost.blocks / len(chosen) / sum(DRAWS)
    _, after = _timed(partial(dense.restore, few, pasted))
    seconds_dense = min(before, after) / len(few)
    difference = float((incremental.restore(few, pasted).cpu() - expected).abs().max())
    measured = [f"{seconds_dense:.3g}", f"{seconds:.3g}", _ratio(seconds_dense / seconds), f"{difference:.1e}"]
    return [*predicted, *measured, "incremental"]


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def measure_rois(task: str, model: str, device: torch.device, sample: int, count: int) -> list[str]:
    """Give one line of the table of ROIs, see ``ROI_COLUMNS``: the ROIs lie in a row, a block apart."""
    scale = 4 if task == "SR" else 1
    net, block = _network(task, model, scale), BLOCK // scale
    scene = make_scene(Degradation(task, scale), read_image(IMAGE), IMAGE.name)
    apart = TARGET_ROI.width // 2 + BLOCK
    rois = [ROI.square(8 + apart * number, TARGET_ROI.top, TARGET_ROI.width // 2) for number in range(count)]
    bank = load_bank(BANK)
    corners = np.argwhere(np.ones((IMAGE_SIDE // BLOCK, IMAGE_SIDE // BLOCK), dtype=bool)) * block
    random = np.random.default_rng(0)
    corners = np.repeat(random.permutation(corners)[: 8 * sample], DRAWS[0], axis=0)
    patches = bank.at_size(random.integers(len(bank), size=len(corners)), block)
    pasted = scene.degrade_patches(patches, corners, random.integers(2**63, size=len(corners), dtype=np.uint64))

    def seconds(shares: list[RoiGroup]) -> float:
        total = 0.0
        for shared in shares:
            shared.inference.baseline()
            total += _timed(partial(shared.inference.restore, corners, pasted))[1]
        return total / len(corners)

    together = choose_inference(net, scene.degraded, rois, block, device)
    alone = [shared for roi in rois for shared in choose_inference(net, scene.degraded, [roi], block, device)]
    shared, single = seconds(together), seconds(alone)
    kinds = "/".join(sorted({part.inference.kind for part in together}))
    return [model, str(count), kinds, str(len(together)), f"{single:.3g}", f"{shared:.3g}", _ratio(single / shared)]


def _network(task: str, model: str, scale: int) -> nn.Module:
    """Load a network with its bundled or published weights, or with random ones if there are none."""
    for name in (f"{model}@Demo", model):
        try:
            return load_network(name, task, scale)
        except InputError:
            continue
    torch.manual_seed(0)
    return at_scale(build_network(model, task, scale).eval(), find(model, task), task, scale)


def _spread(incremental: IncrementalInference, sample: int) -> NDArray[np.int64]:
    """Choose corners of blocks in reach, evenly spread over them in the order of their cost."""
    corners = np.argwhere(np.ones(incremental.grid.shape, dtype=bool)) * incremental.grid.block
    reached = corners[incremental.reaches(corners)]
    ordered = reached[np.argsort(incremental.work_per_block(reached), kind="stable")]
    places = (np.arange(sample) + 0.5) / sample * len(ordered)
    return ordered[np.unique(places.astype(int))]


def _timed(run: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """Give a result that has left the device, and the seconds that it took."""
    begin = time.perf_counter()
    result = run().cpu()
    return result, time.perf_counter() - begin


def _machine(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, PyTorch {torch.__version__}"
    return f"{_processor()}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def _processor() -> str:
    """Give the name of the CPU; on Linux, the one that the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
