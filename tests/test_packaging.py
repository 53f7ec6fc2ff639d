"""``pip install .`` gives the package with its data."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from CEM_Demo import __version__
from conftest import BUNDLED

ROOT = Path(__file__).parents[1]
FILES = ("pyproject.toml", "requirements.txt", "README.md", "LICENSE")
USE = """
from CEM_Demo.explain import BUNDLED_BANK
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.ModelZoo import load_denoise_model
print(len(load_bank(BUNDLED_BANK)), type(load_denoise_model("DnCNN@Demo")).__name__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which a copy of the checkout is installed, without what it depends on."""
    checkout, target = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("installed")
    shutil.copytree(ROOT / "CEM_Demo", checkout / "CEM_Demo", ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "CEM_Demo" / "ModelZoo" / "models" / "EDSR-64-16_15000.pth").write_bytes(b"of the user's own")
    for name in FILES:
        shutil.copy(ROOT / name, checkout)
    words = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    done = subprocess.run([sys.executable, "-m", *words, str(checkout)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def test_the_data_is_installed_and_nothing_of_the_user(installed: Path) -> None:
    models = {path.name for path in (installed / "CEM_Demo" / "ModelZoo" / "models").iterdir()}
    assert models == {f"{name}-Demo.{suffix}" for _, name in BUNDLED for suffix in ("json", "pth")}
    for suffix in ("*.html", "*.css", "*.js", "*.yml", "*.npz", "*.py", "demo_*.png"):
        wanted = {path.relative_to(ROOT) for path in (ROOT / "CEM_Demo").rglob(suffix)}
        found = {path.relative_to(installed) for path in (installed / "CEM_Demo").rglob(suffix)}
        assert found == {path for path in wanted if path.name != "cut_test_images.py"}


def test_the_installed_package_works_elsewhere(installed: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-c", USE]
    done = subprocess.run(words, cwd=tmp_path, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True)
    assert done.stdout == "10000 DnCNN\n", done.stderr


def test_its_metadata_are_the_projects(installed: Path) -> None:
    (metadata,) = installed.glob("*.dist-info/METADATA")
    lines = metadata.read_text(encoding="utf-8").splitlines()
    assert f"Version: {__version__}" in lines
    for requirement in (ROOT / "requirements.txt").read_text().split():
        assert f"Requires-Dist: {requirement}" in lines
