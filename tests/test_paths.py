"""Paths: effects are split into what travels through statistics of the whole image and what does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from CEM_Demo.config.model_sources import parse_model
from CEM_Demo.device import cpu_threads
from CEM_Demo.errors import InputError
from CEM_Demo.explain import Explanation, Settings, explain
from CEM_Demo.geometry import ROI, Grid
from CEM_Demo.images import read_image
from CEM_Demo.mediation.effects import Mediation, mediation_of
from CEM_Demo.mediation.record import write_mediations
from CEM_Demo.method.measurements import Draws, MeasuredMetric
from CEM_Demo.networks.loading import resolve
from CEM_Demo.report.report import make_report
from CEM_Demo.results.paths import result_paths
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks import Degradation
from conftest import ROI_OF_TESTS, Tiny, make_config, photograph
from killing import assert_whole, killed_at, results
from shared_material import SHARED, needs

IMDN = SHARED / "weights" / "IMDN_x4_new.pth"
BUTTERFLY = SHARED / "images" / "eval" / "set5" / "butterfly_GT.png"

SETTINGS = {"coarse_num": 2, "fine_num": 3, "device": "cpu", "paths": True}
NETWORK = """
import torch
from torch import nn


class Pooling(nn.Module):
    def forward(self, x):
        return 0.8 * x + 0.4 * (x.mean((2, 3), keepdim=True) - 0.5) * torch.nn.functional.avg_pool2d(x, 3, 1, 1)
"""


class Pooling(nn.Module):
    """A blur that the mean of the image gates."""

    def forward(self, x: Tensor) -> Tensor:
        blurred = nn.functional.avg_pool2d(x, 3, 1, 1)
        return 0.8 * x + 0.4 * (x.mean((2, 3), keepdim=True) - 0.5) * blurred


@pytest.fixture(scope="module")
def explained() -> Explanation:
    return explain(Pooling(), photograph(48, 56), ROI.square(8, 8, 16), Degradation("DN"), Settings(**SETTINGS))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Forked children have one thread, so that this process must make do with it too."""
    with cpu_threads(1):
        yield


def test_total_is_what_is_measured_without_paths_and_mediated_the_rest(explained: Explanation) -> None:
    settings = Settings(**{**SETTINGS, "paths": False})
    alone = explain(Pooling(), photograph(48, 56), ROI.square(8, 8, 16), Degradation("DN"), settings)
    for name, draws in alone.measurements.rounds.items():
        np.testing.assert_array_equal(explained.measurements.rounds[name].values, draws.values)
    assert alone.mediation is None
    found = explained.mediation
    assert found is not None
    shown = np.where(np.abs(found.total) < 0.01, 0.0, found.total)
    np.testing.assert_allclose(shown, explained.effects, atol=1e-12)
    np.testing.assert_allclose(found.maps["total"], explained.effect_map.outside_roi, atol=1e-12)
    np.testing.assert_allclose(explained.metric_maps["frozen"].outside_roi, found.maps["frozen"], atol=1e-12)


def test_out_of_reach_all_effect_is_mediated(explained: Explanation) -> None:
    found = explained.mediation
    assert found is not None
    assert not found.frozen[3:, 4:].any()
    assert found.total[3:, 4:].any()
    assert found.share(2.0) == 1.0
    assert 0 < found.share(0.0, 1.0) < 1
    assert "within 4 blocks of it" in found.sentence


def test_the_figure_shows_three_maps_and_two_plots(explained: Explanation) -> None:
    titles = [text.get_text() for text in explained.paths_figure().texts]
    assert [title.split()[0] for title in titles[:3]] == ["total", "frozen", "mediated"]
    with pytest.raises(InputError, match=r"Settings\(paths=True\)"):
        alone = {name: draws for name, draws in explained.measurements.rounds.items() if "frozen" not in name}
        measurements = type(explained.measurements)(**{**vars(explained.measurements), "rounds": alone, "metrics": {}})
        type(explained)(**{**vars(explained), "measurements": measurements}).paths_figure()


def test_frozen_equals_total_bit_for_bit_for_a_local_network() -> None:
    torch.manual_seed(0)
    found = explain(Tiny(), photograph(32, 40), ROI_OF_TESTS, Degradation("DN"), Settings(**SETTINGS))
    rounds = found.measurements.rounds
    for name in ("coarse", "fine"):
        np.testing.assert_array_equal(rounds[name].values, rounds[f"frozen {name}"].values)
    assert found.mediation is not None
    assert found.mediation.sentence.startswith("No effect travels")


def mediation(total: list[float], frozen: list[float]) -> Mediation:
    """Effects (dB) of two draws on each block of a row of six, the first of which is the ROI."""
    spread = np.array([-0.1, 0.1])
    draws = {
        name: Draws(30.0 - (np.array(effects)[None, :, None] + spread), np.full((1, 6), 2))
        for name, effects in (("coarse", total), ("frozen coarse", frozen))
    }
    metrics = {"frozen": MeasuredMetric("dB", True, 30.0)}
    found = mediation_of(30.0, draws, metrics, 0.01, Grid(8, 48, 8, 1), ROI.square(0, 0, 8))
    assert found is not None
    return found


