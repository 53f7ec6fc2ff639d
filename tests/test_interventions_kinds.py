"""What stands in a block's place other than a natural patch: edits, noise, other blocks, the user's own function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from CEM_Demo.config.intervention_sources import parse_intervention
from CEM_Demo.errors import InputError
from CEM_Demo.explain import Settings, explain
from CEM_Demo.geometry import ROI, grid_of
from CEM_Demo.inference.choice import choose_inference
from CEM_Demo.method.edited_blocks import constant
from CEM_Demo.method.effect_map import make_effect_map
from CEM_Demo.method.intervention import JointPatches, Pasted
from CEM_Demo.method.naturalness import naturalness
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.method.plan import Interventions, make_plan
from CEM_Demo.ModelZoo import load_network
from CEM_Demo.report.report import make_report
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.reading import Results, read_results
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.interventions import Chosen, choose_intervention
from CEM_Demo.run.naturalness import compare_kinds
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks import Degradation, Scene, make_scene
from conftest import ROI_OF_TESTS, Tiny, make_config, photograph

CPU = torch.device("cpu")
BANK = PatchBank(np.random.RandomState(2).randint(0, 256, (50, 8, 8, 3)).astype(np.uint8))
DEGRADATIONS = [Degradation("SR", 2), Degradation("DN"), Degradation("DR")]
DETERMINISTIC = ["blur", {"kind": "constant", "color": "image"}, "clean"]


def scene_of(degradation: Degradation, image: np.ndarray | None = None) -> Scene:
    return make_scene(degradation, photograph(36, 44) if image is None else image, "photo_1.png")


def choose(given: Any, scene: Scene, block: int = 8) -> Chosen:
    grid = grid_of(scene.degraded, block, scene.scale)
    return choose_intervention(parse_intervention(given), scene, grid, BANK)


def every_block(scene: Scene, draws: int = 1, bank_size: int = 50, block: int = 8) -> Interventions:
    shape = grid_of(scene.degraded, block, scene.scale).shape
    return make_plan(0, "photo_1.png", "coarse", shape, draws, bank_size)[:]


def paste(scene: Scene, pasted: Pasted) -> np.ndarray:
    """The input with all the blocks in it at once."""
    block = pasted.pixels.shape[1]
    whole = np.pad(scene.degraded, ((0, block), (0, block), (0, 0)))
    for (row, column), pixels in zip(pasted.corners, pasted.pixels, strict=True):
        whole[row : row + block, column : column + block] = pixels
    return whole[: scene.degraded.shape[0], : scene.degraded.shape[1]]


def stored_results(config: Any) -> Results:
    return read_results(result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS))


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=lambda degradation: degradation.task)
def test_no_blur_changes_nothing_and_some_blur_keeps_the_noise_and_the_rain(degradation: Degradation) -> None:
    scene = scene_of(degradation)
    pasted = choose({"kind": "blur", "sigma": 0}, scene).intervention(every_block(scene))
    np.testing.assert_array_equal(paste(scene, pasted), scene.degraded)
    blurred = paste(scene, choose({"kind": "blur", "sigma": 2}, scene).intervention(every_block(scene)))
    smoother = scene.with_edit(np.asarray(scene.editable))
    assert not np.array_equal(blurred, smoother)
    assert abs(blurred.mean() - scene.degraded.mean()) < 3


@pytest.mark.parametrize("degradation", DEGRADATIONS, ids=lambda degradation: degradation.task)
def test_a_constant_that_stands_there_already_changes_nothing(degradation: Degradation) -> None:
    flat = np.kron(photograph(3, 4)[..., None], np.ones((1, 1, 1, 1), np.uint8))[..., 0].repeat(16, 0).repeat(16, 1)
    scene = scene_of(degradation, flat)
    if degradation.task == "SR":  # Bicubic reduction rings at the edges, so that blocks of the input are not flat.
        scene = scene_of(degradation, np.full((32, 48, 3), 77, np.uint8))
    pasted = choose({"kind": "constant", "color": "block"}, scene).intervention(every_block(scene))
    np.testing.assert_array_equal(paste(scene, pasted), scene.degraded)


def test_constants_are_black_or_the_mean_of_the_image_or_of_each_block() -> None:
    image = photograph(20, 24)
    assert not constant(image, "zero", 8).any()
    np.testing.assert_array_equal(constant(image, "image", 8)[3, 5], np.rint(image.mean(axis=(0, 1))))
    of_block = constant(image, "block", 8)
    np.testing.assert_array_equal(of_block[9, 17], np.rint(image[8:16, 16:24].mean(axis=(0, 1))))
    np.testing.assert_array_equal(of_block[19, 0], np.rint(image[16:20, 0:8].mean(axis=(0, 1))))


def test_without_an_edit_the_effect_is_exactly_zero(settings: dict[str, Any]) -> None:
    network, image = load_network("Tiny", "DN"), photograph(32, 40)
    how = Settings(bank=BANK, device="cpu", intervention={"kind": "blur", "sigma": 0}, tol=0)
    assert not explain(network, image, ROI_OF_TESTS, Degradation("DN"), how).effects.any()


@pytest.mark.parametrize("task", ["DN", "DR"])
@pytest.mark.parametrize("kind", ["dense", "incremental"])
def test_all_blocks_clean_at_once_give_the_roi_of_the_restored_clean_image(task: str, kind: str) -> None:
    torch.manual_seed(0)
    scene, roi, net = scene_of(Degradation(task)), ROI(8, 8, 16, 16), Tiny().eval()
    shape = grid_of(scene.degraded, 8, 1).shape
    plan = make_plan(0, "photo_1.png", "coarse", shape, 1, len(BANK))
    clean = choose("clean", scene).intervention
    joint = JointPatches(clean, plan.source, np.zeros(shape, np.int64), scene.degraded)(plan[:1])
    (shared,) = choose_inference(net, scene.degraded, [roi], 8, CPU, kind)
    shared.inference.baseline()
    found = shared.inference.restore(joint.corners, joint.pixels)[0]
    with torch.no_grad():
        expected = net(torch.from_numpy(scene.ground_truth).permute(2, 0, 1)[None] / 255)[0]
    np.testing.assert_allclose(found.numpy(), expected[(slice(None), *roi.window)].numpy(), atol=1e-5)


@pytest.mark.parametrize("intervention", DETERMINISTIC, ids=str)
def test_deterministic_kinds_take_one_draw_and_no_second_stage(
    tmp_path: Path, settings: dict[str, Any], intervention: Any
) -> None:
    config = make_config(tmp_path, settings, intervention=intervention)
    compute_effects(prepare(config))
    stored = stored_results(config)
    assert list(stored.rounds) == ["single"] and (stored.rounds["single"].counts == 1).all()
    effects = make_effect_map(stored.origin, stored.rounds, config.tol, np.zeros((4, 5), bool)).effects
    np.testing.assert_array_equal(effects != 0, np.abs(stored.origin - stored.rounds["single"].values[..., 0]) >= 0.01)
    assert effects.any()
    assert "Tiny" in make_report(config).read_text()
    compute_effects(prepare(make_config(tmp_path, settings, intervention=intervention, load_previous=1)))


def test_a_resumed_run_of_single_draws_has_the_same_bytes(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = make_config(tmp_path, settings, intervention="clean", batch_size=4)
    compute_effects(prepare(config))
    paths = result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS)
    before = paths.of_round("single").read_bytes()
    paths.of_round("single").unlink()
    compute_effects(prepare(make_config(tmp_path, settings, intervention="clean", batch_size=4, load_previous=1)))
    assert paths.of_round("single").read_bytes() == before


def test_the_python_interface_gives_the_numbers_of_a_run(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = make_config(tmp_path, settings, intervention="shuffle")
    compute_effects(prepare(config))
    stored = stored_results(config)
    how = Settings(coarse_num=2, fine_num=3, bank=BANK, device="cpu", intervention="shuffle")
    found = explain(load_network("Tiny", "DN"), photograph(32, 40), ROI_OF_TESTS, Degradation("DN"), how, "photo_1.png")
    expected = make_effect_map(stored.origin, stored.rounds, config.tol, found.effect_map.roi)
    np.testing.assert_array_equal(found.effects, expected.effects)


def test_shuffle_pastes_other_blocks_of_the_image() -> None:
    scene = scene_of(Degradation("SR", 2))
    chosen = choose("shuffle", scene)
    assert len(chosen.bank) == (18 // 8) * (22 // 8)
    batch = every_block(scene, draws=40, bank_size=len(chosen.bank))
    pasted = chosen.intervention(batch)
    blocks = {patch.tobytes() for patch in chosen.bank.patches}
    assert all(pixels.tobytes() in blocks for pixels in pasted.pixels)
    for (row, column), pixels in zip(pasted.corners, pasted.pixels, strict=True):
        assert not np.array_equal(scene.degraded[row : row + 8, column : column + 8], pixels)


def test_noise_is_even_and_depends_on_its_draw_alone() -> None:
    scene = scene_of(Degradation("SR", 1))
    intervention, batch = choose("noise", scene).intervention, every_block(scene, draws=20)
    pixels = intervention(batch).pixels
    assert abs(pixels.mean() - 127.5) < 1 and abs(pixels.std() - 73.9) < 1
    part = Interventions(*(getattr(batch, name)[7:9] for name in batch.__dataclass_fields__))
    np.testing.assert_array_equal(intervention(part).pixels, pixels[7:9])
    assert len(np.unique(pixels.reshape(len(pixels), -1), axis=0)) == len(pixels)


def test_images_are_cut_from_a_folder_as_the_seed_says(tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = tmp_path / "photographs"
    folder.mkdir()
    Image.fromarray(photograph(40, 50)).save(folder / "one.png")
    Image.fromarray(255 - photograph(30, 20)).save(folder / "two.png")
    Image.fromarray(photograph(4, 4)).save(folder / "too_small.png")
    changes = {"intervention": {"kind": "images", "folder": str(folder)}}
    banks = [prepare(make_config(tmp_path, settings, **changes, seed=seed)).bank for seed in (0, 0, 1)]
    assert banks[0].patches.shape == (10_000, 8, 8, 3) and banks[0].digest == banks[1].digest != banks[2].digest
    places = np.lib.stride_tricks.sliding_window_view(photograph(40, 50), (8, 8, 3)).reshape(-1, 192)
    share = np.mean([patch.tobytes() in {place.tobytes() for place in places} for patch in banks[0].patches[:200]])
    assert abs(share - 33 * 43 / (33 * 43 + 23 * 13)) < 0.1
    compute_effects(prepare(make_config(tmp_path, settings, **changes)))
    Image.fromarray(photograph(31, 20)).save(folder / "two.png")
    with pytest.raises(InputError, match="bank_sha256 was"):
        compute_effects(prepare(make_config(tmp_path, settings, **changes, load_previous=1)))
    with pytest.raises(InputError, match="intervention: the folder .*nowhere does not exist"):
        prepare(make_config(tmp_path, settings, intervention={"kind": "images", "folder": str(tmp_path / "nowhere")}))


OWN = """
import numpy as np

