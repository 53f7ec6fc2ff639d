"""What people marked beside a map: coverage, agreement, chance, annotators, files, the page and the command."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from browsing import launched, open_page
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import Grid
from CEM_Demo.people.annotators import find_outliers, krippendorff_alpha
from CEM_Demo.people.assessment import Marked, assess, bootstrap
from CEM_Demo.people.command import compare_with_people
from CEM_Demo.people.coverage import cover
from CEM_Demo.people.masks import read_sheets
from CEM_Demo.people.page import write_page
from CEM_Demo.people.relevance import partial_correlation, ring_p_value, score, shift_p_value
from CEM_Demo.results.paths import result_paths, table_path
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from conftest import ROI_OF_TESTS, make_config

GRID = Grid(32, 40, 8, 1)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=float)


def test_coverage_is_exact() -> None:
    expected = np.zeros(GRID.shape)
    expected[1, 2], expected[1, 3] = 1, 0.5
    np.testing.assert_allclose(cover([box(16, 8, 28, 16)], GRID), expected, atol=1e-12)
    # Overlapping polygons cover a place once; one that crosses itself covers both of its lobes.
    np.testing.assert_allclose(cover([box(16, 8, 28, 16), box(16, 8, 24, 16)], GRID), expected, atol=1e-12)
    bow_tie = np.array([(0, 0), (8, 8), (8, 0), (0, 8)], dtype=float)
    assert cover([bow_tie], GRID)[0, 0] == pytest.approx(0.5)
    assert not cover([], GRID).any()
    partial = Grid(30, 37, 8, 1)
    np.testing.assert_allclose(cover([box(-5, -5, 100, 100)], partial), 1)


def test_a_map_that_is_the_marks_agrees_fully_and_its_opposite_not_at_all() -> None:
    shares = np.random.RandomState(0).permutation(np.linspace(0, 1, 20))
    own = score(shares, shares)
    assert (own.auc, own.spearman, own.rank, own.overlap, own.pointing) == (1, pytest.approx(1), 1, 1, 1)
    assert score(1 - shares, shares).auc == pytest.approx(0)
    other = np.random.RandomState(1).rand(20)
    auc, opposite = score(other, shares).auc, score(other.max() - other, shares).auc
    assert auc is not None and opposite == pytest.approx(1 - auc)


def test_random_maps_agree_as_by_chance() -> None:
    random = np.random.RandomState(0)
    found = [score(random.rand(100), random.rand(100)).auc for _ in range(200)]
    mean, error = np.mean(found), np.std(found) / len(found) ** 0.5
    assert abs(mean - 0.5) < 3 * error


def test_the_area_under_the_curve_is_that_of_the_rank_test() -> None:
    random = np.random.RandomState(3)
    scores, shares = random.randint(0, 4, 60).astype(float), random.rand(60)
    marked = shares >= 0.5
    u = stats.mannwhitneyu(scores[marked], scores[~marked]).statistic
    assert score(scores, shares).auc == pytest.approx(u / (marked.sum() * (~marked).sum()))


def test_equal_scores_share_their_places() -> None:
    flat = score(np.ones(10), np.array([1.0] * 3 + [0.0] * 7))
    assert (flat.auc, flat.rank, flat.pointing, flat.mass) == (0.5, pytest.approx(0.3), 0.3, pytest.approx(0.3))
    assert flat.spearman is None
    nothing = score(np.zeros(10), np.array([1.0] * 3 + [0.0] * 7))
    assert nothing.mass is None and nothing.pointing is None
    assert score(np.ones(10), np.zeros(10)).auc is None


def rings_of(side: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.indices((side, side)) - side // 2
    distances = np.hypot(rows, columns).ravel()
    return distances, np.rint(distances).astype(int)


def test_a_map_of_distance_alone_is_told_from_chance_by_shifts_and_not_by_rings() -> None:
    distances, rings = rings_of(11)
    random = np.random.RandomState(0)
    p = []
    for number in range(200):
        shares = np.exp(-rings / 3) + 0.2 * random.rand(rings.size)
        scores = np.exp(-rings / 2) + 0.2 * random.rand(rings.size)
        p.append(ring_p_value(scores, shares, rings, np.random.default_rng(number), 99))
    # They are uniform where the distance explains all: the smallest that 99 permutations can give is 0.01.
    assert stats.kstest(np.array(p) - 0.005, "uniform").pvalue > 0.01
    grid, kept = (11, 11), np.ones((11, 11), dtype=bool)
    shifted = shift_p_value(scores.reshape(grid), shares.reshape(grid), kept)
    assert shifted is not None and shifted < 0.05


def test_agreement_beyond_distance_is_found() -> None:
    distances, rings = rings_of(11)
    random = np.random.RandomState(1)
    shares = np.exp(-distances / 3) + 0.3 * random.rand(rings.size)
    p = ring_p_value(shares + 0.05 * random.rand(rings.size), shares, rings, np.random.default_rng(0))
    assert p is not None and p <= 0.001
    left = partial_correlation(shares, shares, distances)
    assert left is not None and left == pytest.approx(1)
    assert partial_correlation(distances, shares, distances) is None


def test_annotators_who_mark_everything_or_nothing_are_found_and_few_are_left_out() -> None:
    random = np.random.RandomState(0)
    truth = (random.rand(50) < 0.3).astype(float)
    shares = np.stack([np.abs(truth - (random.rand(50) < 0.05)) for _ in range(10)])
    shares[3], shares[7] = 1, 0
    assert set(np.flatnonzero(find_outliers(shares))) == {3, 7}
    shares[5] = 1
    assert find_outliers(shares).sum() == 2
    assert not find_outliers(np.zeros((2, 50))).any()


def test_alpha_is_one_for_agreement_and_zero_for_chance() -> None:
    random = np.random.RandomState(0)
    same = np.tile(random.rand(40), (5, 1))
    assert krippendorff_alpha(same) == pytest.approx(1)
    chance = [krippendorff_alpha(random.rand(4, 100)) for _ in range(50)]
    assert abs(np.mean(chance)) < 0.01
    # The worked example of two observers and three units: observed 1/3, expected 4.4/6 of squared differences.
    assert krippendorff_alpha(np.array([[1.0, 2, 3], [1, 2, 4]])) == pytest.approx(1 - (1 / 3) / (2 * 1.3666667))
    assert krippendorff_alpha(same[:1]) is None


def marked_like(truth: np.ndarray, annotators: int, seed: int, scores: np.ndarray | None = None) -> Marked:
    random = np.random.RandomState(seed)
    shares = np.clip(truth + 0.1 * random.randn(annotators, *truth.shape), 0, 1)
    roi = np.zeros(truth.shape, dtype=bool)
    roi[3:5, 3:5] = True
    rows, columns = np.indices(truth.shape) - 3.5
    everywhere = np.ones(truth.shape, dtype=bool)
    return Marked(shares, truth if scores is None else scores, np.hypot(rows, columns), everywhere, roi)


def test_a_map_as_good_as_people_reaches_their_ceiling() -> None:
    truth = (np.random.RandomState(0).rand(8, 8) < 0.3).astype(float)
    found = assess(marked_like(truth, 6, 1), 0)
    assert found.annotators == 6 and found.outliers == 0
    assert found.map.auc == 1 and found.people is not None and found.people.auc == pytest.approx(1)
    assert found.relative.auc == pytest.approx(1)
    assert found.distance.auc is not None and found.distance.auc < 0.9
    assert found.p_given_distance == 0.001
    assert found.out_of_reach == 0
    alone = assess(marked_like(truth, 1, 1), 0)
    assert alone.people is None and alone.relative.auc is None and alone.alpha is None


def test_intervals_are_over_images_and_annotators() -> None:
    truths = [(np.random.RandomState(seed).rand(8, 8) < 0.3).astype(float) for seed in range(4)]
    noise = [np.random.RandomState(9 + seed).rand(8, 8) for seed in range(4)]
    images = [
        marked_like(truth, 4, seed, scores) for seed, (truth, scores) in enumerate(zip(truths, noise, strict=True))
    ]
    interval = bootstrap(images, "auc", 0, 0.95)
    assert interval is not None and interval[0] < 0.5 < interval[1]
    assert bootstrap(images, "auc", 0, 0.95) == interval
    assert bootstrap(images[:1], "auc", 0, 0.95) is None


def test_distances_are_those_to_the_nearest_edge_of_the_roi() -> None:
    distances = GRID.distances_to(ROI_OF_TESTS)
    assert not distances[1:3, 1:3].any()
    assert distances[1, 0] == 0.5 and distances[0, 0] == pytest.approx(0.5**0.5) and distances[1, 4] == 1.5


def labelme(shapes: list[tuple[str, np.ndarray]], **more: Any) -> dict[str, Any]:
    drawn = [{"label": label, "points": points.tolist(), "shape_type": "polygon"} for label, points in shapes]
    return {"version": "5.5", "imagePath": "..\\photos\\photo_1.png", "imageData": None, "shapes": drawn, **more}


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_masks_are_read_from_the_page_from_labelme_and_in_the_form_of_coco(tmp_path: Path) -> None:
    square = box(0, 0, 8, 8)
    write(tmp_path / "Ada" / "photo_1.json", labelme([("helps", square)], imageHeight=32, imageWidth=40))
    sheet = labelme([("hurts", square)], roi="16x16+8+8") | {"imagePath": "photo_1.png"}
    write(tmp_path / "Bo.json", {"annotator": "Bo", "sheets": [sheet]})
    coco = {
        "images": [{"id": 1, "file_name": "photo_1.png", "height": 32, "width": 40}],
        "categories": [{"id": 7, "name": "helps"}],
        "annotations": [{"image_id": 1, "category_id": 7, "segmentation": [square.ravel().tolist()], "iscrowd": 0}],
    }
    write(tmp_path / "Cy.json", coco)
    sheets = {sheet.annotator: sheet for sheet in read_sheets(tmp_path)}
    assert sorted(sheets) == ["Ada", "Bo", "Cy"]
    assert all(sheet.image == "photo_1.png" for sheet in sheets.values())
    np.testing.assert_array_equal(sheets["Ada"].polygons["helps"], [square])
    np.testing.assert_array_equal(sheets["Bo"].polygons["hurts"], [square])
    np.testing.assert_array_equal(sheets["Cy"].polygons["helps"], [square])
    assert sheets["Bo"].roi == "16x16+8+8" and sheets["Cy"].size == (32, 40)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("photo_1.json", labelme([]), "does not say who drew it"),
        ("Ada/a.json", labelme([("grass", box(0, 0, 1, 1))]), "name the shapes helps or hurts"),
        ("Ada/a.json", labelme([("helps", box(0, 0, 1, 1)[:2])]), "needs three corners"),
        ("Ada/a.json", [1, 2], "valid dictionary|instance of"),
        (
            "Ada/a.json",
            labelme([], imageHeight=64, imageWidth=64),
            "was 64 x 64 pixels when it was marked, it is 40 x 32",
        ),
        ("Ada/a.json", labelme([]) | {"imagePath": "foto_1.png"}, "not in Imagelist; did you mean photo_1.png"),
        ("notes.txt", {}, "holds no JSON file"),
    ],
)
def test_masks_that_do_not_fit_end_in_one_line(
    tmp_path: Path, settings: dict[str, Any], name: str, content: Any, complaint: str
) -> None:
    write(tmp_path / "masks" / name, content)
    config = make_config(tmp_path, settings, tol=0.0)
    if "imageHeight" in str(content):
        compute_effects(prepare(config))
    with pytest.raises(InputError, match=complaint):
        compare_with_people(config, tmp_path / "masks")


def test_a_folder_of_masks_that_does_not_exist_is_named(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="there is no folder .*nope; --masks names the one"):
        compare_with_people(make_config(tmp_path, settings), tmp_path / "nope")


def test_a_run_is_compared_with_what_people_marked(
    tmp_path: Path, settings: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "CEM_Demo")
    config = make_config(tmp_path, settings, tol=0.0)
    compute_effects(prepare(config))
    for name, left in (("Ada", 0), ("Bo", 4), ("Cy", 2)):
        near = [("helps", box(left, 0, 24, 8)), ("hurts", box(24, 8, 32, 24))]
        write(tmp_path / "masks" / name / "photo_1.json", labelme(near))
    compare_with_people(config, tmp_path / "masks")
    with table_path(config, "People", ".csv").open() as file:
        helps, hurts = csv.DictReader(file)
    assert (helps["map"], helps["marked"], hurts["marked"]) == ("Tiny on photo_1.png", "helps", "hurts")
    assert helps["annotators"] == "3 of 3" and helps["auc"] != "-" and helps["auc, people"] != "-"
    found = json.loads(table_path(config, "People", ".json").read_bytes())
    assert found["maps"]["Tiny on photo_1.png"]["helps"]["map"]["auc"] == pytest.approx(float(helps["auc"]), abs=0.006)
    assert result_paths(config, "Tiny", "photo_1.png", ROI_OF_TESTS).people_figure.read_bytes().startswith(b"\x89PNG")
    assert "an illustration, not a study" in caplog.text


def test_marks_drawn_on_the_page_come_back(tmp_path: Path, settings: dict[str, Any]) -> None:
    page = write_page(make_config(tmp_path, settings))
    with launched() as browser, open_page(browser, page, viewport={"width": 900, "height": 900}) as tab:
        assert tab.locator("#save").is_disabled()
        tab.fill("#annotator", "Zoë")
        stage = tab.locator(".stage")
        area = stage.bounding_box()
        assert area is not None
        scale = area["width"] / 40
        for x, y in ((4, 4), (20, 4), (20, 20), (4, 20), (4, 4)):
            stage.click(position={"x": x * scale, "y": y * scale})
        tab.check("input[value=hurts]")
        stage.focus()
        for keys in (["ArrowLeft"], [" ", "ArrowDown", "ArrowDown"], [" ", "ArrowRight", "ArrowRight"], [" ", "Enter"]):
            for key in keys:
                stage.press(key)
        assert tab.locator(".count").inner_text() == "1 helpful, 1 misleading"
        with tab.expect_download() as download:
            tab.click("#save")
        download.value.save_as(tmp_path / "masks" / download.value.suggested_filename)
    (sheet,) = read_sheets(tmp_path / "masks")
    assert (sheet.annotator, sheet.image, sheet.roi) == ("Zoë", "photo_1.png", str(ROI_OF_TESTS))
    (square,) = sheet.polygons["helps"]
    np.testing.assert_allclose(square, box(4, 4, 20, 20), atol=0.2)
    assert len(sheet.polygons["hurts"][0]) == 3
