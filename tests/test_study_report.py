"""What comes out of a study: its numbers are those of the files, and nothing is left out silently."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from browsing import needs_chromium, open_page
from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.report.report import make_report
from CEM_Demo.results.paths import result_paths, table_path
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from CEM_Demo.study.measures import MEASURES, causal_radius, measure_map, net_effect, profile_of
from CEM_Demo.study.report import report_study
from CEM_Demo.study.statistics import compare_pairs, estimate_mean, image_means
from conftest import make_config, photograph

NETWORK = """
import torch

class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 3, 5, padding=2)

    def forward(self, x):
        return x + 0.5 * self.last(torch.relu(self.first(x)))

def make(seed):
    torch.manual_seed(seed)
    return Tiny()
"""
NAMES = [(0, "Tiny"), (1, "Other")]
IMAGES = ["photo_1.png", "photo_2.png", "photo_3.png"]
ROIS = [{"left": 8, "top": 8, "width": 16, "height": 16}, {"left": 0, "top": 16, "width": 8, "height": 8}]


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Two networks on three images with two ROIs each, whose weights and code are gone when their effects are there."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "images").mkdir()
    for number, name in enumerate(IMAGES):
        Image.fromarray(np.roll(photograph(32, 40), 5 * number, axis=1)).save(folder / "images" / name)
    np.savez(folder / "bank.npz", patches=np.random.RandomState(2).randint(0, 256, (50, 8, 8, 3)).astype(np.uint8))
    (folder / "net.py").write_text(NETWORK)
    models = [{"code": f"{folder / 'net.py'}:make", "kwargs": {"seed": seed}, "name": name} for seed, name in NAMES]
    settings = {
        **{"task": "DN", "sr": 1, "Modellist": models, "TextImg_path": str(folder / "images"), "Imagelist": IMAGES},
        **{"patch_path": str(folder / "bank.npz"), "prefix": "TEST", "rois": ROIS, "mask_block_size": 8, "tol": 0.01},
        **{"coarse_num": 2, "fine_num": 3, "load_previous": 0, "output_dir": str(folder / "out"), "device": "cpu"},
    }
    config = make_config(folder, settings)
    compute_effects(prepare(config))
    (folder / "net.py").unlink()
    return config


@pytest.fixture
def study(computed: Config, tmp_path: Path) -> Config:
    """A copy of the study that a test may change."""
    shutil.copytree(computed.output_dir, tmp_path / "out")
    return computed.model_copy(update={"output_dir": str(tmp_path / "out")})


def read_csv(config: Config, suffix: str) -> list[dict[str, str]]:
    with table_path(config, "Study", suffix).open(newline="") as file:
        return list(csv.DictReader(file))


def by_hand(config: Config, model: str, image: str, box: dict[str, int]) -> dict[str, float]:
    """The numbers of a map from its .mat files, with nothing of the project but the names of the files."""
    (roi,) = [roi for roi in config.rois_of(image) if (roi.left, roi.top) == (box["left"], box["top"])]
    paths = result_paths(config, model, image, roi)
    origin = loadmat(paths.origin)["PSNR"].item()
    coarse, fine = loadmat(paths.coarse)["PSNR"], loadmat(paths.fine)["PSNR"]
    total = {"helping": 0, "hurting": 0, "radius": float("nan"), "net": 0.0}
    by_distance: dict[int, float] = {}
    for row in range(4):
        for column in range(5):
            draws = fine[row, column] if fine[row, column].any() else coarse[row, column]
            effect = origin - draws.mean()
            effect = 0.0 if abs(effect) < config.tol else effect
            down = max(box["top"] // 8 - row, row - (box["top"] + box["height"] - 1) // 8, 0)
            right = max(box["left"] // 8 - column, column - (box["left"] + box["width"] - 1) // 8, 0)
            distance = max(down, right)
            total["helping"] += distance == 0 or effect > 0
            total["hurting"] += distance > 0 and effect < 0
            if distance:
                total["net"] += 10 ** (effect / 10) - 1
                by_distance[distance] = by_distance.get(distance, 0.0) + abs(effect)
    held = 0.0
    for distance in sorted(by_distance):
        held += by_distance[distance]
        if held >= 0.9 * sum(by_distance.values()) > 0:
            total["radius"] = 8.0 * distance
            break
    shares = {name: total[name] / 20 for name in ("helping", "hurting")}
    return {"psnr": origin, "radius": total["radius"], "net": total["net"], **shares}


def test_the_numbers_of_a_study_are_those_of_its_mat_files(study: Config) -> None:
    report_study(study)
    written = {(row["model"], row["image"], row["ROI"]): row for row in read_csv(study, "_maps.csv")}
    assert len(written) == 12
    models = {row["model"]: row for row in read_csv(study, "_models.csv")}
    pairs = read_csv(study, "_pairs.csv")
    means: dict[tuple[str, str], list[float]] = {}
    for model in ("Tiny", "Other"):
        for image in IMAGES:
            found = [by_hand(study, model, image, box) for box in ROIS]
            for box, numbers in zip(ROIS, found, strict=True):
                row = written[model, image, "{width}x{height}+{left}+{top}".format(**box)]
                for key, number in numbers.items():
                    assert float(row[key] or "nan") == pytest.approx(number, rel=1e-5, nan_ok=True)
            for key in found[0]:
                means.setdefault((model, key), []).append(np.nanmean([numbers[key] for numbers in found]))
        for key in ("psnr", "helping", "hurting", "net", "radius"):
            assert float(models[model][key]) == pytest.approx(np.mean(means[model, key]), rel=1e-5)
            assert (
                float(models[model][f"{key}_low"]) <= float(models[model][key]) <= float(models[model][f"{key}_high"])
            )
        assert (models[model]["maps"], models[model]["images"]) == ("6", "3")
    for row in pairs:
        if row["measure"] in ("psnr", "helping", "net"):
            expected = np.subtract(means["Tiny", row["measure"]], means["Other", row["measure"]])
            assert float(row["difference"]) == pytest.approx(expected.mean(), rel=1e-4)
            # Of 8 ways to flip three signs, two are as far out as three differences of one sign.
            if abs(np.sign(expected).sum()) == 3:
                assert float(row["p"]) == pytest.approx(2 / 8)
    content = json.loads(table_path(study, "Study", ".json").read_text())
    assert [row["model"] for row in content["models"]] == ["Tiny", "Other"] and content["missing"] == []
    assert r"\toprule" in table_path(study, "Study", ".tex").read_text()


def test_missing_results_are_named_and_left_out(study: Config, caplog: pytest.LogCaptureFixture) -> None:
    lost = result_paths(study, "Other", IMAGES[1], study.rois_of(IMAGES[1])[0])
    lost.fine.unlink()
    with caplog.at_level(logging.WARNING, logger="CEM_Demo"):
        report_study(study)
    name = f"Other on {IMAGES[1]}, ROI 16x16+8+8"
    assert name in caplog.text
    assert name in table_path(study, "Study", ".html").read_text()
    (line,) = json.loads(table_path(study, "Study", ".json").read_text())["missing"]
    assert line.startswith(name) and "is missing" in line
    assert len(read_csv(study, "_maps.csv")) == 11
    assert {row["images"] for row in read_csv(study, "_pairs.csv") if row["measure"] == "psnr"} == {"3"}


def test_a_study_without_results_says_so(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = make_config(tmp_path, settings)
    with pytest.raises(InputError, match="the study TEST has no finished result: Tiny on photo_1.png: "):
        report_study(config)
    assert not table_path(config, "Study", ".html").exists()


def test_equal_results_make_equal_files(study: Config) -> None:
    suffixes = (".html", ".json", ".tex", "_maps.csv", "_models.csv", "_pairs.csv")
    report_study(study)
    first = [table_path(study, "Study", suffix).read_bytes() for suffix in suffixes]
    report_study(study)
    assert first == [table_path(study, "Study", suffix).read_bytes() for suffix in suffixes]


@needs_chromium
def test_the_page_sorts_its_table_and_links_to_the_report(browser: Any, study: Config) -> None:
    report = make_report(study)
    report_study(study)
    with open_page(browser, table_path(study, "Study", ".html")) as page:
        psnr = page.locator("#models th button", has_text="ROI PSNR")
        shown = page.locator("#models tbody td:nth-child(3)")
        for sign in (-1, 1):
            psnr.click()
            values = [float(cell.get_attribute("data-value")) for cell in shown.all()]
            assert values == sorted(values, key=lambda value: sign * value)
        assert page.locator(".maps img").count() == 12 and page.locator(".plot").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator(".maps a").nth(11).click()
        assert page.url == f"{report.as_uri()}#case-6"
        assert page.locator("#case-6 h2").text_content() == IMAGES[2]


def test_rings_radius_and_net_effect_of_a_known_map() -> None:
    roi = np.zeros((5, 7), bool)
    roi[2, 2:4] = True
    effects = np.zeros((5, 7))
    effects[1, 1], effects[2, 6], effects[0, 0] = 1.0, -0.1, 0.0
    effects[roi] = 5.0
    profile = profile_of(effects, roi)
    assert profile.blocks.tolist() == [10, 18, 5]
    assert profile.mean[0] == pytest.approx(0.1) and profile.magnitude[2] == pytest.approx(0.1 / 5)
    assert causal_radius(np.where(roi, 0, effects), roi, 8) == 8
    assert causal_radius(np.where(roi, 0, effects), roi, 8, held=0.95) == 24
    assert np.isnan(causal_radius(np.zeros((5, 7)), roi, 8))
    assert net_effect(np.where(roi, 0, effects)) == pytest.approx(10**0.1 - 1 + 10**-0.01 - 1)
    codes = np.full((5, 7), BlockClass.NOT_TESTED, np.int8)
    codes[1, 1], codes[roi] = BlockClass.HELPS, BlockClass.ROI
    numbers = dict(zip((measure.key for measure in MEASURES), measure_map(30.0, effects, codes, roi, 8), strict=True))
    assert (numbers["helping"], numbers["hurting"], numbers["certified_helping"]) == (3 / 35, 1 / 35, 1 / 35)
    assert (numbers["highest"], numbers["lowest"]) == (1.0, -0.1)
    everywhere = np.ones((2, 2), bool)
    assert (
        np.isnan(causal_radius(np.ones((2, 2)), everywhere, 8))
        and not profile_of(np.ones((2, 2)), everywhere).mean.size
    )


def test_what_rounds_to_zero_has_no_sign() -> None:
    helping = next(measure for measure in MEASURES if measure.key == "helping")
    assert [helping.write(value) for value in (-0.0004, 0.0004, -0.0006)] == ["0.0", "0.0", "-0.1"]


def test_images_count_once_however_many_rois_they_have() -> None:
    values = np.array([[1.0, 3.0, 10.0, np.nan], [np.nan, np.nan, 4.0, 6.0]])
    means = image_means(values, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(means, [[2.0, 10.0], [np.nan, 5.0]])
    assert estimate_mean(means[0], 0.95).mean == 6.0
    alone = estimate_mean(means[1], 0.95)
    assert (alone.mean, alone.images) == (5.0, 1) and np.isnan(alone.low)
    assert estimate_mean(np.array([np.nan]), 0.95).images == 0


def test_intervals_cover_and_tests_reject_as_often_as_they_say() -> None:
    generator = np.random.default_rng(3)
    samples = generator.normal(0.0, 1.0, (400, 20))
    found = [estimate_mean(sample, 0.95) for sample in samples]
    assert 0.92 <= np.mean([one.low <= 0 <= one.high for one in found]) <= 0.97
    p = np.array([compare_pairs(sample[None, :8], 0.95)[0].p for sample in samples])
    assert 0.02 <= (p <= 0.05).mean() <= 0.08
    (clear, chance) = compare_pairs(np.array([np.arange(1.0, 9.0), [1, -1, 2, -2, 3, -3, 4, -4]]), 0.95)
    assert clear.p == pytest.approx(2 / 2**8) and clear.q == pytest.approx(2 * clear.p) and chance.p > 0.5
