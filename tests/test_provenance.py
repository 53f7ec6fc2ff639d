"""Effects are continued and drawn only if all that decides them is the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.images import read_image
from CEM_Demo.method.plan import make_plans
from CEM_Demo.ModelZoo import checkpoints
from CEM_Demo.report.report import make_report
from CEM_Demo.results import provenance
from CEM_Demo.results.manifest import Manifest, read_manifest
from CEM_Demo.results.mat_files import mat_bytes
from CEM_Demo.results.paths import ResultPaths, result_paths
from CEM_Demo.results.provenance import OTHERWISE_RECORDED, differences, of_config
from CEM_Demo.run import conductor, sampling
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks import denoising, deraining
from conftest import ROI_OF_TESTS, Tiny, make_config, photograph
from killing import results

# A change of each key that decides the numbers but not the folder, and what the message says about it.
CONFIG_CHANGES: dict[str, tuple[Any, str]] = {
    "w": (16, r"roi was 16x16\+8\+8, is now 16x16\+16\+8"),
    "h": (16, r"roi was 16x16\+8\+8, is now 16x16\+8\+16"),
    "sigma": (25, "sigma was 50.0, is now 25.0"),
    "coarse_num": (3, "coarse_num was 2, is now 3"),
    "fine_num": (4, "fine_num was 3, is now 4"),
    "tol": (0.02, "tol was 0.01, is now 0.02"),
    "seed": (1, "seed was 0, is now 1"),
    "sampling": ("adaptive", "sampling was published, is now adaptive"),
    "precision": ("fine", "precision was default, is now fine"),
    "roi_blocks": (1, "roi_blocks was 0, is now 1"),
    "intervention": ({"kind": "blur", "sigma": 2}, "intervention was natural, is now blur, sigma 2 pixels"),
    "metrics": (["psnr", "ssim"], "metrics was psnr, is now psnr, ssim"),
}
# Keys that are part of the folder's name; another value can meet these results only if the folder is renamed.
IN_THE_FOLDER: dict[str, tuple[Any, str]] = {
    "task": ("DR", "task was DN, is now DR"),
    "sr": (2, "sr was 1, is now 2"),
    "ROI_size": (8, r"roi was 16x16\+8\+8, is now 8x8\+8\+8"),
    "mask_block_size": (4, "mask_block_size was 8, is now 4"),
}

Change = Callable[[Path, pytest.MonkeyPatch], None]


def change_checkpoint(folder: Path, _: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    torch.save(Tiny().state_dict(), folder / "models" / "Tiny.pth")


def change_image(folder: Path, _: pytest.MonkeyPatch) -> None:
    image = photograph(32, 40)
    image[31, 39, 0] ^= 1
    Image.fromarray(image).save(folder / "images" / "photo_1.png")


def change_bank(folder: Path, _: pytest.MonkeyPatch) -> None:
    with np.load(folder / "bank.npz") as bank:
        patches = bank["patches"]
    patches[0, 0, 0, 0] ^= 1
    np.savez(folder / "bank.npz", patches=patches)


def change_degradation(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoising, "IMAGE_SEED", 1)


def change_plan(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def later_seed(seed: int, *rest: Any) -> Any:
        return make_plans(seed + 1, *rest)

    monkeypatch.setattr(sampling, "make_plans", later_seed)


def change_device(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conductor, "describe_device", lambda _: "cuda (another one)")


def change_version(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "__version__", "1.13.0")


def change_own_version(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "__version__", "0.9")


MATERIAL_CHANGES: dict[str, tuple[Change, str]] = {
    "checkpoint_sha256": (change_checkpoint, r"checkpoint_sha256 was \w{12}\.\.\., is now \w{12}\.\.\."),
    "image_sha256": (change_image, "image_sha256 was"),
    "degraded_sha256": (change_degradation, "degraded_sha256 was"),
    "bank_sha256": (change_bank, "bank_sha256 was"),
    "plan_sha256": (change_plan, "plan_sha256 was"),
    "device": (change_device, r"device was cpu \(.*\), is now cuda \(another one\)"),
    "versions": (change_version, r"torch was .*, is now 1\.13\.0"),
    "versions of the project": (change_own_version, r"CEM_Demo was .*, is now 0\.9"),
}


@pytest.fixture
def finished(tmp_path: Path, settings: dict[str, Any]) -> Config:
    config = make_config(tmp_path, settings)
    compute_effects(prepare(config))
    return config


def paths_of(config: Config) -> ResultPaths:
    return result_paths(config, "Tiny", "photo_1.png", config.rois_of("photo_1.png")[0])


def manifest_of(config: Config) -> Manifest:
    manifest = read_manifest(paths_of(config))
    assert manifest is not None
    return manifest


def test_every_key_of_the_provenance_is_tried_here(finished: Config) -> None:
    tried = {*CONFIG_CHANGES, *IN_THE_FOLDER, *MATERIAL_CHANGES}
    not_keys = {"w", "h", "ROI_size", "versions of the project"}
    assert set(manifest_of(finished).provenance) == {*tried, "roi"} - not_keys
    assert set(Config.model_fields) == {*CONFIG_CHANGES, *IN_THE_FOLDER, *OTHERWISE_RECORDED}


@pytest.mark.parametrize("key", CONFIG_CHANGES)
def test_a_changed_config_is_refused(tmp_path: Path, settings: dict[str, Any], finished: Config, key: str) -> None:
    before = results(tmp_path / "out")
    value, expected = CONFIG_CHANGES[key]
    changed = make_config(tmp_path, settings, load_previous=1, **{key: value})
    expected = f"{expected}.*load_previous: 0.*prefix"
    with pytest.raises(InputError, match=expected):
        compute_effects(prepare(changed))
    with pytest.raises(InputError, match=expected):
        make_report(changed)
    assert results(tmp_path / "out") == before


@pytest.mark.parametrize("key", MATERIAL_CHANGES)
def test_changed_material_is_refused(
    tmp_path: Path, settings: dict[str, Any], finished: Config, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    before = results(tmp_path / "out")
    change, expected = MATERIAL_CHANGES[key]
    change(tmp_path, monkeypatch)
    with pytest.raises(InputError, match=f"{expected}.*load_previous: 0.*prefix"):
        compute_effects(prepare(make_config(tmp_path, settings, load_previous=1)))
    assert results(tmp_path / "out") == before


def test_effects_under_the_rain_of_an_earlier_generator_are_refused(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr(deraining, "GENERATOR", "version 1")
        compute_effects(prepare(make_config(tmp_path, settings, task="DR")))
    before = results(tmp_path / "out")
    with pytest.raises(InputError, match="rain_generator was version 1, is now version 2.*load_previous: 0"):
        compute_effects(prepare(make_config(tmp_path, settings, task="DR", load_previous=1)))
    assert results(tmp_path / "out") == before


@pytest.mark.parametrize("key", IN_THE_FOLDER)
def test_a_renamed_folder_is_found_out(tmp_path: Path, settings: dict[str, Any], finished: Config, key: str) -> None:
    value, expected = IN_THE_FOLDER[key]
    changes = {key: value}
    if key == "sr":
        changes |= {"task": "SR", "mask_block_size": 16}
    changed = make_config(tmp_path, settings, load_previous=1, **changes)
    paths_of(finished).run.rename(tmp_path / "moved")
    paths_of(changed).run.parent.mkdir(exist_ok=True)
    (tmp_path / "moved").rename(paths_of(changed).run)
    with pytest.raises(InputError, match=expected):
        compute_effects(prepare(changed))


def test_all_differences_are_named(tmp_path: Path, settings: dict[str, Any], finished: Config) -> None:
    changed = make_config(tmp_path, settings, load_previous=1, w=16, tol=0.02)
    with pytest.raises(InputError, match=r"tol was 0.01, is now 0.02; roi was .* is now .*; set load_previous: 0"):
        compute_effects(prepare(changed))


@pytest.mark.parametrize(("before", "after"), [("dense", "incremental"), ("incremental", "dense")])
def test_another_inference_is_refused_but_auto_goes_on_with_the_one_that_was_used(
    tmp_path: Path, settings: dict[str, Any], before: str, after: str
) -> None:
    compute_effects(prepare(make_config(tmp_path, settings, inference=before)))
    with pytest.raises(InputError, match=f"inference was {before}, is now {after}"):
        compute_effects(prepare(make_config(tmp_path, settings, inference=after, load_previous=1)))
    config = make_config(tmp_path, settings, inference="auto", load_previous=1)
    paths_of(config).fine.unlink()
    compute_effects(prepare(config))
    assert manifest_of(config).inference == before


def pack_as_folder(folder: Path) -> None:
    (folder / "patches").mkdir()
    with np.load(folder / "bank.npz") as bank:
        for number, patch in enumerate(bank["patches"]):
            Image.fromarray(patch).save(folder / "patches" / f"{number:03}.png")


def move_images(folder: Path) -> None:
    (folder / "images").rename(folder / "elsewhere")
    Image.fromarray(photograph(8, 8)).save(folder / "elsewhere" / "other.png")


HARMLESS: list[tuple[dict[str, Any], Callable[[Path], None]]] = [
    ({"batch_size": 3}, lambda _: None),
    ({"batch_size_dict": {"Tiny": 3}}, lambda _: None),
    ({"device": "auto"}, lambda _: None),
    ({"patch_path": "patches"}, pack_as_folder),
    ({"TextImg_path": "elsewhere"}, move_images),
    ({"output_dir": "moved"}, lambda folder: (folder / "out").rename(folder / "moved") and None),
]


@pytest.mark.parametrize(("changes", "prepare_change"), HARMLESS, ids=[next(iter(change)) for change, _ in HARMLESS])
def test_what_cannot_matter_is_not_refused(
    tmp_path: Path,
    settings: dict[str, Any],
    finished: Config,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, Any],
    prepare_change: Callable[[Path], None],
) -> None:
    caplog.set_level("INFO")
    prepare_change(tmp_path)
    for key in {"patch_path", "TextImg_path", "output_dir"} & set(changes):
        changes = {key: str(tmp_path / changes[key])}
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        changes = {**changes, "device": "cpu"}
    config = make_config(tmp_path, settings, load_previous=1, **changes)
    compute_effects(prepare(config))
    assert "already computed" in caplog.text
    make_report(config)


def test_more_models_and_an_image_cropped_alike_go_on(
    tmp_path: Path, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    changes = {"task": "SR", "sr": 2, "mask_block_size": 8}
    compute_effects(prepare(make_config(tmp_path, settings, **changes)))
    Image.fromarray(photograph(32, 40)).crop((0, 0, 41, 33)).save(tmp_path / "images" / "photo_1.png")
    config = make_config(tmp_path, settings, **changes, load_previous=1, Modellist=["Tiny", "Tiny@Base"])
    compute_effects(prepare(config))
    assert "Tiny photo_1.png: already computed" in caplog.text


def test_a_network_that_restores_otherwise_than_before_is_refused(
    tmp_path: Path, settings: dict[str, Any], finished: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Tiny.forward
    monkeypatch.setattr(Tiny, "forward", lambda self, x: 0.9 * forward(self, x))
    paths_of(finished).fine.unlink()
    with pytest.raises(InputError, match=r"PSNR \(dB\) of the ROI without intervention was"):
        compute_effects(prepare(make_config(tmp_path, settings, load_previous=1)))


def test_the_threads_of_the_first_run_are_kept(
    tmp_path: Path, settings: dict[str, Any], finished: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = manifest_of(finished).threads
    counts: list[int] = []
    inferences_for = conductor.inferences_for
    monkeypatch.setattr(
        conductor, "inferences_for", lambda *a: (counts.append(torch.get_num_threads()), inferences_for(*a))[1]
    )
    paths_of(finished).fine.unlink()
    torch.set_num_threads(used + 1)
    try:
        compute_effects(prepare(make_config(tmp_path, settings, load_previous=1)))
        assert torch.get_num_threads() == used + 1
    finally:
        torch.set_num_threads(used)
    assert counts == [used]
    assert manifest_of(finished).threads == used


def test_keys_of_one_side_alone_are_differences() -> None:
    assert differences({"a": 1}, {"b": {"c": 2}}) == [
        "b was not recorded, is now {'c': 2}",
        "a was 1, is now not recorded",
    ]
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ["c was 2, is now 3"]


def test_config_values_survive_the_manifest(finished: Config) -> None:
    recorded, asked = manifest_of(finished).provenance, of_config(finished, ROI_OF_TESTS)
    assert {key: recorded[key] for key in asked} == asked


def test_a_published_cache_is_drawn_unverified_but_not_gone_on_from(
    tmp_path: Path, settings: dict[str, Any], finished: Config
) -> None:
    paths_of(finished).manifest.unlink()
    assert "Unverified" in make_report(finished).read_text()
    with pytest.raises(InputError, match="has no manifest, so no run can continue it.*load_previous: 0"):
        compute_effects(prepare(make_config(tmp_path, settings, load_previous=1)))


def test_an_unfinished_published_cache_is_not_drawn(finished: Config) -> None:
    paths = paths_of(finished)
    paths.coarse.write_bytes(mat_bytes(np.pad(np.ones((3, 5, 2)), ((0, 1), (0, 0), (0, 0)))))
    paths.manifest.unlink()
    with pytest.raises(InputError, match="has zeros among its draws, so it is not finished"):
        make_report(finished)


def test_a_map_is_never_drawn_over_another_image(tmp_path: Path, settings: dict[str, Any], finished: Config) -> None:
    change_image(tmp_path, pytest.MonkeyPatch())
    compute_effects(prepare(make_config(tmp_path, settings, Modellist=["Tiny@Base"])))
    assert not np.array_equal(read_image(paths_of(finished).ground_truth), photograph(32, 40))
    with pytest.raises(InputError, match="photo_1.png-truth.png is not what was written"):
        make_report(finished)


def test_a_report_that_is_refused_draws_nothing(tmp_path: Path, settings: dict[str, Any], finished: Config) -> None:
    before = results(tmp_path / "out")
    with pytest.raises(InputError, match="Tiny@Base.*is missing"):
        make_report(make_config(tmp_path, settings, Modellist=["Tiny", "Tiny@Base"]))
    assert results(tmp_path / "out") == before


def test_a_checkpoint_is_known_by_its_bytes(tmp_path: Path, settings: dict[str, Any], finished: Config) -> None:
    assert manifest_of(finished).provenance["checkpoint_sha256"] == checkpoints.sha256_of(
        tmp_path / "models" / "Tiny.pth"
    )