def flip(clean, corners, random):
    top, left, bottom, right = corners
    return clean[top:bottom, left:right][::-1]

def scatter(clean, corners, random):
    top, left, bottom, right = corners
    return random.integers(0, 256, (bottom - top, right - left, 3)).astype(np.uint8)

def same(clean, corners, random):
    top, left, bottom, right = corners
    return clean[top:bottom, left:right]

same.deterministic = True

def floats(clean, corners, random):
    return np.full((8, 8, 3), np.nan)

def small(clean, corners, random):
    return np.zeros((4, 8, 3), np.uint8)

def nothing(clean, corners, random):
    return None

def fails(clean, corners, random):
    return clean[corners]["no"]
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "my_do.py").write_text(OWN)
    return str(tmp_path / "my_do.py")


def test_an_own_function_stands_in_each_block(own: str) -> None:
    scene = scene_of(Degradation("SR", 1))
    flipped = paste(scene, choose(f"{own}:flip", scene).intervention(every_block(scene)))
    for row, column, height in ((0, 0, 8), (8, 16, 8), (32, 40, 4)):
        part = slice(row, row + height), slice(column, column + 8)
        np.testing.assert_array_equal(flipped[part], scene.degraded[part][::-1])


def test_an_own_function_gets_random_numbers_of_its_draw(own: str) -> None:
    scene = scene_of(Degradation("SR", 1))
    intervention, batch = choose(f"{own}:scatter", scene).intervention, every_block(scene, draws=3)
    pixels = intervention(batch).pixels
    part = Interventions(*(getattr(batch, name)[4:6] for name in batch.__dataclass_fields__))
    np.testing.assert_array_equal(intervention(part).pixels, pixels[4:6])
    assert not np.array_equal(pixels[4], pixels[5])


