"""Killed at any moment and started again, a run ends with the bytes of an uninterrupted one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from CEM_Demo.cache import MAT_HEADER, read_mat, write_mat
from CEM_Demo.errors import InputError
from CEM_Demo.files import write_atomically
from conftest import photograph

ROOT = Path(__file__).parents[1]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(photograph(40, 40)).save(images / "photo_1.png")
    settings = yaml.safe_load((ROOT / "demo-DN_CEM.yml").read_text())
    settings |= {
        "Modellist": ["DnCNN@Demo"],
        "Imagelist": ["photo_1.png"],
        "TextImg_path": str(images),
        "patch_path": str(ROOT / "CEM_Demo" / "patches" / "patches.npz"),
        "w": 16,
        "h": 16,
        "ROI_size": 8,
        "fine_num": 12,
        "load_previous": 1,
        "device": "cpu",
        "batch_size": 4,
    }
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(settings))
    return path


def start(config: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "demo_causal_effect_calculation.py", "--config", str(config)]
    command += ["--set", f"output_dir={output}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def results(output: Path) -> dict[str, bytes]:
    """All that lies there but the manifest's wall time."""
    files = {path.relative_to(output).as_posix(): path.read_bytes() for path in output.rglob("*") if path.is_file()}
    return {
        name: b"\n".join(line for line in content.splitlines() if b"wall_seconds" not in line)
        if name.endswith("manifest.json")
        else content
        for name, content in files.items()
    }


def test_killed_runs_end_with_the_bytes_of_an_uninterrupted_one(tmp_path: Path, config: Path) -> None:
    begin = time.monotonic()
    process = start(config, tmp_path / "whole")
    assert process.wait() == 0, process.stderr and process.stderr.read()
    duration = time.monotonic() - begin
    expected = results(tmp_path / "whole")
    assert any("-F12.mat" in name for name in expected)

    random.seed(0)
    kills = 0
    for _ in range(4):
        process = start(config, tmp_path / "killed")
        time.sleep(duration * random.uniform(0.4, 0.9))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
    process = start(config, tmp_path / "killed")
    assert process.wait() == 0, process.stderr and process.stderr.read()
    assert kills
    found = {name: content for name, content in results(tmp_path / "killed").items() if not name.endswith(".part")}
    assert found == expected


def test_equal_arrays_make_equal_mat_files(tmp_path: Path) -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    write_mat(tmp_path / "a.mat", values)
    write_mat(tmp_path / "b.mat", values)
    content = (tmp_path / "a.mat").read_bytes()
    assert content == (tmp_path / "b.mat").read_bytes()
    assert content.startswith(MAT_HEADER)
    np.testing.assert_array_equal(read_mat(tmp_path / "a.mat"), values)


def test_a_damaged_mat_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    write_mat(path, np.arange(24.0).reshape(2, 3, 4))
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(InputError, match=r"a\.mat is damaged"):
        read_mat(path)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), write_atomically(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
