"""Metrics equal their definitions and a library's values, and are measured together on the same interventions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.io import loadmat

from CEM_Demo.config import metric_sources
from CEM_Demo.config.metric_sources import parse_metrics
from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.explain import Settings, explain
from CEM_Demo.geometry import ROI, grid_of, mirrored
from CEM_Demo.images import read_image
from CEM_Demo.inference.choice import choose_inference
from CEM_Demo.method.certainty import assess
from CEM_Demo.method.effect_map import make_effect_map
from CEM_Demo.method.further_metrics import BUILT_IN
from CEM_Demo.method.metric import psnr, squared_errors, to_uint8
from CEM_Demo.method.metric_maps import effect_maps, oriented
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.method.plan import make_plan
from CEM_Demo.ModelZoo import load_network
from CEM_Demo.report.report import make_report
from CEM_Demo.results.paths import ResultPaths, result_paths
from CEM_Demo.results.reading import Results, read_results
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.metrics import choose_with_margin, load_metrics
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks import Degradation, make_scene
from conftest import ROI_OF_TESTS, Tiny, contents, make_config, photograph, run_main

CPU = torch.device("cpu")
ALL = ["psnr", "psnr_unrounded", "psnr_y", "ssim", "mae"]
PHOTOGRAPH = Path(__file__).parents[1] / "CEM_Demo" / "test_images" / "Test1" / "demo_2.png"
ROIS = [ROI(8, 8, 16, 16), ROI(0, 3, 9, 20), ROI(24, 16, 16, 16), ROI(0, 0, 40, 32), ROI(19, 13, 1, 1)]

images = npst.arrays(np.uint8, (3, 5, 5))


@given(restored=images, truth=images)
def test_psnr_is_that_of_the_definition(restored: np.ndarray, truth: np.ndarray) -> None:
    error = squared_errors(torch.from_numpy(restored)[None], torch.from_numpy(truth)).numpy()
    mean = np.mean((restored.astype(np.float64) - truth) ** 2)
    expected = 10 * np.log10(255**2 / max(mean, 1 / truth.size))
    np.testing.assert_allclose(psnr(error, truth.size), expected, rtol=1e-12)


@given(npst.arrays(np.float32, (4, 4), elements=st.floats(-1, 2, width=32)))
def test_rounding_is_clip_then_half_to_even(output: np.ndarray) -> None:
    expected = np.round(output.clip(0, 1) * np.float32(255)).astype(np.uint8)
    np.testing.assert_array_equal(to_uint8(torch.from_numpy(output)).numpy(), expected)


def test_large_rois_do_not_overflow() -> None:
    black = torch.zeros(1, 3, 200, 200, dtype=torch.uint8)
    white = torch.full((3, 200, 200), 255, dtype=torch.uint8)
    assert squared_errors(black, white).item() == 3 * 200 * 200 * 255**2


def restored_and_truth(image: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.RandomState(seed).normal(0, 9, image.shape)
    return (image + noise).clip(0, 255).round().astype(np.uint8), image


def measured(name: str, restored: np.ndarray, truth: np.ndarray, roi: ROI) -> float:
    """A metric of an ROI of images, H x W x 3 uint8, as experiments measure it."""
    metric, (height, width) = BUILT_IN[name], truth.shape[:2]
    rows = mirrored(roi.top - metric.margin, roi.bottom + metric.margin, height)
    columns = mirrored(roi.left - metric.margin, roi.right + metric.margin, width)
    found, expected = (torch.from_numpy(image[np.ix_(rows, columns)]).permute(2, 0, 1) for image in (restored, truth))
    return float(metric.measure(found[None] / 255, expected)[0])


@pytest.mark.parametrize("roi", ROIS, ids=str)
@pytest.mark.parametrize("real", [False, True], ids=["synthetic", "photograph"])
def test_metrics_of_an_roi_are_those_of_scikit_image(roi: ROI, real: bool) -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    color = pytest.importorskip("skimage.color", reason="scikit-image is not installed")
    image = read_image(PHOTOGRAPH)[60:92, 100:140] if real else photograph(32, 40)
    restored, truth = restored_and_truth(image, seed=roi.left)
    _, everywhere = metrics.structural_similarity(
        restored, truth, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, full=True
    )
    assert measured("ssim", restored, truth, roi) == pytest.approx(everywhere[roi.window].mean(), abs=1e-12)
    part = (restored[roi.window], truth[roi.window])
    assert measured("psnr", *part, ROI(0, 0, roi.width, roi.height)) == pytest.approx(
        metrics.peak_signal_noise_ratio(part[1], part[0]), abs=1e-10
    )
    luma = [color.rgb2ycbcr(image)[..., 0] for image in part]
    expected = metrics.peak_signal_noise_ratio(luma[1], luma[0], data_range=255)
    assert measured("psnr_y", restored, truth, roi) == pytest.approx(expected, abs=1e-9)
    assert measured("mae", restored, truth, roi) == pytest.approx(np.abs(part[0] - part[1].astype(float)).mean())


@pytest.mark.parametrize("name", ALL)
def test_a_perfect_roi_has_a_finite_best_value(name: str) -> None:
    value = measured(name, photograph(32, 40), photograph(32, 40), ROIS[0])
    best = {"ssim": 1.0, "mae": 0.0, "psnr_y": 10 * np.log10(255**2 * 256)}
    assert value == pytest.approx(best.get(name, 10 * np.log10(255**2 * 3 * 256)))


@pytest.mark.parametrize("kind", ["dense", "incremental"])
def test_the_margin_is_restored_too_at_every_border(kind: str) -> None:
    torch.manual_seed(0)
    scene, net, (ssim,) = make_scene(Degradation("DN"), photograph(32, 40), "photo_1.png"), Tiny(), [BUILT_IN["ssim"]]
    grid = grid_of(scene.degraded, 8, 1)
    plan = make_plan(0, "photo_1.png", "coarse", grid.shape, 1, 50)[:]
    bank = load_bank(Path(__file__).parents[1] / "CEM_Demo" / "patches" / "patches.npz")
    for group in choose_with_margin(net, scene, ROIS[:4], 8, CPU, kind, [ssim]):
        group.inference.baseline()
        found = Experiment(net, group, scene, grid, bank, CPU, further=(ssim,)).measure_all(plan)
        for roi, values in zip(group.rois, found, strict=True):
            (whole,) = choose_inference(net, scene.degraded, [ROI(0, 0, 40, 32)], 8, CPU, "dense")
            pasted = Experiment(net, whole, scene, grid, bank, CPU).natural_patches(plan)
            outputs = to_uint8(whole.inference.restore(pasted.corners, pasted.pixels)).permute(0, 2, 3, 1).numpy()
            expected = [measured("ssim", output, scene.ground_truth, roi) for output in outputs]
            np.testing.assert_allclose(values["ssim"], expected, atol=2e-4)


def paths_of(config: Config) -> ResultPaths:
    return result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS)


def stored_results(config: Config) -> Results:
    return read_results(paths_of(config))


def test_psnr_and_its_files_are_the_same_whatever_is_measured_beside_it(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    config = make_config(tmp_path, settings)
    compute_effects(prepare(config))
    folder = paths_of(config).model_folder
    before = {name: digest for name, digest in contents(folder).items() if name.endswith(".mat")}
    further = make_config(tmp_path, settings, metrics=["psnr_unrounded", "psnr_y", "mae"])
    compute_effects(prepare(further))
    after = {name: digest for name, digest in contents(folder).items() if name.endswith(".mat")}
    assert {name: after[name] for name in before} == before
    assert sorted(set(after) - set(before)) == sorted(
        f"photo_1.png-{name}{rest}.mat"
        for name in ("PSNR_UNROUNDED", "PSNR_Y", "MAE")
        for rest in ("-Origin", "_all_perturb-C2", "_all_perturb-F3")
    )
    assert loadmat(folder / "photo_1.png-MAE_all_perturb-C2.mat")["MAE"].shape == (4, 5, 2)
    compute_effects(prepare(make_config(tmp_path, settings)))
    assert {name for name in contents(folder) if name.endswith(".mat")} == set(before)


def test_every_metric_has_a_map_in_which_positive_means_that_the_block_helps(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    config = make_config(tmp_path, settings, metrics=ALL)
    compute_effects(prepare(config))
    stored, roi = stored_results(config), np.zeros((4, 5), bool)
    assert stored.manifest is not None
    metrics = stored.manifest.metrics
    maps = effect_maps(stored.origin, stored.rounds, metrics, config.tol, roi)
    assert list(maps) == ALL
    expected = make_effect_map(stored.origin, stored.rounds, config.tol, roi)
    np.testing.assert_array_equal(maps["psnr"].effects, expected.effects)
    strong = np.abs(maps["psnr"].effects) > 0.3
    assert strong.any() and stored.rounds["mae fine"].counts.any()
    for name in ALL[1:]:
        assert (np.sign(maps[name].effects) == np.sign(maps["psnr"].effects))[strong].all(), name
        np.testing.assert_array_equal(maps[name].interventions, maps["psnr"].interventions)
    np.testing.assert_allclose(maps["psnr_unrounded"].effects, maps["psnr"].effects, atol=0.02)
    # Intervals of any metric, from the same draws.
    certainty = assess(*oriented("mae", metrics["mae"], stored.rounds), 0.0, np.ones_like(roi), roi)
    drawn = stored.rounds["mae fine"].counts > 0
    assert (certainty.estimates.low <= maps["mae"].effects)[drawn].all()
    assert (certainty.estimates.high >= maps["mae"].effects)[drawn].all()
    assert "Tiny" in make_report(config).read_text()


def test_the_generation_script_draws_the_map_of_each_metric(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = make_config(tmp_path, settings, metrics=["ssim"])
    compute_effects(prepare(config))
    assert run_main("demo_CEM_generation.py", "--config", str(tmp_path / "config.yml")) == 0
    picture, of_psnr = (read_image(path) for path in (paths_of(config).map_of("ssim"), paths_of(config).overlay))
    assert picture.shape == of_psnr.shape == (32, 40, 3) and not np.array_equal(picture, of_psnr)
    compute_effects(prepare(make_config(tmp_path, settings)))
    assert not paths_of(config).map_of("ssim").exists()


@pytest.mark.parametrize("changes", [{}, {"sampling": "adaptive"}, {"intervention": "clean"}], ids=str)
def test_a_lost_file_of_a_metric_is_computed_again(
    tmp_path: Path, settings: dict[str, Any], changes: dict[str, Any]
) -> None:
    compute_effects(prepare(make_config(tmp_path, settings, metrics=["ssim"], **changes)))
    config = make_config(tmp_path, settings, metrics=["ssim"], load_previous=1, **changes)
    folder = paths_of(config).model_folder
    before = {name: digest for name, digest in contents(folder).items() if name.endswith(".mat")}
    lost = next(name for name in sorted(before) if "SSIM" in name and "Origin" not in name)
    (folder / lost).unlink()
    compute_effects(prepare(config))
    assert {name: digest for name, digest in contents(folder).items() if name.endswith(".mat")} == before


def test_the_python_interface_gives_the_maps_of_a_run(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = make_config(tmp_path, settings, metrics=["ssim", "mae"])
    compute_effects(prepare(config))
    stored = stored_results(config)
    bank = load_bank(Path(settings["patch_path"]))
    how = Settings(coarse_num=2, fine_num=3, bank=bank, device="cpu", metrics=["psnr", "ssim", "mae"])
    found = explain(load_network("Tiny", "DN"), photograph(32, 40), ROI_OF_TESTS, Degradation("DN"), how, "photo_1.png")
    assert stored.manifest is not None
    roi = found.effect_map.roi
    expected = effect_maps(stored.origin, stored.rounds, stored.manifest.metrics, config.tol, roi)
    assert list(found.metric_maps) == ["psnr", "ssim", "mae"]
    for name, effect_map in found.metric_maps.items():
        np.testing.assert_array_equal(effect_map.effects, expected[name].effects)


OWN = """
import torch

