"""The paper's experiments as studies can be parsed and planned, and say what is missing and what was published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from CEM_Demo.command_line import read_config
from CEM_Demo.ModelZoo import find
from CEM_Demo.ModelZoo.registry import check_scale
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.forecast import forecast
from CEM_Demo.run.preparation import prepare
from CEM_Demo.study.paper.__main__ import main
from CEM_Demo.study.paper.experiments import EXPERIMENTS, FOLDER, checkpoints_of, published_of, study_file

STUDIES = sorted({study for experiment in EXPERIMENTS.values() for study in experiment.studies})
ROIS = "rois=[{left: 8, top: 8, width: 16, height: 16}]"


def changes_for(settings: dict[str, Any], **more: Any) -> list[str]:
    """What makes a study of the paper one of the tests' network and image."""
    keys = ("Modellist", "TextImg_path", "Imagelist", "patch_path", "output_dir", "coarse_num", "fine_num", "device")
    given = {key: settings[key] for key in keys} | more
    return [ROIS, *(f"{key}={json.dumps(value)}" for key, value in given.items())]


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_lists_models_that_the_zoo_has_with_published_weights(study: str) -> None:
    config = read_config(study_file(study))
    assert set(checkpoints_of(config)) == set(config.models)
    for label in config.models:
        check_scale(find(label, config.task), "Base", config.task, config.sr)
    assert {row.model for row in published_of(study)} <= set(config.models)


def test_every_file_belongs_to_an_experiment() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.yml")) == sorted([*STUDIES, "published"])
    published = yaml.safe_load((FOLDER / "published.yml").read_text())
    assert {row["study"] for row in published} <= set(STUDIES)
    for row in published:
        shares = [row[key] for key in ("hurting", "helping", "neither") if key in row]
        assert len(shares) < 3 or 98 <= sum(shares) <= 102  # they were read from pictures


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_can_be_planned(study: str, settings: dict[str, Any]) -> None:
    config = read_config(study_file(study), changes_for(settings))
    (ahead,) = forecast(prepare(config))
    assert ahead.coarse > 0 and config.prefix == f"PAPER_{study}"


def test_the_list_names_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in EXPERIMENTS)
    (line,) = [line for line in text.splitlines() if "channel_attention_DN.yml" in line]
    assert "RCAN_DN.pth, SRResNet_DN.pth are missing in" in line
    assert main(["--set", "Modellist=[EDSR@Demo]", "--set", "task=SR", "--set", "sr=4"]) == 0
    assert "block_size_8.yml: no checkpoint is missing" in capsys.readouterr().out
    assert main(["block_sizes"]) == 2
    assert "no experiment block_sizes; did you mean block_size?" in capsys.readouterr().err


def test_own_numbers_stand_beside_the_published_ones(
    settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "models" / "Tiny.pth"
    settings["Modellist"] = [{"weights": str(weights), "model": "Tiny", "name": "SRResNet@Tiny"}]
    changes = changes_for(settings)
    for study in ("block_size_8", "block_size_4"):
        compute_effects(prepare(read_config(study_file(study), changes)))
    capsys.readouterr()
    assert main(["block_size", *(word for change in changes for word in ("--set", change))]) == 0
    lines = capsys.readouterr().out.splitlines()
    published = next(number for number, line in enumerate(lines) if "published, SRResNet on stripes" in line)
    assert "highest effect (dB) 0.85, helping (%) 9, hurting (%) 4, neither (%) 88" in lines[published]
    assert any("own, SRResNet@Tiny on 1 images: ROI PSNR (dB)" in line for line in lines[published:])
    assert any("no own numbers yet" in line for line in lines)
    (compared,) = [
        line for line in lines if line.startswith("block_size_4 against block_size_8: SRResNet@Tiny, 1 images")
    ]
    assert "location " in compared and "sign " in compared
