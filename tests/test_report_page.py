"""The report's page in a real browser: mouse, keys, switches, downloads, print, and what axe-core says of it."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from browsing import needs_chromium, open_page
from CEM_Demo.config.schema import Config
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.report import report
from CEM_Demo.report.colours import COLOUR_BOUND, map_colours
from CEM_Demo.report.differences import paired_difference
from CEM_Demo.report.panels import Panel, read_panels
from CEM_Demo.report.report import make_report
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from conftest import Tiny, make_config, make_settings, register_tiny

MODELS = ["Tiny", "Other"]

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """Results of two networks, by three metrics and with Local Attribution Maps."""
    folder = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as monkeypatch:
        settings = make_settings(folder, register_tiny(folder, monkeypatch))
        torch.manual_seed(1)
        torch.save(Tiny().state_dict(), folder / "other.pth")
        other = {"weights": str(folder / "other.pth"), "model": "Tiny", "name": "Other"}
        maps = {"metrics": ["psnr", "ssim", "mae"], "maps": ["CEM", "LAM"]}
        config = make_config(folder, settings, Modellist=["Tiny", other], **maps)
        compute_effects(prepare(config))
        yield config


@pytest.fixture(scope="module")
def path(compared: Config) -> Path:
    """The report of these results."""
    return make_report(compared)


@pytest.fixture(scope="module")
def panels(compared: Config) -> list[Panel]:
    return read_panels(compared, ["photo_1.png"], MODELS)[0]


def test_the_page_says_which_blocks_one_model_uses_alone(path: Path, panels: list[Panel]) -> None:
    found = panels[0].map.certainty.compare(panels[1].map.certainty)
    sentence = f"Tiny alone uses {found.first_alone.sum()} blocks, Other alone {found.second_alone.sum()}; in "
    assert sentence in path.read_text()


@pytest.fixture
def opened(browser: Any, path: Path) -> Any:
    return partial(open_page, browser, path)


def fills(page: Any) -> list[list[str]]:
    """The colors of the blocks of every map."""
    script = "[...document.querySelectorAll('.map')].map(m => [...m.querySelectorAll('.blocks rect')].map(r => "
    return page.evaluate(script + "r.getAttribute('fill')))")


def test_pointing_at_a_block_shows_its_effect(opened: Any) -> None:
    with opened() as page:
        assert fills(page)[0]
        box = page.locator(".map").first.bounding_box()
        assert box is not None
        # 40 x 32 pixels in blocks of 8: the middle of block row 1, column 3.
        page.mouse.move(box["x"] + box["width"] * 28 / 40, box["y"] + box["height"] * 12 / 32)
        tip = page.locator("#tip").inner_text()
        assert re.fullmatch(r"row 1, column 3: [+-]?\d+\.\d{3} dB, [23] interventions", tip)
        page.mouse.move(box["x"] + box["width"] * 12 / 40, box["y"] + box["height"] * 12 / 32)
        assert "(ROI)" in page.locator("#tip").inner_text()
        page.mouse.move(5, 5)
        assert not page.locator("#tip").is_visible()


def test_maps_are_drawn_in_the_published_colours(opened: Any, panels: list[Panel]) -> None:
    with opened() as page:
        for drawn, panel in zip(fills(page), panels, strict=True):
            values = panel.map.values[panel.map.values != 0]
            expected = map_colours(values.round(4), COLOUR_BOUND["DN"])
            shown = [tuple(bytes.fromhex(fill[1:])) for fill in drawn]
            assert shown == [tuple(colour) for colour in expected.tolist()]


def test_a_block_is_read_in_all_models_by_mouse_and_keys(opened: Any) -> None:
    with opened() as page:
        first, second = page.locator(".map").all()
        readouts = page.locator(".model .readout")
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


def test_the_controls_change_all_maps(opened: Any) -> None:
    with opened() as page:
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
        assert [use.get_attribute("href") for use in page.locator(".map .under").all()] == [
            "#photo-1-restored-1",
            "#photo-1-restored-2",
        ]
        whole = page.locator(".map").first.get_attribute("viewBox")
        page.select_option("#window", "zoom")
        boxes = {shown.get_attribute("viewBox") for shown in page.locator(".map").all()}
        assert whole == "0 0 40 32" and len(boxes) == 1


def test_the_strongest_blocks_are_sorted_and_chosen(opened: Any) -> None:
    with opened() as page:
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
        assert all(text.startswith(chosen) for text in page.locator(".model .readout").all_inner_texts())


def test_a_map_and_its_numbers_can_be_taken_from_the_page(opened: Any, panels: list[Panel], tmp_path: Path) -> None:
    with opened() as page:
        for number, suffix in enumerate(("svg", "csv")):
            with page.expect_download() as download:
                page.locator(".downloads").nth(1).locator("button").nth(number).click()
            assert download.value.suggested_filename == f"causal effect map of Other on photo_1.png.{suffix}"
            download.value.save_as(tmp_path / f"map.{suffix}")
        drawn = fills(page)[1]
    panel = panels[1]
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


def test_models_stand_side_by_side_and_stack_on_a_phone(opened: Any, tmp_path: Path) -> None:
    for width, side_by_side in ((1200, True), (390, False)):
        with opened(viewport={"width": width, "height": 800}, color_scheme="dark") as page:
            first, second = (shown.bounding_box() for shown in page.locator(".map").all())
            assert (first["y"] == second["y"]) == side_by_side
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
            page.pdf(path=tmp_path / "printed.pdf")
    assert (tmp_path / "printed.pdf").read_bytes().startswith(b"%PDF")


def choose(page: Any, row: int, column: int) -> None:
    """Point at a block of the first map, whose image is 40 x 32 pixels, and keep it."""
    page.locator(".map").first.scroll_into_view_if_needed()
    box = page.locator(".map").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] * (8 * column + 4) / 40, box["y"] + box["height"] * (8 * row + 4) / 32)


def test_a_block_shows_its_draws_and_the_patches_that_were_best_and_worst(
    opened: Any, compared: Config, panels: list[Panel]
) -> None:
    row, column = panels[0].map.strongest(1)[0]
    run = prepare(compared)
    drawn = run.posed_images[0].sampling.plans["fine"].at(np.full(3, 5 * row + column), np.arange(3)).patches
    with opened() as page:
        choose(page, row, column)
        sheet = page.locator("#patches")
        picture = np.asarray(Image.open(io.BytesIO(b64decode(sheet.get_attribute("href").partition(",")[2]))))
        for panel, box in zip(panels, page.locator(".draws").all(), strict=True):
            draws = panel.map.draws[row, column]
            label = box.locator(".strip").get_attribute("aria-label")
            assert label == f"3 draws from {draws.min():+.2f} dB to {draws.max():+.2f} dB"
            assert box.locator(".strip circle").count() == 3
            assert f"{panel.map.certainty.estimates.agreement[row, column]:.0%}".replace("%", " %") in box.inner_text()
            for patch, draw in zip(box.locator(".patch").all(), (draws.argmin(), draws.argmax()), strict=True):
                left, top, side, _ = map(int, patch.get_attribute("viewBox").split())
                expected = run.bank.patches[drawn[draw]]
                np.testing.assert_array_equal(picture[top : top + side, left : left + side], expected)
            words = [figure.inner_text() for figure in box.locator("figcaption").all()]
            assert words == [f"best patch: {-draws.min():+.2f} dB", f"worst patch: {-draws.max():+.2f} dB"]
        page.keyboard.press("Escape")
        assert page.locator(".strip").count() == 0


def test_two_models_are_subtracted(opened: Any, panels: list[Panel]) -> None:
    difference = paired_difference(*panels)
    place = np.unravel_index(np.abs(difference.values).argmax(), difference.values.shape)
    with opened() as page:
        article = page.locator("article.difference")
        blocks = article.locator(".blocks rect")
        shown = difference.values[difference.values != 0]
        expected = map_colours(shown.round(4), COLOUR_BOUND["DN"])
        colours = [tuple(bytes.fromhex(block.get_attribute("fill")[1:])) for block in blocks.all()]
        assert colours == [tuple(colour) for colour in expected.tolist()]
        hatched = difference.undecided & (difference.values != 0)
        assert article.locator(".hatch").count() == hatched.sum()
        choose(page, *place)
        text = f"row {place[0]}, column {place[1]}: {difference.values[place]:+.2f} dB"
        assert article.locator(".readout").inner_text().startswith(text)
        page.select_option("#first", label="Other")
        page.select_option("#second", label="Tiny")
        text = f"row {place[0]}, column {place[1]}: {-difference.values[place]:+.2f} dB"
        assert article.locator(".readout").inner_text().startswith(text)
        assert "Other minus Tiny" in article.locator(".count").inner_text()
        page.select_option("#first", label="not shown")
        assert not article.is_visible()


def test_the_reach_is_outlined_in_all_maps_at_once(opened: Any, panels: list[Panel]) -> None:
    reached = np.pad(panels[0].map.reach, 1)
    edges = int(sum((np.diff(reached.astype(int), axis=axis) != 0).sum() for axis in (0, 1)))
    with opened() as page:
        outlines = page.locator(".grid .reach")
        assert [line.get_attribute("d") for line in outlines.all()] == [""] * 3
        page.locator("#outline").check()
        assert [line.get_attribute("d").count("M") for line in outlines.all()] == [edges] * 3
        page.select_option("#window", "reach")
        whole = "0 0 40 32"
        assert {shown.get_attribute("viewBox") for shown in page.locator(".grid").all()} == {whole}


def test_negligible_blocks_can_be_hidden(opened: Any, panels: list[Panel]) -> None:
    with opened() as page:
        page.select_option("#classes", "weighty")
        for drawn, panel in zip(fills(page), panels, strict=True):
            assert len(drawn) == ((panel.map.values != 0) & (panel.map.codes != BlockClass.NEGLIGIBLE)).sum()


def test_maps_of_other_metrics_are_chosen_with_their_unit_and_intervals(opened: Any, panels: list[Panel]) -> None:
    row, column = panels[0].map.strongest(1)[0]
    place = f"row {row}, column {column}: "
    with opened() as page:
        before = fills(page)
        assert page.locator("#kind option").all_inner_texts() == ["psnr (dB)", "ssim", "mae (levels)", "LAM (%)"]
        choose(page, row, column)
        page.select_option("#kind", "mae")
        assert fills(page) != before
        assert "levels" in page.locator("#bound-value").inner_text()
        for text in page.locator(".model .readout").all_inner_texts():
            assert re.fullmatch(place + r"[+-][\d.]+ levels \[[-+\d.]+, [-+\d.]+\], 3 draws, [a-z ]+", text)
        assert page.locator(".model .unit").first.text_content() == "(levels)"
        assert page.locator(".metrics").first.locator("tbody tr").count() == 3
        page.select_option("#kind", "LAM")
        assert page.locator(".map .blocks:visible").count() == 0
        assert page.locator(".map .attribution").first.is_visible()
        assert re.fullmatch(place + r"[\d.]+ %, [a-z ]+", page.locator(".model .readout").first.inner_text())
        assert page.locator("#lowest").inner_text() == "nothing"
        page.select_option("#kind", "psnr")
        assert fills(page) == before


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of axe-core, from the npm registry or its cache."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("needs npm, for axe-core")
    words = ["npm", "install", "--prefix", str(folder), "--prefer-offline", "--no-audit", "--no-fund", "axe-core@4"]
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"axe-core cannot be installed: {error}")
    return folder / "node_modules" / "axe-core" / "axe.min.js"


FAULTS = "axe.run().then(found => found.violations.map(fault => [fault.impact, fault.id, fault.nodes[0].html]))"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(opened: Any, axe: Path, scheme: str) -> None:
    with opened(color_scheme=scheme) as page:
        page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true })")
        choose(page, 0, 1)
        page.add_script_tag(path=axe)
        assert [fault for fault in page.evaluate(FAULTS) if fault[0] in ("serious", "critical")] == []


def test_a_large_report_is_an_index_of_pages(
    browser: Any, compared: Config, axe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MOST_BYTES", 0)
    index = make_report(compared)
    try:
        with open_page(browser, index) as page:
            page.add_script_tag(path=axe)
            assert [fault for fault in page.evaluate(FAULTS) if fault[0] in ("serious", "critical")] == []
            assert "Tiny uses" in page.locator(".headline").inner_text()
            page.get_by_role("link", name="photo_1.png").click()
            page.locator(".map .blocks rect").first.wait_for()
            assert all(fills(page))
            page.get_by_role("link", name="All images of this run").click()
            assert page.url == index.as_uri()
    finally:
        monkeypatch.undo()
        make_report(compared)
