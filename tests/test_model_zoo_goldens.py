"""Every network equals its published twin: state dict and outputs under one seeding rule."""

from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from CEM_Demo.ModelZoo import build_network, entries

GOLDEN = Path(__file__).parents[2] / "shared" / "golden_zoo"
CASES = [(task, entry.name) for entry in entries() for task in entry.tasks]

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="needs the recorded outputs in ../shared/golden_zoo")


def seed_weights(net: torch.nn.Module) -> None:
    spec = importlib.util.spec_from_file_location("seed_weights", GOLDEN / "seed_weights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.seed_weights(net)


def relative_error(found: torch.Tensor, expected: np.ndarray) -> float:
    difference = found.double().numpy() - expected
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))


@pytest.mark.parametrize(("task", "name"), CASES)
def test_state_dict_and_outputs_equal_the_goldens(task: str, name: str) -> None:
    net = build_network(name, task).eval()
    manifest = json.loads(gzip.decompress((GOLDEN / "manifests" / task / f"{name}.json.gz").read_bytes()))
    found = [[key, list(value.shape), str(value.dtype).removeprefix("torch.")] for key, value in net.state_dict().items()]
    expected = [[key, shape, dtype.removeprefix("torch.")] for key, shape, dtype in manifest["state"]]
    assert found == expected
    seed_weights(net)
    golden = np.load(GOLDEN / "outputs" / task / f"{name}.npz")
    with torch.inference_mode():
        for suffix in ("", "_rgb"):
            output = net(torch.from_numpy(golden[f"x{suffix}"]).float())
            assert output.shape == golden[f"y{suffix}"].shape
            assert relative_error(output, golden[f"y{suffix}"]) <= 1e-5
