"""The HTML report: complete, self-contained, escaped, and alive in a real browser."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.images import png_bytes, read_image
from CEM_Demo.method import metric
from CEM_Demo.method.effect_map import EffectMap, make_effect_map
from CEM_Demo.method.measurements import Draws
from CEM_Demo.method.metric import psnr
from CEM_Demo.report.colours import COLOUR_BOUND, map_colours
from CEM_Demo.report.figures import colour_bar, overlay, pie
from CEM_Demo.report.panels import make_map, read_panels
from CEM_Demo.report.report import Panel, Section, make_report, render
from CEM_Demo.results.paths import result_paths
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from conftest import ROI_OF_TESTS, Tiny, make_config, photograph, run_main

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


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
    photographs = [link for link in links.found if not link.startswith("#")]
    assert len(photographs) == 3  # ground truth, input, restored: each once, however often it is shown
    assert all(link.startswith("data:image/webp;base64,") for link in photographs)
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
    picture = png_bytes(photograph(8, 8))
    roi = np.zeros((4, 5), dtype=bool)
    shown = make_map(30.0, {"coarse": Draws.of_published(np.full((4, 5, 2), 29.0))}, 0.01, roi)
    panel = Panel(evil, picture, picture, picture, picture, 30.0, shown, None, None, None)
    text = render(make_config(tmp_path, settings), [Section(evil, ROI_OF_TESTS, picture, picture, 32, 40, [panel])])
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert not re.search(r'alt="[^"]*"\'', text)


@pytest.fixture
def compared(tmp_path: Path, settings: dict[str, Any]) -> Config:
    """Results of two networks, which the report shows side by side."""
    torch.manual_seed(1)
    torch.save(Tiny().state_dict(), tmp_path / "other.pth")
    other = {"weights": str(tmp_path / "other.pth"), "model": "Tiny", "name": "Other"}
    config = make_config(tmp_path, settings, Modellist=["Tiny", other])
    compute_effects(prepare(config))
    return config


def test_report_and_summary_say_which_blocks_one_model_uses_alone(
    compared: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("demo_CEM_generation.py", "--config", str(tmp_path / "config.yml"), "--summary") == 0
    (panels,) = read_panels(compared, ["photo_1.png"], ["Tiny", "Other"])
    found = panels[0].map.certainty.compare(panels[1].map.certainty)
    sentence = f"Tiny alone uses {found.first_alone.sum()} blocks, Other alone {found.second_alone.sum()}; in "
    assert sentence in (tmp_path / "out" / "DN_TEST_Result.html").read_text()
    assert f"photo_1.png: {sentence}" in capsys.readouterr().out


@contextmanager
def opened(path: Path, **options: Any) -> Iterator[Any]:
    """The report in a browser; whatever it complains of, or tries to load, fails the test."""
    playwright = pytest.importorskip("playwright.sync_api")
    complaints: list[str] = []
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(**{"viewport": {"width": 1200, "height": 900}, **options})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
        page.goto(path.as_uri())
        yield page
        browser.close()
    assert complaints == []


def fills(page: Any) -> list[list[str]]:
    """The colors of the blocks of every map."""
    script = "[...document.querySelectorAll('.map')].map(m => [...m.querySelectorAll('.blocks rect')].map(r => "
    return page.evaluate(script + "r.getAttribute('fill')))")


@needs_chromium
def test_pointing_at_a_block_shows_its_effect(finished: Config) -> None:
    with opened(make_report(finished)) as page:
        assert fills(page)[0]
        box = page.locator(".map").bounding_box()
        assert box is not None
        # 40 x 32 pixels in blocks of 8: the middle of block row 1, column 3.
        page.mouse.move(box["x"] + box["width"] * 28 / 40, box["y"] + box["height"] * 12 / 32)
        tip = page.locator("#tip").inner_text()
        assert re.fullmatch(r"row 1, column 3: [+-]?\d+\.\d{3} dB, [23] interventions", tip)
        page.mouse.move(box["x"] + box["width"] * 12 / 40, box["y"] + box["height"] * 12 / 32)
        assert "(ROI)" in page.locator("#tip").inner_text()
        page.mouse.move(5, 5)
        assert not page.locator("#tip").is_visible()


@needs_chromium
def test_maps_are_drawn_in_the_published_colours(compared: Config) -> None:
    with opened(make_report(compared)) as page:
        for drawn, model in zip(fills(page), compared.models, strict=True):
            (panel,) = read_panels(compared, ["photo_1.png"], [model])[0]
            values = panel.map.values[panel.map.values != 0]
            expected = map_colours(values.round(4), COLOUR_BOUND["DN"])
            shown = [tuple(bytes.fromhex(fill[1:])) for fill in drawn]
            assert shown == [tuple(colour) for colour in expected.tolist()]


@needs_chromium
def test_a_block_is_read_in_all_models_by_mouse_and_keys(compared: Config) -> None:
    with opened(make_report(compared)) as page:
        first, second = page.locator(".map").all()
        readouts = page.locator(".readout")
        first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        texts = readouts.all_inner_texts()
        assert all(text.startswith("row 1, column 1: ") and text.endswith("draws, ROI") for text in texts)
        page.keyboard.press("Escape")
        assert readouts.all_inner_texts() == ["no block chosen"] * 2
        box = second.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + box["width"] * 12 / 40, box["y"] + box["height"] * 4 / 32)
        page.mouse.move(5, 5)
        texts = readouts.all_inner_texts()
        assert all(text.startswith("row 0, column 1: ") for text in texts)
        assert len(set(texts)) == 2


@needs_chromium
def test_the_controls_change_all_maps(compared: Config) -> None:
    with opened(make_report(compared)) as page:
        before = fills(page)
        page.locator("#bound").fill("0.01")
        assert page.locator("#bound-value").inner_text() == "\N{PLUS-MINUS SIGN}0.01 dB"
        assert {fill for drawn in fills(page) for fill in drawn} <= {"#7f0000", "#00004c"}
        page.get_by_role("button", name="published").click()
        assert fills(page) == before
        page.select_option("#classes", "certified")
        certain = [int(row.split(", ")[0]) + int(row.split(", ")[1]) for row in certified_of(page)]
        assert [len(drawn) for drawn in fills(page)] == certain
        page.select_option("#under", "restored")
        assert [use.get_attribute("href") for use in page.locator(".under").all()] == [
            "#photo-1-restored-1",
            "#photo-1-restored-2",
        ]
        whole = page.locator(".map").first.get_attribute("viewBox")
        page.select_option("#window", "zoom")
        boxes = {shown.get_attribute("viewBox") for shown in page.locator(".map").all()}
        assert whole == "0 0 40 32" and len(boxes) == 1


@needs_chromium
def test_the_strongest_blocks_are_sorted_and_chosen(compared: Config) -> None:
    with opened(make_report(compared)) as page:
        table = page.locator(".strongest").nth(1)
        table.locator("summary").click()
        effects = [abs(float(text)) for text in table.locator("tbody td:nth-child(3)").all_inner_texts()]
        assert effects == sorted(effects, reverse=True) and len(effects) > 1
        table.get_by_role("button", name="column").first.click()
        columns = [int(text) for text in table.locator("tbody td:nth-child(2)").all_inner_texts()]
        assert columns == sorted(columns)
        table.locator("tbody button").first.click()
        row = table.locator("tbody button").first.inner_text()
        chosen = f"row {row}, column {columns[0]}: "
        assert all(text.startswith(chosen) for text in page.locator(".readout").all_inner_texts())


@needs_chromium
def test_a_map_and_its_numbers_can_be_taken_from_the_page(compared: Config, tmp_path: Path) -> None:
    with opened(make_report(compared)) as page:
        for number, suffix in enumerate(("svg", "csv")):
            with page.expect_download() as download:
                page.locator(".downloads").nth(1).locator("button").nth(number).click()
            assert download.value.suggested_filename == f"causal effect map of Other on photo_1.png.{suffix}"
            download.value.save_as(tmp_path / f"map.{suffix}")
        drawn = fills(page)[1]
    ((panel,),) = read_panels(compared, ["photo_1.png"], ["Other"])
    (header, *lines) = (tmp_path / "map.csv").read_text().splitlines()
    assert header == "row,column,effect,interventions,low,high,class"
    effects = np.array([float(line.split(",")[2]) for line in lines]).reshape(4, 5)
    np.testing.assert_allclose(effects, panel.map.effect_map.effects, atol=5e-5)
    svg = ElementTree.parse(tmp_path / "map.svg").getroot()
    space = "{http://www.w3.org/2000/svg}"
    assert [rect.get("fill") for rect in svg.findall(f"{space}g/{space}rect")] == drawn
    assert len(list(svg.iter(f"{space}image"))) == 2


def certified_of(page: Any) -> list[str]:
    return [row.inner_text().split("\t")[1] for row in page.locator("tr", has_text="Certified").all()]


@needs_chromium
def test_models_stand_side_by_side_and_stack_on_a_phone(compared: Config, tmp_path: Path) -> None:
    path = make_report(compared)
    for width, side_by_side in ((1200, True), (390, False)):
        with opened(path, viewport={"width": width, "height": 800}, color_scheme="dark") as page:
            first, second = (shown.bounding_box() for shown in page.locator(".map").all())
            assert (first["y"] == second["y"]) == side_by_side
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
            page.pdf(path=tmp_path / "printed.pdf")
    assert (tmp_path / "printed.pdf").read_bytes().startswith(b"%PDF")


def test_stored_pictures_show_the_scene(finished: Config) -> None:
    paths = result_paths(finished, "Tiny", "photo_1.png", ROI_OF_TESTS)
    np.testing.assert_array_equal(read_image(paths.ground_truth), photograph(32, 40))
    boxed, plain = read_image(paths.restored_with_roi), read_image(paths.restored)
    assert (boxed[8, 8] == (0, 255, 0)).all()
    np.testing.assert_array_equal(boxed[12:20, 12:20], plain[12:20, 12:20])
