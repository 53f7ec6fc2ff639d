"""Local Attribution Maps in a run: computed once, never half-written, vouched for, and compared with the effects."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from CEM_Demo.attribution import block_sums, compare_with_effects, lam
from CEM_Demo.attribution.side_by_side import OUTSIDE, name_of
from CEM_Demo.config.schema import Config
from CEM_Demo.device import cpu_threads
from CEM_Demo.errors import InputError
from CEM_Demo.explain import Settings, explain
from CEM_Demo.geometry import ROI, grid_of
from CEM_Demo.images import read_image
from CEM_Demo.method.certainty import Certainty, assess
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.method.measurements import Draws
from CEM_Demo.ModelZoo import registry
from CEM_Demo.report.report import make_report
from CEM_Demo.results.lam_files import MissingLam, StoredLam, read_lam, read_lam_manifest
from CEM_Demo.results.paths import ResultPaths, result_paths
from CEM_Demo.run import lam_stage
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks import Degradation
from conftest import ROI_OF_TESTS, Tiny, make_config, photograph
from killing import assert_whole, killed_at, results

ROOT = Path(__file__).parents[1]
BOTH = ["CEM", "LAM"]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Forked children have one thread, so that this process must make do with it too."""
    with cpu_threads(1):
        yield


def run_both(tmp_path: Path, settings: dict[str, Any], **changes: Any) -> Config:
    config = make_config(tmp_path, settings, **{"maps": BOTH, "load_previous": 1, **changes})
    compute_effects(prepare(config), progress=False)
    return config


def paths_of(config: Config, roi: ROI = ROI_OF_TESTS) -> ResultPaths:
    return result_paths(config, "Tiny", "photo_1.png", roi)


def of_effects(found: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in found.items() if "/LAM" not in name}


def register(network: type[nn.Module], folder: Path) -> None:
    """Let the zoo know another network, or other weights, as Tiny."""
    registry._ENTRIES.pop("Tiny")
    torch.manual_seed(1)
    torch.save(network().state_dict(), folder / "models" / "Tiny.pth")
    weights = {"Base": registry.Checkpoint("Tiny.pth")}
    registry.register([registry.Entry("Tiny", ("DN",), network, "of the tests", weights, scale=1, reach=2)])


class Detached(Tiny):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


class Flat(Tiny):
    def forward(self, x: Tensor) -> Tensor:
        return 0 * super().forward(x) + 0.5


# What is computed and kept


