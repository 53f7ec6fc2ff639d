"""Choosing an ROI: sound proposals, a command line that is useful by itself, and a page that works in a browser."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from CEM_Demo.command_line import read_config
from CEM_Demo.inference.dense import DenseInference
from CEM_Demo.method.metric import to_uint8
from CEM_Demo.roi import page as roi
from CEM_Demo.roi.__main__ import main as roi_main
from CEM_Demo.roi.proposals import best_boxes, measure_box, propose, structure_map
from CEM_Demo.run.preparation import prepare
from conftest import ROI_OF_TESTS, make_config, photograph, write_config

FLAT = 128


def stripes(height: int, width: int, period: int) -> np.ndarray:
    """Upright black and white stripes."""
    columns = np.where(np.arange(width) % period < period // 2, 0, 255).astype(np.uint8)
    return np.broadcast_to(columns[:, None], (height, width, 3)).copy()


# Proposals


def test_stripes_have_structure_and_noise_has_little() -> None:
    flat = np.full((32, 32, 3), FLAT, np.uint8)
    noise = np.random.RandomState(0).randint(0, 256, (32, 32, 3)).astype(np.uint8)
    means = [structure_map(image)[6:-6, 6:-6].mean() for image in (flat, noise, stripes(32, 32, 8))]
    assert means[0] == 0
    assert means[2] > 3 * means[1]


@pytest.mark.parametrize("period", [2, 4, 8])
def test_stripes_of_any_width_are_seen_the_same_in_both_directions(period: int) -> None:
    upright = structure_map(stripes(40, 40, period))[8:-8, 8:-8]
    level = structure_map(stripes(40, 40, period).transpose(1, 0, 2).copy())[8:-8, 8:-8]
    assert upright.min() > 50
    np.testing.assert_allclose(level, upright.T)


def test_colour_edges_of_one_brightness_are_structure() -> None:
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16, 0], image[:, 16:, 1] = 100, 100
    assert structure_map(image)[16, 15] > 20


@hypothesis_settings(deadline=None)
@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    side=st.integers(1, 40),
    step=st.integers(1, 12),
    seed=st.integers(0, 9),
)
def test_best_boxes_lie_inside_on_the_grid_and_apart(shape: tuple[int, int], side: int, step: int, seed: int) -> None:
    score = np.random.RandomState(seed).random_sample(shape) + 0.1
    boxes = best_boxes(score, side, step, 5)
    covered = np.zeros(shape, int)
    for box in boxes:
        assert box.left % step == box.top % step == 0
        assert box.left + side <= shape[1] and box.top + side <= shape[0]
        covered[box.window] += 1
    assert covered.max() <= 1
    assert bool(boxes) == (side <= min(shape))
    means = [score[box.window].mean() for box in boxes]
    assert means == sorted(means, reverse=True)
    assert best_boxes(score, side, step, 5) == boxes
    if boxes:
        tops, lefts = range(0, shape[0] - side + 1, step), range(0, shape[1] - side + 1, step)
        everywhere = [score[top : top + side, left : left + side].mean() for top in tops for left in lefts]
        assert means[0] == pytest.approx(max(everywhere))


def test_a_structured_part_is_proposed_before_a_flat_one_and_a_badly_restored_one_before_a_good_one() -> None:
    truth = np.full((32, 96, 3), FLAT, np.uint8)
    truth[8:24, 8:24] = truth[8:24, 40:56] = stripes(16, 16, 4)
    restored = truth.copy()
    restored[8:24, 40:56] = FLAT  # structure is lost here
    restored[8:24, 72:88] = 0  # the error is as large here, but nothing is to be seen
    structure = structure_map(truth)
    alone = propose(structure, truth, None, 16, 8)
    assert {(box.roi.left, box.roi.top) for box in alone[:2]} == {(8, 8), (40, 8)}
    assert all(box.psnr is None for box in alone)
    with_error = propose(structure, truth, restored, 16, 8)
    assert (with_error[0].roi.left, with_error[0].roi.top) == (40, 8)
    assert with_error[0].psnr == pytest.approx(10 * np.log10(255**2 / np.mean((stripes(16, 16, 4) - 128.0) ** 2)))
    assert all(box.roi.left != 72 for box in with_error)


def test_nothing_is_proposed_where_there_is_nothing_to_see() -> None:
    flat, truth = np.full((32, 32, 3), FLAT, np.uint8), photograph(32, 32)
    assert propose(structure_map(flat), flat, None, 8, 8) == []
    assert propose(structure_map(truth), truth, truth, 8, 8) == []  # restored without error


# Command line


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["roi", *map(str, words)])
    return roi_main()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Write an image of 44 x 36 pixels, where blocks of 8 are partial at the border."""
    path = tmp_path / "a photo.png"
    Image.fromarray(photograph(36, 44)).save(path)
    return path


