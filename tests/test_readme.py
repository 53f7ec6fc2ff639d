"""The commands of the README and the other documents run, and the files that they name exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from CEM_Demo.config.schema import Config

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "CEM_Demo" / "docs").glob("*.md"))]
TEXT = "\n".join(path.read_text() for path in DOCUMENTS)
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()  # a command may go on in the next line
]


def as_tried(command: str) -> str:
    """A command as it is run here: without what takes long."""
    if "demo_CEM_generation.py" in command:
        return f"{command} --help"
    return command if "--dry-run" in command else f"{command} --dry-run"


SCRIPT_COMMANDS = sorted({as_tried(command) for command in COMMANDS if command.startswith("python demo_")})
MODULE_COMMANDS = [shlex.split(command) for command in COMMANDS if command.startswith("python -m")]


@pytest.mark.parametrize("command", SCRIPT_COMMANDS)
def test_commands_run(command: str) -> None:
    done = subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", sorted({words[2] for words in MODULE_COMMANDS}))
def test_modules_are_there(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for words in MODULE_COMMANDS:
        for option in [word for word in words if word.startswith("--") and words[2] == module]:
            assert option in done.stdout


def test_scripts_are_there() -> None:
    for command in COMMANDS:
        if command.startswith("bash "):
            assert (ROOT / command.split()[1]).is_file()


def test_every_key_is_in_the_table() -> None:
    for key, field in Config.model_fields.items():
        assert f"| `{key}` | {field.description} |" in TEXT


def test_files_it_names_exist() -> None:
    for path in re.findall(r"`(CEM_Demo/[\w/.-]+)`", TEXT) + re.findall(r"\]\((CEM_Demo/[^)]+)\)", TEXT):
        assert (ROOT / path).exists(), path


def test_no_placeholders_are_left() -> None:
    assert "<!--" not in TEXT


def test_links_between_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+\.md)\)", path.read_text()):
            assert (path.parent / target).is_file(), f"{path.name}: {target}"


def test_the_readme_fits_the_first_ten_minutes() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 250


def test_the_python_example_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = example.replace('"map.png"', repr(str(tmp_path / "map.png")))
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert (tmp_path / "map.png").is_file()