def worst(restored, truth):
    return (restored - truth).abs().amax(dim=(1, 2, 3))

worst.higher_is_better = False
worst.unit = "share"

def wide(restored, truth):
    assert restored.shape[-2:] == (22, 22) and restored.shape == truth.shape
    return -(restored - truth).square().mean(dim=(1, 2, 3)).numpy()

wide.higher_is_better = True
wide.margin = 3

def scalar(restored, truth):
    return (restored - truth).mean()

def nan(restored, truth):
    return torch.full((len(restored),), float("nan"))

def text(restored, truth):
    return "good"

def fails(restored, truth):
    raise IndexError("no")

for function in (scalar, nan, text, fails):
    function.higher_is_better = True

def silent(restored, truth):
    return restored.mean(dim=(1, 2, 3))
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "my_metric.py").write_text(OWN)
    return str(tmp_path / "my_metric.py")


def test_own_metrics_are_measured(tmp_path: Path, settings: dict[str, Any], own: str) -> None:
    config = make_config(tmp_path, settings, metrics=[f"{own}:worst", f"{own}:wide"])
    compute_effects(prepare(config))
    stored = stored_results(config)
    assert stored.manifest is not None
    worst, wide = (stored.manifest.metrics[name] for name in ("worst", "wide"))
    assert (worst.unit, worst.higher_is_better, wide.unit, wide.higher_is_better) == ("share", False, "", True)
    truth, restored = (image[ROI_OF_TESTS.window].astype(float) for image in images_of(stored))
    assert worst.origin == pytest.approx(np.abs(truth - restored).max() / 255, abs=1e-6)
    Path(own).write_text(f"{OWN}\n# another text\n")
    with pytest.raises(InputError, match="my_metric.py was"):
        compute_effects(
            prepare(make_config(tmp_path, settings, metrics=[f"{own}:worst", f"{own}:wide"], load_previous=1))
        )


