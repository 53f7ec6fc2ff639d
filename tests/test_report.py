"""The HTML report: complete, self-contained, escaped; one page, or an index of pages."""

from __future__ import annotations

import html
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.images import read_image
from CEM_Demo.method import metric
from CEM_Demo.method.effect_map import EffectMap, make_effect_map
from CEM_Demo.method.measurements import Draws
from CEM_Demo.method.metric import psnr
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.method.plan import make_plans
from CEM_Demo.method.stratified_draws import color_order, make_sequence
from CEM_Demo.report import report
from CEM_Demo.report.figures import colour_bar, overlay, pie
from CEM_Demo.report.page import render_sections
from CEM_Demo.report.panels import Panel, make_map
from CEM_Demo.report.report import make_report
from CEM_Demo.report.sections import Column, Section, ShownMap, make_section, pairs_of
from CEM_Demo.report.thumbnails import find_bank
from CEM_Demo.results.paths import report_folder, report_path, result_paths
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from conftest import ROI_OF_TESTS, make_config, photograph
from killing import assert_whole, killed_at, results


@pytest.fixture
def finished(tmp_path: Path, settings: dict[str, Any]) -> Config:
    config = make_config(tmp_path, settings)
    compute_effects(prepare(config))
    return config


class Links(HTMLParser):
    """What a page would load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def test_report_is_one_file_that_holds_everything(finished: Config, tmp_path: Path) -> None:
    path = make_report(finished)
    assert path == tmp_path / "out" / "DN_TEST_Result.html"
    text = path.read_text()
    links = Links()
    links.feed(text)
    pictures = [link for link in links.found if not link.startswith("#")]
    # Ground truth, input, restored (faint behind a map), its ROI without loss, patches: each once.
    assert len(pictures) == 5 and len(set(pictures)) == 5
    assert all(link.startswith("data:image/webp;base64,") for link in pictures)
    paths = result_paths(finished, "Tiny", "photo_1.png", ROI_OF_TESTS)
    for picture in (paths.overlay, paths.colour_bar, paths.pie):
        with Image.open(picture) as image:
            image.verify()
    for expected in ("PSNR of the ROI", "Effect range", "of which ROI", "checkpoint_sha256", "torch", "seed: 0"):
        assert expected in text


def test_report_reads_a_published_cache_and_says_that_it_is_unverified(finished: Config) -> None:
    verified = make_report(finished).read_text()
    paths = result_paths(finished, "Tiny", "photo_1.png", ROI_OF_TESTS)
    paths.manifest.unlink()
    paths.ground_truth.unlink()
    paths.degraded.unlink()
    text = make_report(finished).read_text()
    assert "Unverified" in text
    assert "Unverified" not in verified


def test_unfinished_results_make_no_report(finished: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = itertools.count()

    def interrupted(*arguments: Any) -> Any:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return psnr(*arguments)

    monkeypatch.setattr(metric, "psnr", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compute_effects(prepare(finished.model_copy(update={"batch_size": 16})))
    with pytest.raises(InputError, match="not finished.*load_previous: 1"):
        make_report(finished)


def a_map() -> EffectMap:
    origin, roi = 30.0, np.zeros((4, 5), dtype=bool)
    roi[1:3, 1:3] = True
    coarse = np.full((4, 5, 2), 30.0)
    coarse[0, 0], coarse[3, 4], coarse[1, 1] = 29.0, 30.5, 20.0
    return make_effect_map(origin, {"coarse": Draws.of_published(coarse)}, 0.01, roi)


def test_map_counts_ranges_and_thresholds() -> None:
    effect_map = a_map()
    assert vars(effect_map.counts) == {"negative": 1, "positive": 5, "zero": 14, "roi": 4}
    assert (effect_map.highest.row, effect_map.highest.column) == (0, 0)
    assert effect_map.effect_range == pytest.approx(1.5)
    assert not make_effect_map(
        30.0, [Draws.of_published(np.full((2, 2, 3), 29.995))], 0.01, np.zeros((2, 2), bool)
    ).effects.any()


def test_a_map_without_effects_is_drawn() -> None:
    nothing = make_effect_map(
        30.0, {"coarse": Draws.of_published(np.full((2, 2, 3), 30.0))}, 0.01, np.ones((2, 2), bool)
    )
    assert colour_bar(nothing, 1.0)
    assert pie(nothing)


def test_overlay_fits_images_that_blocks_do_not_divide() -> None:
    drawn = overlay(a_map(), photograph(29, 37), ROI.square(8, 8, 16), 8, (29, 37), 1.0)
    assert drawn.shape == (29, 37, 3)
    assert drawn[28, 36, 2] > drawn[28, 36, 0]  # the blue block is cut at the corner
    assert drawn[0, 0, 0] > drawn[0, 0, 2]


def test_names_are_escaped(tmp_path: Path, settings: dict[str, Any]) -> None:
    evil = "<script>alert(1)</script>\"'&"
    roi, picture = np.zeros((4, 5), dtype=bool), photograph(32, 40)
    shown = make_map(30.0, {"coarse": Draws.of_published(np.full((4, 5, 2), 29.0))}, 0.01, roi)
    panel = Panel(evil, evil, "DN", ROI_OF_TESTS, 8, 30.0, picture, picture, picture, shown)
    column = Column(panel, (ShownMap("psnr", "dB", 30.0, shown, None),), None, None, None, None, None, "")
    section = Section(evil, ROI_OF_TESTS, [column], [])
    text = render_sections(make_config(tmp_path, settings), [section], "no patches")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert not re.search(r'alt="[^"]*"\'', text)


def test_stored_pictures_show_the_scene(finished: Config) -> None:
    paths = result_paths(finished, "Tiny", "photo_1.png", ROI_OF_TESTS)
    np.testing.assert_array_equal(read_image(paths.ground_truth), photograph(32, 40))
    boxed, plain = read_image(paths.restored_with_roi), read_image(paths.restored)
    assert (boxed[8, 8] == (0, 255, 0)).all()
    np.testing.assert_array_equal(boxed[12:20, 12:20], plain[12:20, 12:20])


def section_of(config: Config) -> Section:
    return make_section(config, "photo_1.png", ROI_OF_TESTS, find_bank(config))


@pytest.mark.parametrize("sampling", ["published", "adaptive"])
def test_the_patches_of_the_draws_are_found_again(tmp_path: Path, settings: dict[str, Any], sampling: str) -> None:
    config = make_config(tmp_path, settings, sampling=sampling)
    compute_effects(prepare(config))
    (column,) = section_of(config).columns
    bank, (shown,) = load_bank(Path(config.patch_path)), column.maps
    if sampling == "published":
        source = make_plans(0, "photo_1.png", (4, 5), 2, 3, len(bank))["fine"].source
    else:
        source = make_sequence(0, "photo_1.png", color_order(bank.mean_colors))
    assert column.note == "" and shown.patches is not None and shown.map.tried.any()
    for row, column_of_block in np.ndindex(4, 5):
        draws = shown.map.draws[row, column_of_block][shown.map.tried[row, column_of_block]]
        expected = [-1, -1]
        if len(draws):
            block = np.full(2, 5 * row + column_of_block)
            expected = source(block, np.array([draws.argmin(), draws.argmax()]))[0].tolist()
        assert shown.patches[:, row, column_of_block].tolist() == expected


@pytest.mark.parametrize(
    ("intervention", "bank", "reason"),
    [
        ("noise", "bank.npz", "noise pastes no natural patches"),
        ("natural", "none.npz", "they cannot be read"),
        ("natural", "other.npz", "the bank is not the one"),
    ],
)
def test_a_page_without_patches_says_why(
    tmp_path: Path, settings: dict[str, Any], intervention: str, bank: str, reason: str
) -> None:
    config = make_config(tmp_path, settings, intervention=intervention)
    compute_effects(prepare(config))
    np.savez(tmp_path / "other.npz", patches=np.zeros((50, 8, 8, 3), np.uint8))
    text = make_report(config.model_copy(update={"patch_path": str(tmp_path / bank)})).read_text()
    assert reason in html.unescape(text)
    assert 'id="patches"' not in text


def test_of_many_models_the_first_is_compared_with_each_other_one() -> None:
    assert [len(pairs_of(models)) for models in (1, 2, 6)] == [0, 1, 15]
    assert pairs_of(7) == [(0, other) for other in range(1, 7)]


@pytest.fixture
def large(finished: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Results whose report is a folder of pages; the pictures of the maps are there already."""
    make_report(finished)
    monkeypatch.setattr(report, "MOST_BYTES", 0)
    monkeypatch.setattr(report, "_write_pictures", lambda *_: None)
    return finished


