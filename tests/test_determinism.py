"""The same config gives the same bytes; what may change the last digits changes them no more than is stated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from CEM_Demo.geometry import ROI
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.inference.interface import Inference
from CEM_Demo.method.metric import psnr, squared_errors, to_uint8
from CEM_Demo.ModelZoo import load_network
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.reading import read_results
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from conftest import ROI_OF_TESTS, Tiny, make_config, photograph

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
MOST_DECIBELS = 0.002  # between batch sizes, and between the engines

IMAGE = photograph(48, 40)
TARGET_ROI = ROI.square(8, 16, 16)
CORNERS = np.repeat(np.array([[16, 8], [24, 16], [8, 24], [40, 32]]), [9, 5, 4, 1], axis=0)
BLOCKS = np.random.default_rng(0).integers(0, 256, (len(CORNERS), 8, 8, 3), dtype=np.uint8)


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return Tiny().eval() if name == "Tiny" else load_network(name, "DN")


def engine(kind: str, net: nn.Module) -> Inference:
    if kind == "dense":
        return DenseInference(net, IMAGE, TARGET_ROI, CPU)
    return IncrementalInference(net, IMAGE, TARGET_ROI, 8, CPU)


def decibels(inference: Inference, batch_size: int) -> NDArray[np.float64]:
    """Measure the PSNRs of the interventions, restored in batches."""
    starts = range(0, len(CORNERS), batch_size)
    parts = [inference.restore(CORNERS[at : at + batch_size], BLOCKS[at : at + batch_size]) for at in starts]
    truth = torch.from_numpy(IMAGE[TARGET_ROI.window].copy()).permute(2, 0, 1)
    return psnr(squared_errors(to_uint8(torch.cat(parts)), truth).numpy(), truth.numel())


@pytest.mark.parametrize("name", ["Tiny", "DnCNN@Demo"])
@pytest.mark.parametrize("kind", ["dense", "incremental"])
def test_threads_change_no_bit(name: str, kind: str) -> None:
    net = network(name)
    before = torch.get_num_threads()
    try:
        outputs = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            inference = engine(kind, net)
            outputs.append((inference.baseline(), inference.restore(CORNERS, BLOCKS)))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*outputs, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["Tiny", "DnCNN@Demo"])
def test_batches_and_engines_agree_within_what_is_stated(name: str) -> None:
    net = network(name)
    expected = decibels(engine("dense", net), len(CORNERS))
    for kind in ("dense", "incremental"):
        inference = engine(kind, net)
        for batch_size in (1, 2, 5, len(CORNERS)):
            assert np.abs(decibels(inference, batch_size) - expected).max() <= MOST_DECIBELS, (kind, batch_size)


@pytest.mark.parametrize("kind", ["dense", "incremental"])
def test_the_same_batches_give_the_same_bytes(tmp_path: Path, settings: dict[str, Any], kind: str) -> None:
    contents = []
    for folder in ("first", "second"):
        config = make_config(tmp_path, settings, inference=kind, output_dir=str(tmp_path / folder))
        compute_effects(prepare(config))
        paths = result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS)
        assert "fine" in read_results(paths).rounds
        contents.append([path.read_bytes() for path in (paths.origin, paths.coarse, paths.fine, paths.restored)])
    assert contents[0] == contents[1]


def test_processes_give_the_same_bytes(tmp_path: Path) -> None:
    """Compare processes with other orders of Python's sets, and other numbers of threads."""
    words = ["Modellist=[DnCNN@Demo]", "Imagelist=[demo_2.png]", "mask_block_size=64", "coarse_num=2", "fine_num=3"]
    contents = []
    for number in (1, 2):
        output = tmp_path / str(number)
        settings = [word for text in (*words, "device=cpu", f"output_dir={output}") for word in ("--set", text)]
        command = [sys.executable, "demo_causal_effect_calculation.py", "--config", "demo-DN_CEM.yml", *settings]
        environment = {**os.environ, "PYTHONHASHSEED": str(number), "OMP_NUM_THREADS": str(number)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        files = sorted(path for path in output.rglob("*") if path.is_file() and path.suffix in (".mat", ".png"))
        contents.append({path.relative_to(output): path.read_bytes() for path in files})
    assert any("-F3.mat" in path.name for path in contents[0])
    assert contents[0] == contents[1]