def test_the_map_on_disk_is_that_of_the_network_and_its_input(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = run_both(tmp_path, settings)
    run = prepare(config)
    scene, grid = run.posed_images[0].scene, run.posed_images[0].grid
    expected = lam(run.models["Tiny"].load(), scene.degraded, ROI_OF_TESTS, 1)
    found = read_lam(paths_of(config))
    assert isinstance(found, StoredLam)
    np.testing.assert_array_equal(found.map, expected.map)
    np.testing.assert_array_equal(found.signed, expected.signed)
    np.testing.assert_array_equal(found.block_sums, block_sums(expected.map, grid))
    assert found.block_sums.shape == grid.shape
    assert found.block_sums.sum() == pytest.approx(expected.map.sum(dtype=np.float64), rel=1e-12)
    numbers = found.numbers
    assert (numbers.diffusion_index, numbers.gini) == (expected.diffusion_index, expected.gini)
    assert (numbers.pixels, numbers.height, numbers.width) == (expected.pixels, 32, 40)


def test_super_resolution_with_several_rois_and_partial_blocks(tmp_path: Path, settings: dict[str, Any]) -> None:
    boxes = [{"left": 8, "top": 8, "width": 16, "height": 12}, {"left": 20, "top": 16, "width": 20, "height": 16}]
    changes = {"task": "SR", "sr": 2, "mask_block_size": 12, "rois": boxes, "w": None, "h": None, "ROI_size": None}
    config = run_both(tmp_path, settings, **changes)
    for roi in config.rois_of("photo_1.png"):
        found = read_lam(paths_of(config, roi))
        assert isinstance(found, StoredLam)
        assert (found.map.shape, found.block_sums.shape) == ((16, 20), (3, 4))
        assert found.block_sums.sum() == pytest.approx(found.map.sum(dtype=np.float64), rel=1e-12)
    make_report(config)


def test_the_files_of_the_effects_stay_as_they_are(tmp_path: Path, settings: dict[str, Any]) -> None:
    run_both(tmp_path, settings, maps=["CEM"])
    expected = results(tmp_path / "out")
    assert not any("LAM" in name for name in expected)
    run_both(tmp_path, settings)
    assert of_effects(results(tmp_path / "out")) == expected
    shutil.rmtree(tmp_path / "out")
    run_both(tmp_path, settings)
    assert of_effects(results(tmp_path / "out")) == expected


def test_a_finished_map_is_not_computed_again(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_both(tmp_path, settings)
    expected = results(tmp_path / "out")
    monkeypatch.setattr(lam_stage, "lam", None)
    run_both(tmp_path, settings)
    assert results(tmp_path / "out") == expected


def test_draws_and_patches_do_not_decide_the_map(tmp_path: Path, settings: dict[str, Any]) -> None:
    manifest = read_lam_manifest(paths_of(run_both(tmp_path, settings)))
    assert manifest is not None
    materials = {"checkpoint_sha256", "image_sha256", "degraded_sha256", "device", "versions"}
    assert set(manifest.provenance) == {"sr", "mask_block_size", "roi", "lam"} | materials


# Kills, damage and changes


def test_runs_killed_at_any_change_of_the_disk_end_with_the_same_bytes(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_both(tmp_path, settings, maps=["CEM"])
    shutil.copytree(tmp_path / "out", tmp_path / "effects")
    run = prepare(run_both(tmp_path, settings))
    expected = results(tmp_path / "out")
    # Autograd does not work in forked children, so they get the map from here.
    found = lam(run.models["Tiny"].load(), run.posed_images[0].scene.degraded, ROI_OF_TESTS, 1)
    monkeypatch.setattr(lam_stage, "lam", lambda *_: found)
    number = 0
    while True:
        shutil.rmtree(tmp_path / "out")
        shutil.copytree(tmp_path / "effects", tmp_path / "out")
        number += 1
        if not killed_at(number, lambda: compute_effects(run, progress=False)):
            break
        assert_whole(tmp_path / "out")
        compute_effects(run, progress=False)
        assert results(tmp_path / "out") == expected, number
    assert number > 15


def test_a_new_run_leaves_nothing_of_an_old_map(tmp_path: Path, settings: dict[str, Any]) -> None:
    make_report(run_both(tmp_path, settings, lam_density=1))
    assert sum("/LAM" in name for name in results(tmp_path / "out")) == 5
    run_both(tmp_path, settings, maps=["CEM"], load_previous=0)
    assert not any("/LAM" in name for name in results(tmp_path / "out"))


def test_a_map_of_another_checkpoint_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = run_both(tmp_path, settings)
    (paths_of(config).manifest).unlink()
    for path in paths_of(config).model_folder.glob("*.mat"):
        path.unlink()
    before = results(tmp_path / "out")
    register(Tiny, tmp_path)
    with pytest.raises(InputError, match=r"LAM\.json was .*checkpoint_sha256 was .*is now.*load_previous: 0"):
        run_both(tmp_path, settings)
    assert results(tmp_path / "out") == before
    run_both(tmp_path, settings, load_previous=0)


def test_a_map_that_does_not_belong_to_the_effects_beside_it_is_not_drawn(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    config = run_both(tmp_path, settings)
    shutil.copytree(paths_of(config).pair_folder, tmp_path / "old")
    register(Tiny, tmp_path)
    run_both(tmp_path, settings, load_previous=0, maps=["CEM"])
    for path in paths_of(config).files_of_lam()[:2]:
        shutil.copy(tmp_path / "old" / path.name, path)
    with pytest.raises(InputError, match=r"LAM\.json does not belong to the effects beside it: checkpoint_sha256"):
        make_report(config)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 damaged"])
def test_a_damaged_map_is_computed_again(
    tmp_path: Path, settings: dict[str, Any], caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    config = run_both(tmp_path, settings)
    expected = results(tmp_path / "out")
    path = paths_of(config).lam_arrays
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=r"LAM\.npz is missing or damaged"):
        make_report(config)
    run_both(tmp_path, settings)
    assert "LAM is computed again" in caplog.text
    assert results(tmp_path / "out").items() >= expected.items()


def test_an_edited_manifest_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    path = paths_of(run_both(tmp_path, settings)).lam_manifest
    path.write_text(path.read_text().replace('"width": 40', '"width": 41'))
    with pytest.raises(InputError, match=r"LAM\.json is damaged, or was edited; set load_previous: 0"):
        run_both(tmp_path, settings)


# No map


@pytest.mark.parametrize(
    ("network", "reason"), [(Detached, "LAM needs a network that a gradient passes"), (Flat, "is zero everywhere")]
)
def test_a_network_without_a_map_does_not_stop_the_run(
    tmp_path: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    network: type[nn.Module],
    reason: str,
) -> None:
    register(network, tmp_path)
    caplog.set_level("INFO", "CEM_Demo")
    config = run_both(tmp_path, settings)
    assert re.search(rf"Tiny on photo_1\.png: no LAM: .*{reason}", caplog.text)
    found = read_lam(paths_of(config))
    assert isinstance(found, MissingLam) and reason in found.reason
    monkeypatch.setattr(lam_stage, "lam", None)
    run_both(tmp_path, settings)
    caplog.clear()
    make_report(config)
    assert re.search(rf"Tiny on photo_1\.png: no LAM: .*{reason}", caplog.text)
    assert [path for path in paths_of(config).files_of_lam() if path.exists()] == [paths_of(config).lam_manifest]


def test_too_little_memory_leaves_the_map_to_the_next_run(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def too_large(*_: Any) -> None:
        raise torch.OutOfMemoryError

    with monkeypatch.context() as patched:
        patched.setattr(lam_stage, "lam", too_large)
        config = run_both(tmp_path, settings)
    assert "Tiny on photo_1.png: no LAM, for the memory" in caplog.text
    with pytest.raises(InputError, match="has no LAM; run .*load_previous: 1 to compute it, or leave LAM out of maps"):
        make_report(config)
    run_both(tmp_path, settings)
    make_report(config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"maps": ["LAM"]}, r"maps: \[LAM\] is not \[CEM\] or \[CEM, LAM\]"),
        ({"maps": []}, r"maps: \[\] is not \[CEM\] or \[CEM, LAM\]"),
        ({"maps": ["CEM", "CEM"]}, r"maps: \[CEM, CEM\] is not"),
        ({"maps": ["CEM", "IG"]}, "'CEM' or 'LAM', not 'IG'"),
        ({"lam_density": 1}, r"lam_density: 1 draws .* set maps: \[CEM, LAM\]"),
    ],
)
def test_maps_that_are_none(tmp_path: Path, settings: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_config(tmp_path, settings, **changes)


# Side by side


def certainty_of(codes: np.ndarray) -> Certainty:
    """The certainty of blocks with ten draws each that make them what ``codes`` says, at a tolerance of 0.1 dB."""
    clear = np.linspace(-0.01, 0.01, 10)
    effects = {
        BlockClass.HELPS: 1 + clear,
        BlockClass.HURTS: -1 + clear,
        BlockClass.NEGLIGIBLE: clear,
        BlockClass.UNDECIDED: 200 * clear,
    }
    values = np.zeros((*codes.shape, 10))
    counts = np.zeros(codes.shape, np.int64)
    for place in np.ndindex(*codes.shape):
        if codes[place] in effects:
            values[place], counts[place] = 30 - effects[codes[place]], 10
    reached, roi = codes != BlockClass.OUT_OF_REACH, codes == BlockClass.ROI
    return assess(30.0, {"fine": Draws(values, counts)}, 0.1, reached, roi)


def test_constructed_classes_give_their_shares() -> None:
    helps, hurts, negligible, undecided, not_tested, out, roi = (
        BlockClass.HELPS,
        BlockClass.HURTS,
        BlockClass.NEGLIGIBLE,
        BlockClass.UNDECIDED,
        BlockClass.NOT_TESTED,
        BlockClass.OUT_OF_REACH,
        BlockClass.ROI,
    )
    codes = np.array([[helps, hurts, roi, negligible], [undecided, not_tested, out, helps]])
    certainty = certainty_of(codes)
    np.testing.assert_array_equal(certainty.classes.codes, codes)
    sums = np.array([[4.0, 2.0, 90.0, 1.0], [0.5, 0.25, 0.0, 2.25]])
    effects = np.array([[4.0, -3.0, 9.0, 0.0], [0.5, 0.2, 0.0, 2.0]])
    found = compare_with_effects(sums, effects, certainty)
    shares = {helps: 0.625, hurts: 0.2, negligible: 0.1, undecided: 0.05, not_tested: 0.025, out: 0}
    assert {kind: share.attribution for kind, share in found.shares.items()} == pytest.approx(shares)
    blocks = {kind: (2 if kind is helps else 1) / 7 for kind in OUTSIDE}
    assert {kind: share.blocks for kind, share in found.shares.items()} == pytest.approx(blocks)
    assert (found.hurting, found.on_roi, found.blocks) == (pytest.approx(0.2), pytest.approx(0.9), 6)
    # Sums rank 6 4 3 2 1 5 where effects rank 6 5 1 3 2 4: 1 - 6 * 8 / (6 * 35).
    assert found.rank_correlation == pytest.approx(1 - 6 * 8 / 210)
    assert str(found) == (
        "of what LAM lights up outside the ROI, 20.0% hurts (14.3% of the blocks do), 62.5% helps, 10.0% negligible, "
        "5.0% undecided, 2.5% not tested, 0.0% out of reach; rank correlation with |effects| +0.77 over 6 blocks"
    )
    assert found.as_json()["shares_outside_roi"]["out of reach"] == {"attribution": 0, "blocks": 1 / 7}


def test_a_map_on_the_roi_alone_is_not_compared() -> None:
    certainty = certainty_of(np.array([[BlockClass.ROI, BlockClass.HELPS]]))
    with pytest.raises(InputError, match="nothing outside the blocks of the ROI"):
        compare_with_effects(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), certainty)
    with pytest.raises(InputError, match="block sums"):
        compare_with_effects(np.ones((2, 2)), np.ones((2, 2)), certainty)
    found = compare_with_effects(np.array([[1.0, 1.0]]), np.array([[0.0, 1.0]]), certainty)
    assert found.as_json()["rank_correlation"] is None and "undefined" in str(found)


def test_the_report_compares_each_map_as_an_explanation_does(
    tmp_path: Path, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "CEM_Demo")
    config = run_both(tmp_path, settings, lam_density=1)
    make_report(config)
    paths, run = paths_of(config), prepare(config)
    network = run.models["Tiny"].load()
    chosen = Settings(block=8, coarse_num=2, fine_num=3, bank=run.bank, device="cpu")
    explained = explain(network, photograph(32, 40), ROI_OF_TESTS, Degradation("DN"), chosen, "photo_1.png")
    sums = block_sums(
        lam(network, explained.scene.degraded, explained.roi, 1).map, grid_of(explained.scene.degraded, 8, 1)
    )
    expected = compare_with_effects(sums, explained.effects, explained.certainty)
    contents = json.loads(paths.lam_comparison.read_text())
    assert contents["compared_with_effects"] == expected.as_json()
    assert set(contents["compared_with_effects"]["shares_outside_roi"]) == {name_of(kind) for kind in OUTSIDE}
    assert sum(share["attribution"] for share in expected.as_json()["shares_outside_roi"].values()) == pytest.approx(1)
    assert contents["lam"]["width"] == 40
    assert f"Tiny on photo_1.png: LAM: DI {contents['lam']['diffusion_index']:.2f} on 40 x 32 pixels" in caplog.text
    assert str(expected) in caplog.text
    picture = read_image(paths.lam_picture)
    assert picture.shape == read_image(paths.lam_density).shape == (32, 40, 3)
    assert (picture[8, 8] == (0, 255, 0)).all() and (picture[0, 39] > 250).all()


def test_the_example_of_the_documentation_runs() -> None:
    text = (ROOT / "CEM_Demo" / "docs" / "lam.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(example, {})
