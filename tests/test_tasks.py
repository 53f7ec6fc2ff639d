"""Images of every kind become scenes, and patches enter them the way the task says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import SCALES
from CEM_Demo.images import read_image
from CEM_Demo.ModelZoo import find
from CEM_Demo.ModelZoo.registry import check_scale
from CEM_Demo.results.paths import result_paths
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks import Degradation, make_scene
from CEM_Demo.tasks.denoising import add_noise
from CEM_Demo.tasks.deraining import RAIN, add_rain, make_rain, rain_seed
from conftest import ROI_OF_TESTS, make_config, photograph


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16"])
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, mode: str) -> None:
    rgb = photograph(10, 14)
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    if mode == "I;16":
        Image.fromarray(rgb[..., 0].astype(np.uint16) * 257).save(path)
        expected = np.repeat(rgb[..., :1], 3, axis=2)
    else:
        image = Image.fromarray(rgb).convert(mode)
        image.save(path)
        expected = np.array(image.convert("RGB"))
    found = read_image(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_alpha_is_dropped_not_composited(tmp_path: Path) -> None:
    image = np.full((4, 4, 4), 200, dtype=np.uint8)
    image[..., 3] = 0
    Image.fromarray(image).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png") == 200).all()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n broken"])
def test_what_is_no_image_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"image\.png"):
        read_image(path)


def test_super_resolution_crops_to_a_multiple_of_the_scale() -> None:
    scene = make_scene(Degradation("SR", 4), photograph(34, 41), "a.png")
    assert scene.ground_truth.shape == (32, 40, 3)
    assert scene.degraded.shape == (8, 10, 3)
    with pytest.raises(InputError, match="too small"):
        make_scene(Degradation("SR", 4), photograph(3, 9), "a.png")


def test_noise_of_a_patch_is_its_seed_alone() -> None:
    scene = make_scene(Degradation("DN"), photograph(24, 24), "a.png")
    patches = np.full((3, 8, 8, 3), 100, dtype=np.uint8)
    seeds = np.array([5, 6, 5], dtype=np.uint64)
    noisy = scene.degrade_patches(patches, np.zeros((3, 2), dtype=int), seeds)
    np.testing.assert_array_equal(noisy[0], noisy[2])
    assert (noisy[0] != noisy[1]).any()
    np.testing.assert_array_equal(noisy[1:2], scene.degrade_patches(patches[:1], np.zeros((1, 2), int), seeds[1:2]))


def test_noise_is_truncated_to_8_bits() -> None:
    image = photograph(16, 16)
    exact = image / 255 + np.random.RandomState(3).normal(0, 50 / 255, image.shape)
    np.testing.assert_array_equal(add_noise(image, np.random.RandomState(3)), np.floor(exact.clip(0, 1) * 255))


def test_a_patch_is_rained_on_like_the_image_it_is_pasted_into() -> None:
    image = photograph(21, 26)
    scene = make_scene(Degradation("DR"), image, "photo_7.png")
    rain = make_rain(21, 26, rain_seed("photo_7.png"))
    patch = np.random.RandomState(0).randint(0, 256, (1, 8, 8, 3)).astype(np.uint8)
    for row, column in ((0, 0), (8, 16), (16, 24)):
        pasted = image.copy()
        pasted[row : row + 8, column : column + 8] = patch[0, : 21 - row, : 26 - column]
        expected = add_rain(pasted, rain.layer, rain.opacity)
        block = scene.degrade_patches(patch, np.array([[row, column]]), np.zeros(1, np.uint64))[0]
        found = scene.degraded.copy()
        found[row : row + 8, column : column + 8] = block[: 21 - row, : 26 - column]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("name", "seed"), [("demo_2.png", 2), ("12_34.png", 12), ("rain.png", 0), ("img007.jpg", 7)])
def test_rain_is_seeded_by_the_first_number_of_the_name(name: str, seed: int) -> None:
    assert rain_seed(name) == seed


@pytest.mark.parametrize("kind", RAIN)
def test_every_kind_of_rain_falls(kind: str) -> None:
    first, again, other = make_rain(64, 80, 1, kind), make_rain(64, 80, 1, kind), make_rain(64, 80, 2, kind)
    np.testing.assert_array_equal(first.layer, again.layer)
    assert (first.layer != other.layer).any()
    assert first.layer.max() >= 254  # stretched to 0..255, then truncated
    assert 0.6 <= first.opacity < 1


def test_defaults_are_the_published_degradations(tmp_path: Path, settings: dict[str, Any]) -> None:
    image = photograph(24, 31)
    noisy = make_scene(make_config(tmp_path, settings).task_degradation, image, "a_3.png")
    legacy = np.random.RandomState(0).normal(0, 50 / 255, image.shape)
    np.testing.assert_array_equal(noisy.degraded, ((image / 255 + legacy).clip(0, 1) * 255).astype(np.uint8))
    rainy = make_scene(make_config(tmp_path, settings, task="DR").task_degradation, image, "a_3.png")
    rain = make_rain(24, 31, 3)
    np.testing.assert_array_equal(rainy.degraded, add_rain(image, rain.layer, rain.opacity))


def test_sigma_is_the_strength_of_the_noise_in_image_and_patches() -> None:
    grey = np.full((64, 64, 3), 128, dtype=np.uint8)
    scene = make_scene(Degradation("DN", sigma=7.5), grey, "a.png")
    patch = scene.degrade_patches(grey[None], np.zeros((1, 2), int), np.array([9], np.uint64))[0]
    for noisy in (scene.degraded, patch):
        assert np.std(noisy) == pytest.approx(7.5, rel=0.03)


@pytest.mark.parametrize("kind", RAIN)
def test_rain_is_of_the_kind_asked_for(kind: str) -> None:
    image = photograph(40, 48)
    rain = make_rain(40, 48, 7, kind)
    scene = make_scene(Degradation("DR", rain=kind), image, "photo_7.png")
    np.testing.assert_array_equal(scene.degraded, add_rain(image, rain.layer, rain.opacity))
    block = scene.degrade_patches(image[None, 8:16, 8:16], np.array([[8, 8]]), np.zeros(1, np.uint64))[0]
    np.testing.assert_array_equal(block, scene.degraded[8:16, 8:16])


def test_config_knows_every_kind_of_rain() -> None:
    kinds = get_args(get_args(Config.model_fields["rain"].annotation)[0])
    assert set(kinds) == set(RAIN)


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_runs_from_config_to_effects(tmp_path: Path, settings: dict[str, Any], scale: int) -> None:
    changes = {"task": "SR", "sr": scale, "mask_block_size": 2 * scale, "coarse_num": 1, "fine_num": 1}
    run = prepare(make_config(tmp_path, settings, **changes))
    scene = run.posed_images[0].scene
    assert scene.degraded.shape == (32 // scale, 40 // scale, 3)
    whole = photograph(32, 40)[: 32 // scale * scale, : 40 // scale * scale]
    expected = Image.fromarray(whole).resize((40 // scale, 32 // scale), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(scene.degraded, np.asarray(expected))
    compute_effects(run)
    assert result_paths(run.config, "Tiny", "photo_1.png", ROI_OF_TESTS).coarse.is_file()


def test_scale_1_takes_the_image_itself() -> None:
    scene = make_scene(Degradation("SR", 1), photograph(17, 23), "a.png")
    np.testing.assert_array_equal(scene.degraded, photograph(17, 23))


@pytest.mark.parametrize(
    ("model", "training", "task", "scales"),
    [
        ("EDSR", "Demo", "SR", [4]),
        ("EDSR", "Base", "SR", [4]),
        ("FSRCNN", "Base", "SR", [4]),
        ("SRResNet", "Demo", "SR", [4]),
        ("SRResNet_mix", "Base", "SR", [1, 2, 3, 4, 8]),
        ("SRResNet_mix", "Base", "PAIR", [1, 2, 3, 4, 8]),
        ("SRResNet_DN", "Demo", "PAIR", [1]),
        ("PReNet", "Demo", "PAIR", [1]),
        ("EDSR", "Demo", "PAIR", [4]),
    ],
)
def test_the_zoo_knows_its_scales(model: str, training: str, task: str, scales: list[int]) -> None:
    def serves(scale: int) -> bool:
        try:
            check_scale(find(model, task), training, task, scale)
        except InputError:
            return False
        return True

    assert [scale for scale in SCALES if serves(scale)] == scales


@pytest.mark.parametrize(
    ("task", "change", "complaint"),
    [("DN", {"sigma": 25.5}, "sigma was 50.0"), ("DR", {"rain": "large"}, "rain was medium")],
)
def test_strengths_are_provenance(
    tmp_path: Path, settings: dict[str, Any], task: str, change: dict[str, Any], complaint: str
) -> None:
    settings |= {"task": task, "load_previous": 1}
    config = make_config(tmp_path, settings)
    compute_effects(prepare(config))
    with pytest.raises(InputError, match=complaint):
        compute_effects(prepare(make_config(tmp_path, settings, **change)))
