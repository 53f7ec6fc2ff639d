"""The conductor: effects equal those of a plain loop, whatever the batches, and never hold the plan's images."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.images import read_image
from CEM_Demo.inference.dense import DenseInference, paste
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.method.plan import make_plan
from CEM_Demo.ModelZoo import load_network
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.mat_files import read_mat
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.reading import read_results
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.forecast import forecast
from CEM_Demo.run.preparation import prepare
from CEM_Demo.run.stages import passes_to_fine
from CEM_Demo.tasks import Degradation, make_scene
from conftest import ROI_OF_TESTS, Tiny, make_config, photograph


def compute(config: Config) -> None:
    compute_effects(prepare(config))


def by_hand(config: Config, stage: str, draws: int) -> np.ndarray:
    """Measure the PSNR of every intervention of a stage: one image at a time, pasted by slicing, in float64 NumPy."""
    image = read_image(config.image_path("photo_1.png"))
    scene = make_scene(config.task_degradation, image, "photo_1.png")
    height, width = scene.degraded.shape[:2]
    shape = -(-height // config.block), -(-width // config.block)
    bank = load_bank(Path(config.patch_path))
    plan = make_plan(config.seed, "photo_1.png", stage, shape, draws, len(bank))[:]
    net = load_network("Tiny", config.task, config.sr)
    values = np.zeros((*shape, draws))
    for i in range(len(plan)):
        top, left = int(plan.rows[i]) * config.block, int(plan.columns[i]) * config.block
        patch = bank.at_size(plan.patches[i : i + 1], config.block)
        block = scene.degrade_patches(patch, np.array([[top, left]]), plan.noise_seeds[i : i + 1])[0]
        changed = scene.degraded.copy()
        changed[top : top + config.block, left : left + config.block] = block[: height - top, : width - left]
        with torch.inference_mode():
            output = net(torch.from_numpy(changed).permute(2, 0, 1)[None].float() / 255)[0].permute(1, 2, 0).numpy()
        rounded = np.round(output.clip(0, 1) * np.float32(255))
        error = (rounded - scene.ground_truth.astype(np.float64))[ROI_OF_TESTS.window]
        values[plan.rows[i], plan.columns[i], plan.draws[i]] = 10 * np.log10(255**2 / np.mean(error**2))
    return values


@pytest.mark.parametrize("task", ["DN", "DR"])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_effects_are_those_of_a_plain_loop(
    tmp_path: Path, settings: dict[str, Any], task: str, batch_size: int
) -> None:
    config = make_config(tmp_path, settings, task=task, batch_size=batch_size)
    compute(config)
    stored = read_results(result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS))
    np.testing.assert_allclose(stored.rounds["coarse"].values, by_hand(config, "coarse", 2), atol=5e-3)
    passing = passes_to_fine(stored.origin, stored.rounds["coarse"].values, config.tol)
    assert 0 < passing.sum() < passing.size
    assert "fine" in stored.rounds
    np.testing.assert_allclose(stored.rounds["fine"].values[passing], by_hand(config, "fine", 3)[passing], atol=5e-3)
    assert not stored.rounds["fine"].values[~passing].any()


@pytest.mark.parametrize("size", [(32, 40), (29, 43), (45, 26)])
def test_any_image_size_works_and_edge_blocks_count(
    tmp_path: Path, settings: dict[str, Any], size: tuple[int, int]
) -> None:
    Image.fromarray(photograph(*size)).save(tmp_path / "images" / "photo_1.png")
    config = make_config(tmp_path, settings)
    compute(config)
    stored = read_results(result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS))
    assert stored.rounds["coarse"].values.shape == (-(-size[0] // 8), -(-size[1] // 8), 2)
    np.testing.assert_allclose(stored.rounds["coarse"].values, by_hand(config, "coarse", 2), atol=5e-3)


def test_no_fine_file_where_no_block_passes_and_no_stale_one(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = make_config(tmp_path, settings)
    paths = result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS)
    compute(config)
    assert paths.fine.exists()
    compute(make_config(tmp_path, settings, tol=90.0))
    assert not paths.fine.exists()
    assert "fine" not in read_results(paths).rounds


def test_models_of_an_image_share_their_draws(tmp_path: Path, settings: dict[str, Any]) -> None:
    first = prepare(make_config(tmp_path, settings)).posed_images[0]
    second = prepare(make_config(tmp_path, settings, Modellist=["Tiny@Base"])).posed_images[0]
    assert first.sampling.digest == second.sampling.digest


def test_results_are_laid_out_as_published(tmp_path: Path, settings: dict[str, Any]) -> None:
    compute(make_config(tmp_path, settings))
    run = tmp_path / "out" / "DN-CEM" / "TEST-R16M8"
    model = run / "Tiny"
    assert {path.name for path in model.glob("*.mat")} == {
        "photo_1.png-PSNR-Origin.mat",
        "photo_1.png-PSNR_all_perturb-C2.mat",
        "photo_1.png-PSNR_all_perturb-F3.mat",
    }
    assert read_mat(model / "photo_1.png-PSNR-Origin.mat").shape == (1, 1)
    assert (model / "DN_photo_1.png-Origin.png").is_file()
    assert (model / "photo_1.png" / "rectangle-result-origin.png").is_file()
    assert (run / "photo_1.png-noise.png").is_file()
    assert not list((tmp_path / "images").glob("*-noise.png"))
    assert not list(run.rglob("*.part"))


def test_going_on_uses_the_batches_of_the_first_run(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = make_config(tmp_path, settings, batch_size=5)
    compute(config)
    paths = result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS)
    compute(make_config(tmp_path, settings, batch_size=9, load_previous=1))
    manifest = read_manifest(paths)
    assert manifest is not None
    assert manifest.batch_size == 5


@pytest.mark.usefixtures("tiny_model")
def test_out_of_memory_halves_the_batch_and_goes_on() -> None:
    net = load_network("Tiny", "DN")
    scene = make_scene(Degradation("DN"), photograph(32, 40), "a.png")
    inference = DenseInference(net, scene.degraded, ROI_OF_TESTS, torch.device("cpu"))
    corners = np.array([[0, 8 * column] for column in range(5)])
    blocks = np.zeros((5, 8, 8, 3), dtype=np.uint8)
    expected = inference.restore(corners, blocks)
    forward = net.forward
    sizes = []

    def limited(image: torch.Tensor) -> torch.Tensor:
        if len(image) > 2:
            raise torch.OutOfMemoryError("simulated")
        sizes.append(len(image))
        return forward(image)

    net.forward = limited  # type: ignore[method-assign]
    with pytest.warns(UserWarning, match="out of memory"):
        found = inference.restore(corners, blocks)
    assert sizes == [2, 2, 1]
    torch.testing.assert_close(found, expected)


def test_pasting_equals_slicing() -> None:
    image = torch.rand(3, 11, 13)
    corners = np.array([[0, 0], [4, 8], [8, 12]])
    blocks = np.random.RandomState(0).randint(0, 256, (3, 4, 4, 3)).astype(np.uint8)
    found = paste(image, torch.from_numpy(corners), torch.from_numpy(blocks))
    for number, (row, column) in enumerate(corners):
        expected = image.clone()
        block = torch.from_numpy(blocks[number]).permute(2, 0, 1).float() / 255
        expected[:, row : row + 4, column : column + 4] = block[:, : 11 - row, : 13 - column]
        torch.testing.assert_close(found[number], expected, rtol=0, atol=0)


def test_memory_does_not_grow_with_the_number_of_interventions(tmp_path: Path, settings: dict[str, Any]) -> None:
    def peak(coarse_num: int) -> int:
        config = make_config(tmp_path, settings, coarse_num=coarse_num, fine_num=1, tol=90.0, batch_size=8)
        tracemalloc.start()
        compute(config)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)  # imports and caches
    # 720 more interventions of 40 x 32 pixels would be 2.6 MiB as uint8; the plan and results take 40 bytes each.
    assert peak(40) - peak(4) < 0.5 * 2**20


def test_forecast_computes_and_writes_nothing(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = make_config(tmp_path, settings)
    ahead = list(forecast(prepare(config)))
    assert [(item.model, item.image, item.coarse, item.fine) for item in ahead] == [("Tiny", "photo_1.png", 40, 60)]
    assert ahead[0].memory_bytes > 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("trouble", ["size", "nan"])
def test_a_network_that_returns_nonsense_is_named(
    tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "size":
        monkeypatch.setattr(Tiny, "forward", lambda self, image: image[..., 1:, :])
    else:
        monkeypatch.setattr(Tiny, "forward", lambda self, image: image / 0)
    with pytest.raises(InputError, match="Tiny"):
        compute(make_config(tmp_path, settings))