def test_without_a_config_structure_alone_decides(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, image) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a photo.png: boxes by structure alone"
    assert lines[1].split()[0] == "1" and "ROI_size: 32" in lines[1] and "structure" in lines[1]
    assert "PSNR" not in "".join(lines)
    assert lines[-1] == "wrote a photo_ROI.html"
    first = (tmp_path / "a photo_ROI.html").read_bytes()
    assert run(monkeypatch, image, "--output", "again.html") == 0
    assert (tmp_path / "again.html").read_bytes() == first
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".part"] == []


@pytest.mark.parametrize(("task", "sr"), [("DN", 1), ("SR", 4)])
def test_a_config_gives_grid_size_crop_and_the_error_of_its_first_network(
    image: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    task: str,
    sr: int,
) -> None:
    Image.fromarray(photograph(33, 43)).save(image)
    changes = {"task": task, "sr": sr, "w": 4, "ROI_size": 12, "mask_block_size": 4}
    path = write_config(tmp_path, {**settings, **changes})
    assert run(monkeypatch, image, "--config", path, "--output", tmp_path / "page.html") == 0
    *rows, wrote = capsys.readouterr().out.splitlines()
    assert "restoration error" in rows[0] and "Tiny" in rows[0]
    assert len(rows) == 7  # a headline, five boxes, the config's own
    assert rows[-1].split()[:7] == ["config", "w:", "4", "h:", "8", "ROI_size:", "12"]
    assert wrote == f"wrote {tmp_path / 'page.html'}"
    setting = roi.image_of_config(image, read_config(path))
    assert setting.image.shape == ((32, 40, 3) if sr == 4 else (33, 43, 3))
    assert (setting.side, setting.block) == (12, 4)
    assert setting.restored is not None and setting.restored.shape == setting.image.shape


