"""Compare a network with the recorded one: its state dict, and its outputs with seeded weights."""

from __future__ import annotations

import gzip
import importlib.util
import json
import zlib
from pathlib import Path

import numpy as np
import torch

from shared_material import GOLDEN_ZOO

TOLERANCE = 1e-5


def seed_weights(net: torch.nn.Module) -> None:
    """Fill the weights from their keys and shapes, as the recorded network's were."""
    spec = importlib.util.spec_from_file_location("seed_weights", GOLDEN_ZOO / "seed_weights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.seed_weights(net)


def relative_error(found: torch.Tensor, expected: np.ndarray) -> float:
    """Divide the norm of the difference by the norm of ``expected``."""
    difference = found.double().numpy() - expected
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))


def assert_state_dict_is(net: torch.nn.Module, manifest: Path) -> None:
    """Check that keys, shapes and types are those of ``manifest``, in its order, and so are constant values."""
    recorded = json.loads(gzip.decompress(manifest.read_bytes()))
    expected = [[key, shape, dtype.removeprefix("torch.")] for key, shape, dtype in recorded["state"]]
    found = [[key, list(value.shape), str(value.dtype).split(".")[1]] for key, value in net.state_dict().items()]
    assert found == expected
    assert sum(weight.numel() for weight in net.parameters()) == recorded["num_params"]
    for key, facts in recorded["untouched_by_seeding"].items():
        assert zlib.crc32(net.state_dict()[key].contiguous().numpy().tobytes()) == facts["crc32"], key


def assert_outputs_are(net: torch.nn.Module, outputs: Path) -> None:
    """Check that with seeded weights the recorded inputs give the recorded outputs, gray or color (``_rgb``)."""
    seed_weights(net)
    golden = np.load(outputs)
    with torch.inference_mode():
        for suffix in ("", "_rgb"):
            if f"x{suffix}" in golden:
                output = net(torch.from_numpy(golden[f"x{suffix}"]).float())
                assert output.shape == golden[f"y{suffix}"].shape
                assert relative_error(output, golden[f"y{suffix}"]) <= TOLERANCE
