"""The memory of a run is bounded and predicted, and a run survives too little memory on a device."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.inference import choice, incremental
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.inference.network_memory import forward_bytes
from CEM_Demo.inference.process_memory import free_bytes, most_resident_bytes, resident_bytes
from CEM_Demo.inference.window_steps import Steps
from CEM_Demo.method.plan import make_plan
from CEM_Demo.ModelZoo import build_network
from CEM_Demo.run.forecast import forecast
from CEM_Demo.run.preparation import prepare
from conftest import Tiny, make_config, photograph

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures by /proc")

CORNERS = np.array([[8, 8]] * 5 + [[8, 16]] * 2 + [[24, 32]])


def blocks_for(corners: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (len(corners), 8, 8, 3), dtype=np.uint8)


def engines(net: nn.Module) -> list[DenseInference | IncrementalInference]:
    image, roi = photograph(32, 40), ROI.square(8, 8, 16)
    return [DenseInference(net, image, roi, CPU), IncrementalInference(net, image, roi, 8, CPU)]


STATED_AND_REAL = """
import sys
from pathlib import Path
from CEM_Demo.command_line import read_config
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.inference.process_memory import most_resident_bytes
from CEM_Demo.run.forecast import forecast
from CEM_Demo.run.preparation import prepare

run = prepare(read_config(Path(sys.argv[1]), sys.argv[2:]))
(ahead,) = forecast(run)
compute_effects(run)
print(ahead.memory_bytes, most_resident_bytes())
"""


@LINUX
@pytest.mark.parametrize(("model", "kind"), [("SRResNet_DN@Demo", "dense"), ("DnCNN@Demo", "incremental")])
def test_the_stated_peak_is_the_real_one(tmp_path: Path, model: str, kind: str) -> None:
    words = [f"Modellist=[{model}]", f"inference={kind}", "Imagelist=[demo_2.png]", "mask_block_size=128"]
    words += ["coarse_num=1", "fine_num=1", "tol=90", "load_previous=0", "device=cpu", f"output_dir={tmp_path}"]
    command = [sys.executable, "-c", STATED_AND_REAL, "demo-DN_CEM.yml", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    stated, real = map(int, done.stdout.splitlines()[-1].split())
    assert stated == pytest.approx(real, rel=0.3)


STRIPS = """
import numpy as np, torch
from torch import nn
from CEM_Demo.geometry import ROI
from CEM_Demo.inference.process_memory import most_resident_bytes, resident_bytes
from CEM_Demo.inference import incremental