def test_a_large_report_is_an_index_with_a_page_for_each_image(large: Config) -> None:
    folder = report_folder(large)
    folder.mkdir()
    (folder / "of_the_user.txt").write_text("mine")
    index = make_report(large)
    links = Links()
    links.feed(index.read_text())
    assert [link for link in links.found if not link.startswith("data:")] == ["DN_TEST_Result/photo_1.png.html"]
    assert {path.name for path in folder.iterdir()} == {"photo_1.png.html", "of_the_user.txt"}
    assert (folder / "of_the_user.txt").read_text() == "mine"
    page = (folder / "photo_1.png.html").read_text()
    assert 'href="../DN_TEST_Result.html"' in page and "PSNR of the ROI" in page
    for expected in ("of them mislead it", 'id="case-1"'):  # the latter is where the page of a study leads
        assert expected in index.read_text()


def test_a_large_report_that_is_killed_leaves_whole_pages(large: Config, tmp_path: Path) -> None:
    expected = results(make_report(large).parent)
    written = [report_path(large), report_folder(large) / "photo_1.png.html"]
    number = 0
    while True:
        for path in written:
            path.unlink(missing_ok=True)
        number += 1
        if not killed_at(number, lambda: make_report(large)):
            break
        assert_whole(tmp_path / "out")
        assert not report_path(large).exists() or written[1].exists()
    assert results(tmp_path / "out") == expected
    assert number > 10


def test_a_report_of_fifty_photographs_and_six_models_is_one_page(tmp_path: Path, settings: dict[str, Any]) -> None:
    Image.fromarray(photograph(256, 256)).save(tmp_path / "images" / "photo_1.png")
    config = make_config(tmp_path, settings)
    alone = report.predicted_bytes(config)
    fifty = config.model_copy(update={"Imagelist": ["photo_1.png"] * 50, "Modellist": list("ABCDEF")})
    assert 50 * alone <= report.predicted_bytes(fifty) <= report.MOST_BYTES
    assert report.predicted_bytes(fifty.model_copy(update={"Imagelist": ["photo_1.png"] * 200})) > report.MOST_BYTES