def test_shares_and_rings_of_known_effects() -> None:
    found = mediation([1.0, 0.5, 0.2, 0.1, 0.0, 0.05], [1.0, 0.45, 0.1, 0.1, 0.02, 0.0])
    np.testing.assert_allclose(found.mediated[0], [0, 0.05, 0.1, 0, -0.02, 0.05], atol=1e-12)
    assert found.distance[0].tolist() == [0, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert found.counts == {"total": 4, "frozen": 4, "mediated": 4}
    assert found.share() == pytest.approx(0.22 / (0.22 + 0.67))
    assert found.share(4.0) == 1.0
    assert [ring.blocks for ring in found.rings()] == [1, 1, 1, 1, 1]
    assert found.ring(3.0, 4.0).mediated == pytest.approx(0.02)
    errors = [np.mean([10 ** ((effect + by) / 10) - 1 for by in (-0.1, 0.1)]) for effect in (0.5, 0.45)]
    assert found.total_error[0, 1] - found.frozen_error[0, 1] == pytest.approx(errors[0] - errors[1])
    expected = "Beyond 4 blocks from the ROI, 100 % of the absolute effect (mean 0.050 dB a block) travels through"
    assert found.sentence.startswith(expected)
    assert "worth +0.050 dB a block [+0.050, +0.050]" in found.sentence  # paired draws that spread alike
    assert "Beyond 4 blocks from the ROI no block has an effect; " in mediation([1.0] * 5 + [0.009], [0.9] * 6).sentence


def test_the_interval_of_a_signed_mean_is_that_of_paired_draws() -> None:
    random = np.random.RandomState(0)
    total, frozen = 30 - random.normal(0.05, 0.02, (1, 6, 5)), 30 - random.normal(0.0, 0.02, (1, 6, 5))
    rounds = {name: Draws(values, np.full((1, 6), 5)) for name, values in (("fine", total), ("frozen fine", frozen))}
    metrics = {"frozen": MeasuredMetric("dB", True, 30.0)}
    found = mediation_of(30.0, rounds, metrics, 0.01, Grid(8, 48, 8, 1), ROI.square(0, 0, 8), 0.9)
    assert found is not None
    draws = (frozen - total)[0]
    one, all_five = found.ring(0.0, 1.0), found.ring(0.0)
    half = stats.t.ppf(0.95, 4) * draws[1].std(ddof=1) / 5**0.5
    assert (one.signed, one.low, one.high) == pytest.approx(
        (draws[1].mean(), draws[1].mean() - half, draws[1].mean() + half)
    )
    assert all_five.signed == pytest.approx(draws[1:].mean())
    assert all_five.high - all_five.signed == pytest.approx(1.73 * draws[1:].std(axis=1, ddof=1).mean() / 5, rel=0.1)


def test_runs_with_paths_leave_the_published_files_as_they_are_and_survive_a_kill(
    tmp_path: Path, settings: dict[str, Any], one_thread: None
) -> None:
    (tmp_path / "net.py").write_text(NETWORK)
    settings |= {"Modellist": [f"{tmp_path / 'net.py'}:Pooling"], "load_previous": 1}
    plain = make_config(tmp_path, settings)
    compute_effects(prepare(plain), progress=False)
    before = results(tmp_path / "out")
    config = make_config(tmp_path, settings, paths=1)
    with pytest.raises(InputError, match="metrics was psnr, is now psnr, frozen"):
        compute_effects(prepare(config), progress=False)
    shutil.rmtree(tmp_path / "out")
    run = prepare(config)
    compute_effects(run, progress=False)
    expected = results(tmp_path / "out")
    assert {name: expected[name] for name in before if ".json" not in name} == {
        name: content for name, content in before.items() if ".json" not in name
    }
    assert sum("-FROZEN" in name for name in expected) == 3
    for number in (12, 30):
        shutil.rmtree(tmp_path / "out")
        assert killed_at(number, lambda: compute_effects(run, progress=False))
        assert_whole(tmp_path / "out")
        compute_effects(run, progress=False)
        assert results(tmp_path / "out") == expected

    paths = result_paths(config, "Pooling", "photo_1.png", ROI_OF_TESTS)
    assert set(write_mediations(config)) == set(paths.files_of_mediation())
    sentence = json.loads(paths.mediation.read_text())["sentence"]
    assert f"{sentence}." in make_report(config).read_text()


def explain_imdn(draws: int) -> Explanation:
    """Explain IMDN with its authors' weights on the middle of set5's butterfly, with the same draws on every block."""
    found = resolve(parse_model({"weights": str(IMDN), "model": "IMDN"}), "SR", 4, None)
    image = np.ascontiguousarray(read_image(BUTTERFLY)[64:192, 64:192])
    settings = Settings(coarse_num=draws, fine_num=1, tol=99.0, device="cpu", paths=True)
    return explain(found.load(), image, ROI.square(48, 48, 32), Degradation("SR", 4), settings, BUTTERFLY.name)


@needs(IMDN)
@needs(BUTTERFLY)
@pytest.mark.slow
def test_the_far_field_of_imdn_is_its_contrast_attention() -> None:
    with cpu_threads(1):
        found = explain_imdn(draws=1).mediation
    assert found is not None
    frozen = found.outside & (np.abs(found.frozen) >= 0.01)
    assert frozen.sum() < 80 < 150 < (found.outside & (np.abs(found.total) >= 0.01)).sum()
    assert found.share(4.0) > 0.9
    assert found.share(0.0, 1.0) < 0.3