def test_a_deterministic_function_that_changes_nothing_has_no_effect(own: str, settings: dict[str, Any]) -> None:
    how = Settings(bank=BANK, device="cpu", intervention=f"{own}:same", tol=0)
    found = explain(load_network("Tiny", "DN"), photograph(36, 40), ROI_OF_TESTS, Degradation("DN"), how)
    assert list(found.measurements.rounds) == ["single"] and not found.effects.any()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("floats", r"my_do.py:floats returned float64 \(8, 8, 3\); write a block of uint8 \(8, 8, 3\)"),
        ("small", r"my_do.py:small returned uint8 \(4, 8, 3\)"),
        ("nothing", "my_do.py:nothing returned NoneType, not a NumPy array"),
        ("fails", r"my_do.py, line \d+: IndexError"),
        ("missing", "has no class or function missing; it has flip"),
    ],
)
def test_own_functions_that_go_wrong_are_named_before_anything_is_written(
    tmp_path: Path, settings: dict[str, Any], own: str, name: str, complaint: str
) -> None:
    with pytest.raises(InputError, match=f"intervention: .*{complaint}"):
        prepare(make_config(tmp_path, settings, intervention=f"{own}:{name}"))
    assert not (tmp_path / "out").exists()


def test_another_text_of_an_own_function_is_refused(tmp_path: Path, settings: dict[str, Any], own: str) -> None:
    config = make_config(tmp_path, settings, intervention=f"{own}:flip")
    compute_effects(prepare(config))
    manifest = read_manifest(result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS))
    assert manifest is not None and manifest.provenance["intervention"] == "function flip"
    Path(own).write_text(f"{OWN}\n# another text\n")
    with pytest.raises(InputError, match="my_do.py was"):
        compute_effects(prepare(make_config(tmp_path, settings, intervention=f"{own}:flip", load_previous=1)))


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("blurr", "'blurr' is not a kind of intervention; did you mean blur?"),
        ({"kind": "blur", "sigm": 2}, "blur has no 'sigm'; did you mean sigma?"),
        ({"kind": "blur", "sigma": -1}, "sigma: -1 is not a strength of blur"),
        ({"kind": "blur", "sigma": "wide"}, "sigma: 'wide' is not a number"),
        ({"kind": "constant", "color": "red"}, "color: 'red' is not one of zero, image, block"),
        ("images", "images needs a folder"),
        ({"sigma": 3}, "None is not a kind of intervention"),
        ("my_do.py", "does not name a class or function"),
        (3, "intervention"),
    ],
    ids=str,
)
def test_mistaken_kinds_are_named(tmp_path: Path, settings: dict[str, Any], given: Any, complaint: str) -> None:
    with pytest.raises(InputError, match="intervention.*") as found:
        make_config(tmp_path, settings, intervention=given)
    assert complaint in str(found.value)
    with pytest.raises(InputError, match="intervention"):
        Settings(intervention=given)