def test_figures_are_those_of_a_run(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = make_config(tmp_path, settings)
    setting = roi.image_of_config(config.image_path("photo_1.png"), config)
    subject_run = prepare(config)
    scene = subject_run.posed_images[0].scene
    net = subject_run.models["Tiny"].load()
    output = DenseInference(net, scene.degraded, ROI_OF_TESTS, torch.device("cpu")).baseline()
    assert setting.task is not None and setting.restored is not None
    np.testing.assert_array_equal(setting.restored, to_uint8(output).permute(1, 2, 0).numpy())
    np.testing.assert_array_equal(setting.task.degraded, scene.degraded)
    figures = measure_box(ROI_OF_TESTS, structure_map(setting.image), setting.image, setting.restored)
    error = setting.restored[8:24, 8:24].astype(float) - scene.ground_truth[8:24, 8:24]
    assert figures.psnr == pytest.approx(10 * np.log10(255**2 / np.mean(error**2)))


def test_the_configs_own_roi_may_lie_outside_of_this_image(
    image: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_config(tmp_path, {**settings, "w": 400})
    assert run(monkeypatch, image, "--config", path, "--output", tmp_path / "page.html") == 0
    assert "\nconfig" not in capsys.readouterr().out


def test_all_rois_of_a_list_are_shown(
    image: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    boxes = [{"left": 8, "top": 4, "width": 8, "height": 12}, {"left": 0, "top": 8, "width": 8, "height": 8}]
    listed = {key: value for key, value in settings.items() if key not in ("w", "h", "ROI_size")}
    path = write_config(tmp_path, {**listed, "rois": boxes})
    assert run(monkeypatch, image, "--config", path, "--output", tmp_path / "page.html") == 0
    own = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("config")]
    assert [row[1:7] for row in own] == [
        ["w:", "8", "h:", "4", "size:", "8"],
        ["w:", "0", "h:", "8", "ROI_size:", "8"],
    ]


def test_a_flat_image_gets_a_page_without_proposals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (20, 9), "grey").save(tmp_path / "flat.png")
    assert run(monkeypatch, tmp_path / "flat.png", "--output", tmp_path / "page.html") == 0
    assert capsys.readouterr().out.startswith("flat.png: no structure found\nwrote ")
    assert "No structure was found" in (tmp_path / "page.html").read_text()


PICKY_NETWORK = """
from torch import nn

class Picky(nn.Module):
    def forward(self, image):
        if image.shape[-1] == 44:
            raise RuntimeError("not so wide")
        return image
"""


@pytest.mark.parametrize(
    ("words", "changes", "expected"),
    [
        (["none.png"], None, "none.png: no such image"),
        (["config.yml"], {}, "config.yml: not a readable image"),
        (["a photo.png"], {"tol": "much"}, "tol: "),
        (["a photo.png"], {"ROI_size": 40}, "reaches out of a photo.png, which is 44 x 36 pixels"),
        (["a photo.png"], {"Modellist": ["Tinny"]}, "did you mean Tiny?"),
        (["a photo.png", "--output", "a photo.png"], None, "let its name end in .html"),
        (["a photo.png", "--output", "folder.html"], {}, "folder.html cannot be written"),
        (["a photo.png", "--output", "a photo.png/page.html"], None, "page.html cannot be written"),
    ],
)
def test_mistakes_are_named_in_one_line(
    image: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    changes: dict[str, Any] | None,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    if changes is not None:
        words = [*words, "--config", write_config(tmp_path, {**settings, **changes}).name]
    assert run(monkeypatch, *words) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    assert expected in message
    assert [entry.name for entry in tmp_path.glob("*.html")] == ["folder.html"]
    assert image.read_bytes().startswith(b"\x89PNG")


def test_a_network_that_fails_on_the_image_is_named_in_one_line(
    image: Path,
    tmp_path: Path,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "picky.py").write_text(PICKY_NETWORK)
    config = write_config(tmp_path, {**settings, "Modellist": ["picky.py:Picky"]})
    assert run(monkeypatch, image, "--config", config) == 2
    assert "error: Picky fails on an input of 44 x 36 pixels: RuntimeError: not so wide" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))


def test_names_are_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = tmp_path / "<script>alert(1)<\\script>\"'&.png"
    Image.fromarray(photograph(16, 16)).save(evil)
    assert run(monkeypatch, evil, "--output", tmp_path / "page.html") == 0
    text = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