def images_of(stored: Results) -> tuple[np.ndarray, np.ndarray]:
    assert stored.pictures is not None
    return stored.pictures.ground_truth, stored.pictures.restored


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("scalar", r"my_metric.py:scalar returned \(\) for 2 images; return \(2,\)"),
        ("nan", "my_metric.py:nan returned NaN or infinite values"),
        ("text", "my_metric.py:text returned a str; return a tensor of one number for each image"),
        ("fails", r"my_metric.py, line \d+: IndexError"),
        ("silent", "write silent.higher_is_better = True, or False"),
        ("missing", "has no class or function missing; it has worst"),
    ],
)
def test_own_metrics_that_go_wrong_are_named_before_anything_is_written(
    tmp_path: Path, settings: dict[str, Any], own: str, name: str, complaint: str
) -> None:
    with pytest.raises(InputError, match=f"metrics: .*{complaint}"):
        prepare(make_config(tmp_path, settings, metrics=[f"{own}:{name}"]))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (["psnr", "sim"], "'sim' is no metric; did you mean ssim?"),
        (["lpips2"], "'lpips2' is no metric; did you mean lpips?"),
        (["sharpness"], "is no metric; there are psnr"),
        (["ssim", "ssim"], "ssim is listed more than once"),
        (["my.py:SSIM"], "ssim is built in; call your function something else"),
        (["my.py"], "does not name a class or function"),
        ("psnr", r"write [psnr]"),
    ],
    ids=str,
)
def test_mistaken_metrics_are_named(tmp_path: Path, settings: dict[str, Any], given: Any, complaint: str) -> None:
    with pytest.raises(InputError, match="metrics") as found:
        make_config(tmp_path, settings, metrics=given)
    assert complaint in str(found.value)


def test_psnr_is_first_whether_it_is_named_or_not() -> None:
    names = [[source.name for source in parse_metrics(given)] for given in ([], ["psnr"], ["mae", "psnr"], ["mae"])]
    assert names == [[], [], ["mae"], ["mae"]]
    assert metric_sources.BUILT_IN == tuple(BUILT_IN) == tuple(ALL)
    assert load_metrics(parse_metrics(["ssim"]))[0] == (BUILT_IN["ssim"],)
