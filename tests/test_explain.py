"""The Python interface gives the numbers that a run from a config gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from CEM_Demo.config.schema import Config
from CEM_Demo.device import pick_device
from CEM_Demo.errors import InputError
from CEM_Demo.explain import Settings, explain, explain_rois
from CEM_Demo.geometry import ROI
from CEM_Demo.images import read_image
from CEM_Demo.method.effect_map import make_effect_map
from CEM_Demo.method.patch_bank import PatchBank, load_bank
from CEM_Demo.ModelZoo import load_network
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.reading import read_results
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks import Degradation
from conftest import ROI_OF_TESTS, Tiny, make_config


@pytest.fixture
def image(settings: dict[str, Any]) -> np.ndarray:
    return read_image(Path(settings["TextImg_path"]) / "photo_1.png")


@pytest.fixture
def as_in_config(settings: dict[str, Any]) -> Settings:
    return Settings(coarse_num=2, fine_num=3, bank=load_bank(Path(settings["patch_path"])), device="cpu")


@pytest.mark.parametrize("task", ["DN", "DR"])
def test_numbers_are_those_of_a_run(
    tmp_path: Path, settings: dict[str, Any], image: np.ndarray, as_in_config: Settings, task: str
) -> None:
    config = make_config(tmp_path, settings, task=task)
    compute_effects(prepare(config))
    stored = read_results(result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS))
    found = explain(load_network("Tiny", task), image, ROI_OF_TESTS, Degradation(task), as_in_config, "photo_1.png")
    expected = make_effect_map(stored.origin, stored.rounds, config.tol, found.effect_map.roi)
    assert found.origin == stored.origin
    np.testing.assert_array_equal(found.effects, expected.effects)
    np.testing.assert_array_equal(found.interventions, expected.interventions)
    assert found.reach.shape == (4, 5)


def test_several_rois_come_in_their_order(settings: dict[str, Any], image: np.ndarray, as_in_config: Settings) -> None:
    network, rois = load_network("Tiny", "DN"), [ROI(24, 0, 16, 8), ROI_OF_TESTS]
    several = explain_rois(network, image, rois, Degradation("DN"), as_in_config)
    assert [one.roi for one in several] == rois
    alone = explain(network, image, ROI_OF_TESTS, Degradation("DN"), as_in_config)
    np.testing.assert_allclose(several[1].effects, alone.effects, atol=1e-6)


def test_the_figure_shows_the_map(
    tmp_path: Path, settings: dict[str, Any], image: np.ndarray, as_in_config: Settings
) -> None:
    found = explain(load_network("Tiny", "DN"), image, ROI_OF_TESTS, Degradation("DN"), as_in_config)
    figure = found.figure()
    assert len(figure.axes) == 3  # map, pie, color bar
    figure.savefig(tmp_path / "map.png")
    assert read_image(tmp_path / "map.png").std() > 0


def test_mistakes_are_named(settings: dict[str, Any], image: np.ndarray, as_in_config: Settings) -> None:
    network = load_network("Tiny", "DN")
    with pytest.raises(InputError, match=r"16x16\+30\+0 reaches out of the image of 40 x 32"):
        explain(network, image, ROI.square(30, 0, 16), Degradation("DN"), as_in_config)
    with pytest.raises(InputError, match="not a multiple of the scale 4"):
        explain(network, image, ROI_OF_TESTS, Degradation("SR", scale=4), Settings(block=6))
    with pytest.raises(InputError, match="the network: its scale is 4, not 2"):
        explain(nn.Upsample(scale_factor=4), image, ROI_OF_TESTS, Degradation("SR", scale=2), as_in_config)
    with pytest.raises(InputError, match="block 40 is larger than the image of 40 x 32 pixels"):
        explain(network, image, ROI_OF_TESTS, Degradation("DN"), Settings(block=40))
    with pytest.raises(InputError, match="no ROI is given"):
        explain_rois(network, image, [], Degradation("DN"), as_in_config)
    with pytest.raises(InputError, match=r"ROI 0x4\+8\+8 holds no pixel"):
        explain(network, image, ROI(8, 8, 0, 4), Degradation("DN"), as_in_config)
    with pytest.raises(InputError, match=r"image: it is float64 \(32, 40, 3\), not RGB of 8 bits"):
        explain(network, image / 255, ROI_OF_TESTS, Degradation("DN"), as_in_config)
    with pytest.raises(InputError, match=r"roi: it is a tuple; write ROI\(left, top, width, height\)"):
        explain(network, image, (8, 8, 16, 16), Degradation("DN"), as_in_config)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"ROI 16x16\+4\.5\+0 must lie on whole pixels"):
        explain(network, image, ROI.square(4.5, 0, 16), Degradation("DN"), as_in_config)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r'degradation: it is a str; write Degradation\("DN"\)'):
        explain(network, image, ROI_OF_TESTS, "DN", as_in_config)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="settings: it is the class Settings itself"):
        explain(network, image, ROI_OF_TESTS, Degradation("DN"), Settings)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"the network: it is the class Tiny; make one of it: Tiny\(\.\.\.\)"):
        explain(Tiny, image, ROI_OF_TESTS, Degradation("DN"), as_in_config)
    with pytest.raises(InputError, match="the network: it is a NoneType, not a torch.nn.Module"):
        explain(None, image, ROI_OF_TESTS, Degradation("DN"), as_in_config)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="image: it is a list, not a NumPy array"):
        explain(network, image.tolist(), ROI_OF_TESTS, Degradation("DN"), as_in_config)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"inference": "incremantal"},
            "inference: input should be 'auto', 'dense' or 'incremental', not",
        ),
        ({"coarse_num": 0}, "coarse_num: input should be greater than 0, not 0"),
        ({"fine_num": 2.5}, "fine_num: input should be a valid integer"),
        ({"coarse_nun": 3}, "unknown key coarse_nun; did you mean coarse_num"),
        ({"block": -8}, "block: input should be greater than 0"),
        ({"tol": float("nan")}, "tol: input should be a finite number"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0"),
        ({"batch_size": 0}, "batch_size: input should be greater than 0"),
        ({"device": "gpu"}, "device: 'gpu' is not a device; write one of auto, cuda, cuda:1, mps, cpu"),
        ({"bank": "patches.npz"}, "bank: input should be an instance of PatchBank"),
    ],
)
def test_settings_are_checked_as_a_config_is(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)) as raised:
        Settings(**wrong)
    assert "\n" not in str(raised.value)


def test_settings_share_their_ranges_and_meanings_with_the_config() -> None:
    shared = Settings.model_fields.keys() & Config.model_fields.keys()
    assert shared == Settings.model_fields.keys() - {"block", "bank"}
    for key in shared:
        own, of_config = Settings.model_fields[key], Config.model_fields[key]
        assert (own.annotation, own.metadata, own.description) == (
            of_config.annotation,
            of_config.metadata,
            of_config.description,
        )


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (4, 8, 6, 3), (4, 8, 8)])
def test_a_bank_is_checked_when_it_is_made(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="holds"):
        PatchBank(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"task": "dn"}, "task: 'dn' is not one of SR, DN, DR, PAIR"),
        ({"task": "SR", "scale": 5}, "scale: 5 is not one of 1, 2, 3, 4, 8"),
        ({"task": "DN", "scale": 2}, "scale: must be 1 for task DN"),
        ({"task": "DN", "sigma": 0.0}, "sigma: 0.0 is not a strength of noise"),
        ({"task": "DR", "rain": "hail"}, "rain: 'hail' is not one of small, medium, large, random"),
        ({"task": "PAIR"}, "inputs: task PAIR needs the folder"),
    ],
)
def test_a_degradation_is_checked_when_it_is_made(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Degradation(**wrong)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "cpu:1", ""])
def test_what_is_no_device_is_said_to_be_none(name: str) -> None:
    with pytest.raises(InputError, match="device: .* is not a device; write one of auto"):
        pick_device(name)


def test_devices_are_picked_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    assert pick_device("auto") == torch.device("cuda")
    with pytest.raises(InputError, match="device: no cuda:2 here; the last of the CUDA devices is cuda:1"):
        pick_device("cuda:2")


def test_the_network_is_left_as_it_was_found_and_nothing_is_printed(
    image: np.ndarray, as_in_config: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    network = Tiny()
    network.first.eval()
    explain(network, image, ROI_OF_TESTS, Degradation("DN"), as_in_config)
    assert [module.training for module in network.modules()] == [True, False, True]
    assert capsys.readouterr() == ("", "")
    explain(network, image, ROI_OF_TESTS, Degradation("DN"), as_in_config, progress=True)
    assert "image coarse" in capsys.readouterr().err


def test_an_explanation_shows_itself_in_a_notebook(image: np.ndarray, as_in_config: Settings) -> None:
    found = explain(Tiny(), image, ROI_OF_TESTS, Degradation("DN"), as_in_config)
    assert (found.model, found.task) == ("Tiny", "DN")
    assert found._repr_html_().startswith('<img alt="causal effect map of Tiny" src="data:image/png;base64,')