# The page


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Choose on an image, with or without a config, and open the page; it must neither complain nor load anything."""
    complaints: list[str] = []

    def opened(image: Path, config: Path | None = None, width: int = 1200, **options: Any) -> Any:
        path = tmp_path / "page.html"
        roi.choose(image, config, path)
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
        page.goto(path.as_uri())
        page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        return page

    yield opened
    for context in browser.contexts:
        context.close()
    assert complaints == []


def point(page: Any, column: float, row: float) -> tuple[float, float]:
    """Find where the middle of a pixel of the image lies in the window."""
    frame = page.locator("#stage").bounding_box()
    width, height = page.evaluate("[width, height]")
    return frame["x"] + (column + 0.5) / width * frame["width"], frame["y"] + (row + 0.5) / height * frame["height"]


def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*point(page, *start))
    page.mouse.down()
    page.mouse.move(*point(page, *end), steps=3)
    page.mouse.up()


def click(page: Any, column: int, row: int) -> None:
    page.mouse.click(*point(page, column, row))


def rois(page: Any) -> list[tuple[int, int, int, int]]:
    """Read the boxes of the list form."""
    boxes = yaml.safe_load(page.locator("#list").inner_text())["rois"]
    assert all(list(box) == ["left", "top", "width", "height"] for box in boxes)
    return [tuple(box.values()) for box in boxes]


def type_box(page: Any, *numbers: int) -> None:
    for name, number in zip(("left", "top", "width", "height"), numbers, strict=True):
        page.fill(f"#{name}", str(number))
        page.press(f"#{name}", "Tab")


@pytest.mark.parametrize(
    ("snap", "start", "end", "expected"),
    [
        (True, (3, 3), (20, 12), (0, 0, 24, 16)),
        (True, (20, 12), (3, 3), (0, 0, 24, 16)),
        (True, (8, 8), (15, 15), (8, 8, 8, 8)),
        (True, (30, 30), (60, 50), (24, 24, 20, 12)),
        (False, (3, 4), (20, 12), (3, 4, 18, 9)),
        (False, (20, 12), (3, 4), (3, 4, 18, 9)),
        (False, (30, 30), (-9, -9), (0, 0, 31, 31)),
    ],
)
def test_a_dragged_box_holds_what_was_dragged_over(
    open_page: Callable[..., Any],
    image: Path,
    snap: bool,
    start: tuple[int, int],
    end: tuple[int, int],
    expected: tuple[int, int, int, int],
) -> None:
    page = open_page(image)
    page.set_checked("#snap", snap)
    drag(page, start, end)
    assert rois(page) == [expected]
    left, top, width, height = expected
    assert page.locator("#one").is_visible() == (width == height)
    if width == height:
        assert yaml.safe_load(page.locator("#one").inner_text()) == {"w": left, "h": top, "ROI_size": width}
    assert [int(page.input_value(f"#{name}")) for name in ("left", "top", "width", "height")] == list(expected)
    whole = not any(number % 8 for number in expected)
    assert ("Whole blocks" in page.locator("#aligned").inner_text()) == whole


def test_a_click_moves_the_box_and_takes_a_proposal_over(open_page: Callable[..., Any], image: Path) -> None:
    page = open_page(image)
    first = rois(page)
    assert first[0][2:] == (32, 32)  # the page starts with its first proposal
    type_box(page, 0, 0, 8, 8)
    click(page, first[0][0] + 20, first[0][1] + 20)
    assert rois(page) == first
    type_box(page, 0, 0, 8, 8)
    page.locator("tr[data-label='1'] button").press("Enter")
    assert rois(page) == first
    page.uncheck("#marks")
    type_box(page, 0, 0, 8, 8)
    click(page, 21, 29)
    assert rois(page) == [(16, 24, 8, 8)]
    page.uncheck("#snap")
    click(page, 43, 20)
    assert rois(page) == [(36, 17, 8, 8)]


def test_two_boxes_are_collected_and_one_is_removed(open_page: Callable[..., Any], image: Path) -> None:
    page = open_page(image)
    drag(page, (0, 0), (7, 7))
    page.click("#keep")
    assert page.locator("#keep").is_disabled()
    drag(page, (8, 8), (30, 20))
    assert rois(page) == [(0, 0, 8, 8)]
    assert page.locator("#forgotten").is_visible()
    page.locator("#stage").press("Enter")
    page.locator("#stage").press("Enter")
    assert rois(page) == [(0, 0, 8, 8), (8, 8, 24, 16)]
    assert page.locator(".box.kept").count() == 2
    page.get_by_label("remove box 1").click()
    assert rois(page) == [(8, 8, 24, 16)]


def test_arrow_keys_move_and_resize_by_a_block_or_a_pixel(open_page: Callable[..., Any], image: Path) -> None:
    page = open_page(image)
    type_box(page, 9, 8, 16, 16)

    def press(*keys: str) -> tuple[int, int, int, int]:
        for key in keys:
            page.locator("#stage").press(key)
        return rois(page)[0]

    assert press("ArrowRight") == (16, 8, 16, 16)
    assert press("ArrowRight", "ArrowRight", "ArrowRight") == (24, 8, 16, 16)  # 28 would be off the grid
    assert press("ArrowUp", "ArrowUp", "ArrowLeft") == (16, 0, 16, 16)
    assert press("Shift+ArrowRight", "Shift+ArrowDown") == (16, 0, 24, 24)
    assert press("Shift+ArrowRight") == (16, 0, 28, 24)  # up to the border
    assert press(*["Shift+ArrowLeft"] * 9) == (16, 0, 8, 24)
    page.uncheck("#snap")
    assert press("ArrowLeft", "ArrowDown") == (15, 1, 8, 24)
    assert press("Shift+ArrowUp", "Shift+ArrowRight") == (15, 1, 9, 23)
    page.check("#snap")
    page.fill("#block", "5")
    page.press("#block", "Tab")
    assert press("ArrowRight", "ArrowUp") == (20, 0, 9, 23)


def test_typed_numbers_are_kept_inside_the_image(open_page: Callable[..., Any], image: Path) -> None:
    page = open_page(image)
    type_box(page, 5, 6, 7, 8)
    assert rois(page) == [(5, 6, 7, 8)]
    type_box(page, 40, 30, 99, 99)
    assert rois(page) == [(40, 30, 4, 6)]
    type_box(page, 1000, 0, 0, 1)
    assert rois(page) == [(43, 0, 1, 1)]


def test_a_config_brings_its_roi_pictures_and_figures(
    open_page: Callable[..., Any], tmp_path: Path, settings: dict[str, Any]
) -> None:
    page = open_page(tmp_path / "images" / "photo_1.png", write_config(tmp_path, {**settings, "mask_block_size": 4}))
    assert rois(page) == [(8, 8, 16, 16)]
    assert page.input_value("#block") == "4"
    labels = page.locator("#proposals .badge").all_inner_texts()
    assert labels == [*map(str, range(1, len(labels))), "config"]
    page.wait_for_selector("#psnr:visible")
    for label in labels:
        row = page.locator(f"tr[data-label='{label}']")
        row.click()
        cells = row.locator("td").all_inner_texts()
        assert rois(page) == [(int(cells[1]), int(cells[2]), 16, 16)]
        assert page.locator("#psnr").inner_text() == f"PSNR {cells[3]}"
    shown = page.locator(".stage img:visible")
    assert shown.get_attribute("alt") == "ground truth of photo_1.png"
    for name in ("degraded", "restored"):
        page.get_by_label(name, exact=True).check()
        assert shown.count() == 1
        assert shown.get_attribute("alt") == f"{name} of photo_1.png"


def test_the_lines_are_copied_or_else_selected(open_page: Callable[..., Any], image: Path) -> None:
    page = open_page(image)
    drag(page, (0, 0), (7, 7))
    page.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; } }")
    page.click("[data-of=one]")
    page.wait_for_function("window.copied !== undefined")
    assert page.evaluate("window.copied") == "w: 0\nh: 0\nROI_size: 8\n"
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    page.click("[data-of=list]")
    page.wait_for_function("getSelection().toString().includes('rois:')")


def test_a_large_image_is_scaled_and_can_be_zoomed(open_page: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(photograph(200, 1600)).save(path)
    page = open_page(path, width=420)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("#stage").bounding_box()["width"] <= 420
    drag(page, (804, 84), (860, 100))
    assert rois(page) == [(800, 80, 64, 24)]
    page.uncheck("#snap")
    page.select_option("#zoom", "16")
    frame, box = page.locator("#frame").bounding_box(), page.locator("#box").bounding_box()
    assert frame["x"] <= box["x"] <= frame["x"] + frame["width"]  # it was scrolled into view
    drag(page, (810, 90), (819, 95))
    assert rois(page) == [(810, 90, 10, 6)]


def test_a_tiny_image_is_enlarged_and_takes_touches(open_page: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "tiny.png"
    Image.fromarray(photograph(5, 6)).save(path)
    page = open_page(path, width=420, has_touch=True)
    assert page.locator("#stage").bounding_box()["width"] > 300
    page.uncheck("#snap")
    page.uncheck("#marks")
    type_box(page, 0, 0, 1, 1)
    page.touchscreen.tap(*point(page, 4, 3))
    assert rois(page) == [(4, 3, 1, 1)]