incremental.BASELINE_BYTES["cpu"] = 64 << 20
net = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())
net.append(nn.Conv2d(64, 3, 3, padding=1))
image = np.zeros((768, 768, 3), np.uint8)
inference = incremental.IncrementalInference(net, image, ROI.square(300, 300, 32), 8, torch.device("cpu"))
inference.memory_bytes(1)
before = max(most_resident_bytes(), resident_bytes())
inference.baseline()
print(most_resident_bytes() - before)
"""


@LINUX
def test_large_images_go_in_strips() -> None:
    """One feature map of 64 channels takes 144 MiB, and the convolution between two of them three times that."""
    done = subprocess.run([sys.executable, "-c", STRIPS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 144 << 20


@pytest.mark.parametrize(("task", "name"), [("DN", "DnCNN"), ("DR", "PReNet"), ("SR", "FSRCNN"), ("SR", "LapSRN")])
def test_strips_give_what_the_whole_image_gives(monkeypatch: pytest.MonkeyPatch, task: str, name: str) -> None:
    torch.manual_seed(0)
    net = build_network(name, task).eval()
    scale = 4 if task == "SR" else 1
    image, roi = photograph(48, 40), ROI.square(8 * scale, 16 * scale, 8 * scale)
    blocks = blocks_for(CORNERS)
    whole = IncrementalInference(net, image, roi, 8, CPU)
    expected = whole.baseline(), whole.restore(CORNERS, blocks)
    monkeypatch.setitem(incremental.BASELINE_BYTES, "cpu", 1 << 16)
    monkeypatch.setattr(incremental, "rows_in_strip", lambda reach, share: 7)
    strips = IncrementalInference(net, image, roi, 8, CPU)
    found = strips.baseline(), strips.restore(CORNERS, blocks)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_activations_are_counted_while_they_are_alive() -> None:
    maps = 4 * 16 * 10 * 12
    pointwise = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Sigmoid(), nn.Tanh())
    assert forward_bytes(pointwise, 10, 12) == 2 * maps + 4 * 3 * 10 * 12
    # A convolution of larger kernels takes its output, and a copy of it or of its input, besides its input.
    assert forward_bytes(nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, padding=1)), 12, 14) >= 3 * maps


def test_a_plan_takes_no_memory() -> None:
    tracemalloc.start()
    plan = make_plan(0, "a.png", "fine", (128, 128), 60, 10_000)
    for start in range(0, len(plan), 200_000):
        plan[start : start + 512]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(plan) == 983_040  # of 40 bytes each
    assert most < 8 << 20


def test_steps_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    inference = engines(Tiny())[1]
    assert isinstance(inference, IncrementalInference)
    corners = np.argwhere(np.ones((4, 5))) * 8
    expected = inference.restore(corners, blocks_for(corners))
    monkeypatch.setattr(incremental, "MOST_STEPS", 3 * len(inference.roi_graph.graph.nodes))
    inference._steps.clear()
    found = inference.restore(corners, blocks_for(corners))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert 0 < sum(len(steps.steps) for steps in inference._steps.values()) <= incremental.MOST_STEPS


@pytest.mark.parametrize("kind", ["dense", "incremental"])
def test_too_little_memory_is_survived_and_warned_of_once(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    inference = next(engine for engine in engines(Tiny().eval()) if engine.kind == kind)
    blocks = blocks_for(CORNERS)
    expected = inference.restore(CORNERS, blocks)
    sizes = limit_batches(monkeypatch, most=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [inference.restore(CORNERS, blocks) for _ in range(2)]
    assert len(caught) == 1
    assert "out of memory on cpu" in str(caught[0].message)
    # A size that failed once is not tried again.
    assert sum(size > 2 for size in sizes) <= 2
    for restored in found:
        torch.testing.assert_close(restored, expected, rtol=0, atol=1e-5)
    limit_batches(monkeypatch, most=0)
    with pytest.raises(InputError, match="out of memory on cpu"):
        inference.restore(CORNERS, blocks)


def limit_batches(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let both engines run out of memory on larger batches; give the sizes that are tried."""
    sizes: list[int] = []

    def limited(run: Any) -> Any:
        def run_if_it_fits(self: Any, images: Tensor, *others: Any) -> Tensor:
            sizes.append(len(images))
            if len(images) > most:
                raise torch.OutOfMemoryError("simulated")
            return run(self, images, *others)

        return run_if_it_fits

    monkeypatch.setattr(Tiny, "forward", limited(Tiny.forward))
    monkeypatch.setattr(Steps, "__call__", limited(Steps.__call__))
    return sizes


def test_an_image_too_large_for_the_device_goes_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Tiny().eval()
    expected = engines(net)[1].baseline()
    monkeypatch.setattr(incremental, "run_whole", out_of_memory)
    with pytest.warns(UserWarning, match="out of memory on cpu"):
        found = engines(net)[1].baseline()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    sees_everything = nn.Sequential(nn.Conv2d(3, 3, 1), nn.AdaptiveAvgPool2d(40), nn.Conv2d(3, 3, 1)).eval()
    with pytest.raises(InputError, match="out of memory on cpu"):
        engines(sees_everything)[1].baseline()


def out_of_memory(*arguments: Any) -> Any:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8589934592 bytes")


def test_incremental_inference_that_cannot_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    image, roi = photograph(32, 40), ROI.square(8, 8, 16)
    monkeypatch.setattr(choice, "free_bytes", lambda: 1 << 20)
    with pytest.raises(InputError, match=r"incremental needs about .* GiB of memory for Tiny .* use auto or dense"):
        choice.choose_inference(Tiny(), image, [roi], 8, CPU, "incremental")
    (shared,) = choice.choose_inference(Tiny(), image, [roi], 8, CPU, "dense")
    assert shared.inference.kind == "dense"


@pytest.mark.parametrize("kind", ["auto", "dense", "incremental"])
def test_a_forecast_exports_each_network_once(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    exported = []
    export_graph = incremental.export_graph
    monkeypatch.setattr(incremental, "export_graph", lambda *words: exported.append(words) or export_graph(*words))
    (ahead,) = forecast(prepare(make_config(tmp_path, settings, inference=kind)))
    assert len(exported) == 1
    assert ahead.cost is not None
    assert ahead.device_bytes is None


@LINUX
def test_the_process_knows_its_memory() -> None:
    assert 0 < resident_bytes() <= most_resident_bytes()
    free = free_bytes()
    assert free is not None
    assert free > 0