def test_clean_is_refused_where_the_input_is_not_a_degraded_image_of_the_same_size(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="clean needs a degraded input"):
        make_config(tmp_path, settings, task="SR", sr=2, intervention="clean")
    with pytest.raises(InputError, match="clean needs a degraded input"):
        choose("clean", scene_of(Degradation("SR", 2)))


def test_adaptive_draws_need_patches(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="sampling: adaptive draws spread over patches, which noise has none of"):
        prepare(make_config(tmp_path, settings, sampling="adaptive", intervention="noise"))
    for fitting in ("shuffle", "clean"):
        config = make_config(tmp_path, settings, sampling="adaptive", intervention=fitting)
        compute_effects(prepare(config))
        assert stored_results(config).rounds


def test_no_edit_has_no_size_and_a_patch_on_a_flat_image_is_all_seam() -> None:
    image = np.full((32, 40, 3), 100, np.uint8)
    corners = np.array([[8, 16], [24, 32], [0, 0]])
    same = naturalness(image, Pasted(corners, np.full((3, 8, 8, 3), 100, np.uint8)))
    assert same.error == 0 and same.seam == np.inf
    flat = naturalness(image, Pasted(corners, np.full((3, 8, 8, 3), 130, np.uint8)))
    assert flat.error == 30 and flat.seam == np.inf
    ramp = np.arange(8, dtype=np.uint8)[None, :, None].repeat(8, 0).repeat(3, 2) * 2 + 100
    sloped = naturalness(image, Pasted(corners[:1], ramp[None]))
    # Steps across the border: 0 on the left, 14 on the right, 7 on average above and below; inside 2 and 0.
    assert sloped.seam == pytest.approx((0 + 14 + 7 + 7) / 4 / 1)


def test_what_overhangs_the_image_is_no_edit() -> None:
    image = photograph(20, 20)
    far = naturalness(
        image,
        choose("blur", scene_of(Degradation("SR", 1), image)).intervention(
            every_block(scene_of(Degradation("SR", 1), image))
        ),
    )
    assert 0 < far.error < 60 and np.isfinite(far.seam)
    kept = {"kind": "blur", "sigma": 0}
    scene = scene_of(Degradation("SR", 1), image)
    untouched = naturalness(image, choose(kept, scene).intervention(every_block(scene)))
    assert untouched.error == 0 and untouched.seam == pytest.approx(1, abs=0.15)


def test_all_kinds_are_compared(tmp_path: Path, settings: dict[str, Any]) -> None:
    found = {name: (far, effect) for name, far, effect in compare_kinds(make_config(tmp_path, settings), blocks=8)}
    assert len(found) == 9 and all(np.isfinite(effect) for _, effect in found.values())
    assert found["blur, sigma 1 pixels"][0].error < found["natural"][0].error
    assert found["clean"][0].error == pytest.approx(44, abs=12)  # noise of sigma 50, clipped
    assert len(list(compare_kinds(make_config(tmp_path, settings, task="SR", sr=1), blocks=4))) == 8
