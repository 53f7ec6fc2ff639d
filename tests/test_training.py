"""Training learns, and continues after an interruption as if there had been none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from CEM_Demo.ModelZoo.checkpoints import read_state_dict
from CEM_Demo.Training.__main__ import main, parse_arguments, run
from CEM_Demo.Training.data import TrainingPairs
from conftest import photograph


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number, shape in enumerate([(70, 90), (64, 64)]):
        Image.fromarray(photograph(*shape)).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(("task", "scale"), [("SR", 4), ("DN", 1), ("DR", 1)])
def test_pairs_are_degraded_and_clean_crops_fixed_by_the_step(photographs: Path, task: str, scale: int) -> None:
    pairs = TrainingPairs(photographs, task, crop=12, scale=scale, seed=0)
    degraded, clean = pairs.batch(step=3, size=4, crop=12)
    assert degraded.shape == (4, 3, 12, 12)
    assert clean.shape == (4, 3, 12 * scale, 12 * scale)
    assert degraded.min() >= 0 and degraded.max() <= 1
    again = TrainingPairs(photographs, task, crop=12, scale=scale, seed=0).batch(step=3, size=4, crop=12)
    torch.testing.assert_close(again, (degraded, clean), rtol=0, atol=0)
    assert not torch.equal(pairs.batch(step=4, size=4, crop=12)[1], clean)
    small = torch.nn.functional.interpolate(clean, size=12, mode="area")
    assert 0 < (small - degraded).abs().mean() < 0.35


def train(photographs: Path, folder: Path, *words: str) -> None:
    recipe = ["--steps", "12", "--batch", "1", "--crop", "12", "--warm-up", "2"]
    places = ["--output", str(folder / "net.pth"), "--state", str(folder / "state.pt")]
    common = ["--task", "SR", "--model", "EDSR-8-1", "--device", "cpu", "--photographs", str(photographs)]
    run(parse_arguments([*common, *recipe, *places, *words]))


def test_an_interrupted_training_ends_with_the_same_weights(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("CEM_Demo.Training.__main__.SAVE_EVERY", 5)
    (tmp_path / "whole").mkdir()
    train(photographs, tmp_path / "whole")
    (tmp_path / "broken").mkdir()
    batch = TrainingPairs.batch

    def interrupted(self: TrainingPairs, step: int, size: int, crop: int) -> tuple[torch.Tensor, torch.Tensor]:
        if step == 8:
            raise KeyboardInterrupt
        return batch(self, step, size, crop)

    monkeypatch.setattr(TrainingPairs, "batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(photographs, tmp_path / "broken")
    monkeypatch.setattr(TrainingPairs, "batch", batch)
    train(photographs, tmp_path / "broken")
    whole, broken = (read_state_dict(tmp_path / name / "net.pth") for name in ("whole", "broken"))
    for key, value in whole.items():
        torch.testing.assert_close(broken[key], value, rtol=0, atol=0)


def test_training_lowers_the_error(photographs: Path, tmp_path: Path) -> None:
    from CEM_Demo.ModelZoo import build_network
    from CEM_Demo.Training.train import Recipe, start
    from CEM_Demo.Training.train import train as steps

    torch.manual_seed(0)
    recipe = Recipe(steps=60, batch=1, crop=32, learning_rate=2e-3, warm_up=5)
    pairs = TrainingPairs(photographs, "DN", recipe.crop, 1, seed=0)
    device = torch.device("cpu")
    losses = list(steps(start(build_network("SRResNet_DN", "DN"), recipe, device), pairs, recipe, device))
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])


def test_another_factor_does_not_take_the_place_of_the_bundled_weights(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("CEM_Demo.Training.__main__.MODEL_DIR", tmp_path)
    monkeypatch.chdir(tmp_path)
    words = ["--steps", "1", "--batch", "1", "--crop", "12", "--device", "cpu", "--photographs", str(photographs)]
    for factor in ("2", "4"):
        run(parse_arguments(["--task", "SR", "--model", "EDSR-8-1", "--factor", factor, *words]))
    assert {path.name for path in tmp_path.glob("*.pth")} == {"EDSR-8-1-x2-Demo.pth", "EDSR-8-1-Demo.pth"}


def test_photographs_that_are_too_small_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--task", "SR", "--model", "EDSR", "--photographs", str(tmp_path)]
    assert main(words) == 2
    assert "no photograph of 192 x 192 pixels" in capsys.readouterr().err
