"""Figures for papers: opened again, they show the numbers; fonts, sizes and LaTeX are as a journal asks."""

from __future__ import annotations

import csv
import dataclasses
import re
import runpy
import shutil
import subprocess
import sys
import zlib
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from browsing import launched, needs_chromium, open_page
from CEM_Demo.attribution.pictures import map_colors
from CEM_Demo.config.schema import Config
from CEM_Demo.config.settings import Settings
from CEM_Demo.errors import InputError
from CEM_Demo.explain import Explanation, compare_figure, explain
from CEM_Demo.figure.cells import window_of_effects
from CEM_Demo.figure.layouts import LAYOUTS, Drawing, draw_figures
from CEM_Demo.figure.saving import FORMATS, TEX_SYSTEMS, save_figure
from CEM_Demo.figure.sections import Group
from CEM_Demo.figure.sheet import drawing_with, text_width, wrap
from CEM_Demo.figure.style import Style, parse_width
from CEM_Demo.figure.tables import make_table
from CEM_Demo.geometry import ROI, grid_of
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.method.measurements import Draws
from CEM_Demo.ModelZoo import load_network
from CEM_Demo.report.colours import COLOUR_BOUND, Scale
from CEM_Demo.report.differences import paired_difference
from CEM_Demo.report.panels import Panel, make_map
from CEM_Demo.results.lam_files import LamNumbers, MissingLam, StoredLam
from CEM_Demo.run.conductor import compute_effects
from CEM_Demo.run.preparation import prepare
from CEM_Demo.tasks import Degradation
from conftest import contents, make_config, photograph, write_config

TEX = next(filter(None, map(shutil.which, TEX_SYSTEMS)), None)
needs_poppler = pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="needs poppler-utils")
needs_tex = pytest.mark.skipif(TEX is None, reason="needs LaTeX")

COLUMN = Style(width=parse_width("8.6cm"))
BLOCK = 8


def make_panel(
    effects: np.ndarray, model: str = "Net_A@Demo", height: int = 64, width: int = 64, noise: float = 0.02
) -> Panel:
    """A panel whose blocks have the effects given, rows x columns in dB, but for the noise of eight draws."""
    roi = ROI(24, 24, 16, 16)
    overlaps = grid_of(np.zeros((height, width, 3)), BLOCK, 1).overlaps(roi)
    spread = noise * np.array([-1, 1, -0.5, 0.5, -1, 1, -0.5, 0.5])
    fine = 30.0 - effects[..., None] - spread
    counts = np.where(effects != 0, fine.shape[2], 0)
    rounds = {"coarse": Draws(30.0 - effects[..., None], np.ones_like(counts)), "fine": Draws(fine, counts)}
    truth = photograph(height, width)
    made = make_map(30.0, rounds, 0.01, overlaps)
    return Panel(model, "photo_1.png", "DN", roi, BLOCK, 30.0, truth, truth, truth, made)


def ring(seed: int = 0) -> np.ndarray:
    """Effects of both signs around the ROI, from -2 to 2 dB."""
    effects = np.random.RandomState(seed).uniform(-2, 2, (8, 8))
    effects[[0, -1]] = effects[:, [0, -1]] = 0
    return effects


@pytest.fixture(scope="module")
def explanations() -> list[Explanation]:
    """Real maps of two bundled networks on a real photograph."""
    image = read_image(Path(__file__).parents[1] / "CEM_Demo/test_images/Test1/demo_1.png")[100:164, 64:128]
    settings = Settings(coarse_num=1, fine_num=4, device="cpu")
    return [
        dataclasses.replace(
            explain(load_network(name, "SR"), image, ROI(24, 24, 16, 16), Degradation("SR", 4), settings, "demo_1.png"),
            model=name,
        )
        for name in ("EDSR@Demo", "SRResNet@Demo")
    ]


def rasterized(pdf: Path, resolution: int) -> UInt8Image:
    stem = pdf.with_suffix("")
    subprocess.run(["pdftoppm", "-r", str(resolution), "-singlefile", "-png", str(pdf), str(stem)], check=True)
    return read_image(stem.with_suffix(".png"))


def photographed(svg: Path, width: int, height: int) -> UInt8Image:
    """A screenshot of an SVG, as Chromium shows it at that size."""
    page_file = svg.with_suffix(".html")
    page_file.write_text(f'<body style="margin:0"><img src="{svg.name}" width="{width}" height="{height}">')
    with launched() as browser, open_page(browser, page_file, viewport={"width": width, "height": height}) as page:
        page.screenshot(path=svg.with_suffix(".shot.png"))
    return read_image(svg.with_suffix(".shot.png"))


def maps_of(figure: Figure) -> list[Axes]:
    """The axes that hold blocks, from left to right; the color bar, which has a frame, does not count."""
    return [axes for axes in figure.axes if not axes.axison and drawn_blocks(axes)]


def drawn_blocks(axes: Axes) -> list[Any]:
    return [part for part in axes.collections if isinstance(part, PolyCollection)]


def pixel_of(figure: Figure, axes: Axes, place: tuple[int, int], raster: UInt8Image) -> np.ndarray:
    """The color of a raster of the figure in the middle of a block."""
    at = axes.transData.transform(((place[1] + 0.5) * BLOCK, (place[0] + 0.5) * BLOCK))
    across, up = figure.transFigure.inverted().transform(at)
    return raster[int((1 - up) * raster.shape[0]), int(across * raster.shape[1])].astype(int)


def draw_one(panels: list[Panel], layout: str, style: Style = COLUMN) -> Drawing:
    return draw_figures([Group("", [panels])], layout, style)[0]


def assert_colours(figure: Figure, axes: Axes, values: np.ndarray, scale: Scale, raster: UInt8Image) -> None:
    """Twenty blocks have the color of their number, within one level."""
    places = [(int(row), int(column)) for row, column in np.argwhere(values)][:20]
    assert len(places) == 20
    for place in places:
        expected = scale.colours(values)[place].astype(int)
        assert np.abs(pixel_of(figure, axes, place, raster) - expected).max() <= 1, place


@needs_poppler
def test_a_pdf_opened_again_shows_the_numbers(tmp_path: Path) -> None:
    panels = [make_panel(ring(1)), make_panel(ring(2), "Net_B@Demo")]
    figure = draw_one(panels, "comparison").figure
    (path,) = save_figure(figure, tmp_path / "map", ["pdf"], COLUMN)
    raster = rasterized(path, 300)
    scale = COLUMN.scale_for(panels)
    for axes, panel in zip(maps_of(figure), panels, strict=True):
        assert_colours(figure, axes, panel.map.values, scale, raster)


@needs_chromium
def test_an_svg_opened_again_shows_the_numbers_without_seams(tmp_path: Path) -> None:
    panel = make_panel(ring(1))
    figure = draw_one([panel], "zoom").figure
    (path,) = save_figure(figure, tmp_path / "map", ["svg"], COLUMN)
    width, height = (round(side * 200) for side in figure.get_size_inches())
    assert_colours(
        figure, maps_of(figure)[0], panel.map.values, COLUMN.scale_for([panel]), photographed(path, width, height)
    )
    even = draw_one([make_panel(np.ones((8, 8)))], "single").figure
    (path,) = save_figure(even, tmp_path / "even", ["svg"], COLUMN)
    width, height = (round(side * 137) for side in even.get_size_inches())
    assert_no_seams(even, photographed(path, width, height))


@needs_poppler
@pytest.mark.parametrize("resolution", [47, 72, 96, 150, 301])
def test_blocks_meet_without_seams(tmp_path: Path, resolution: int) -> None:
    figure = draw_one([make_panel(np.ones((8, 8)))], "single").figure
    (path,) = save_figure(figure, tmp_path / "map", ["pdf"], COLUMN)
    assert_no_seams(figure, rasterized(path, resolution))


def assert_no_seams(figure: Figure, raster: UInt8Image) -> None:
    """Of a map of one effect everywhere, the rows above the ROI are of one color."""
    (axes,) = maps_of(figure)
    corners = axes.transData.transform([(0.1 * BLOCK, 0.1 * BLOCK), (7.9 * BLOCK, 2.8 * BLOCK)])
    (left, high), (right, low) = figure.transFigure.inverted().transform(corners)
    height, width = raster.shape[:2]
    part = raster[int((1 - high) * height) + 1 : int((1 - low) * height), int(left * width) + 1 : int(right * width)]
    assert part.shape[1] > 5 * part.shape[2]
    assert np.ptp(part.reshape(-1, 3).astype(int), axis=0).max() <= 1


def test_pixels_of_a_png_are_those_of_300_dpi(tmp_path: Path) -> None:
    panel = make_panel(ring(1))
    figure = draw_one([panel], "single").figure
    (path,) = save_figure(figure, tmp_path / "map", ["png"], COLUMN)
    raster = read_image(path)
    assert raster.shape[1] == int(8.6 / 2.54 * 300)
    assert_colours(figure, maps_of(figure)[0], panel.map.values, COLUMN.scale_for([panel]), raster)


@pytest.mark.parametrize("width", ["8.6cm", "17.8cm", "3.5in", "252pt"])
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_a_pdf_has_the_width_asked_for_and_fonts_embedded_at_8_points(tmp_path: Path, layout: str, width: str) -> None:
    style = Style(width=parse_width(width))
    panels = [make_panel(ring(1)), make_panel(ring(2), "A long_name of a network, $x_1$ & co@Demo")]
    (path,) = save_figure(draw_one(panels, layout, style).figure, tmp_path / "map", ["pdf"], style)
    content = path.read_bytes()
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", content)
    assert box is not None
    assert float(box[1]) == pytest.approx(parse_width(width), abs=0.01)
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert fonts_sizes(content) == {8.0}


def fonts_sizes(pdf: bytes) -> set[float]:
    """The sizes at which the streams of a PDF set text."""
    found = set()
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            text = zlib.decompress(stream)
        except zlib.error:
            continue
        found |= {float(size) for size in re.findall(rb"/F\S+ ([\d.]+) Tf", text)}
    return found


@needs_poppler
def test_photographs_keep_their_own_resolution(tmp_path: Path) -> None:
    panel = make_panel(ring(1))
    panel = dataclasses.replace(panel, degraded=panel.degraded[::4, ::4])
    (path,) = save_figure(draw_one([panel], "comparison").figure, tmp_path / "map", ["pdf"], COLUMN)
    listed = subprocess.run(["pdfimages", "-list", str(path)], capture_output=True, text=True, check=True).stdout
    sizes = [tuple(map(int, line.split()[3:5])) for line in listed.splitlines()[2:]]
    assert sorted(sizes) == [(16, 16), (16, 16), (64, 64), (64, 64)]  # input, restored ROI, ground truth, backdrop


def test_figures_of_real_maps_show_every_block_with_an_effect(explanations: list[Explanation]) -> None:
    figure = compare_figure(explanations, "comparison", width=parse_width("17.8cm"))
    for axes, explanation in zip(maps_of(figure), explanations, strict=True):
        (blocks,) = drawn_blocks(axes)
        values = explanation.map.values
        assert values.any()
        expected = COLUMN.scale_for([one.panel for one in explanations]).colours(values[values != 0])
        np.testing.assert_allclose(blocks.get_facecolor()[:, :3] * 255, expected, atol=0.01)
    assert len(maps_of(explanations[0].figure())) == 1
    with pytest.raises(InputError, match="same ROI of one image"):
        compare_figure([explanations[0], dataclasses.replace(explanations[1], roi=ROI(0, 0, 8, 8))])
    with pytest.raises(InputError, match="single shows one map, not 2"):
        compare_figure(explanations, "single")


def test_colours_end_at_the_largest_certified_effect() -> None:
    effects = ring(1)
    effects[1, 1], effects[1, 2] = 5.0, -3.0
    certain, unsure = make_panel(effects), make_panel(effects, noise=40.0)
    assert certain.map.count(BlockClass.HELPS) and not unsure.map.count(BlockClass.HELPS)
    assert Style().scale_for([make_panel(ring(1)), certain]).bound == pytest.approx(5.0)
    assert Style().scale_for([unsure]).bound == pytest.approx(5.0)  # the largest at all, where none is certified
    assert Style().scale_for([make_panel(np.zeros((8, 8)))]).bound == COLOUR_BOUND["DN"]
    assert Style(colour_bound="published").scale_for([certain]).bound == COLOUR_BOUND["DN"]
    assert Style(colour_bound="0.7").scale_for([certain]).bound == 0.7
    written = [text.get_text() for text in draw_one([certain], "single", Style(colour_bound=0.7)).figure.texts]
    assert "\N{GREATER-THAN OR EQUAL TO} +0.70" in written


def test_the_zoom_is_cut_to_the_blocks_with_effects_and_one_around() -> None:
    effects = np.zeros((8, 8))
    effects[2, 5] = 1.0
    assert window_of_effects([make_panel(effects)]) == ROI(16, 8, 40, 40)
    figure = draw_one([make_panel(effects)], "zoom").figure
    (axes,) = maps_of(figure)
    assert (axes.get_xlim(), axes.get_ylim()) == ((16, 56), (48, 8))


def test_blocks_whose_difference_is_undecided_are_hatched() -> None:
    effects = ring(1)
    first, second = make_panel(effects), make_panel(np.where(effects > 0, effects + 1, effects), "B", noise=0.03)
    difference = paired_difference(first, second)
    np.testing.assert_allclose(difference.values[(effects > 0) & ~first.map.effect_map.roi], -1)
    hatched = difference.undecided
    assert hatched.any() and not hatched[effects > 0].any()
    axes = maps_of(draw_one([first, second], "difference").figure)[2]
    (lines,) = (part for part in axes.collections if isinstance(part, LineCollection))
    assert len(lines.get_segments()) == 3 * hatched.sum()
    with pytest.raises(InputError, match="between two models, not 1"):
        draw_one([first], "difference")


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_images_that_blocks_do_not_divide_are_drawn(tmp_path: Path, layout: str) -> None:
    effects = np.full((6, 7), 0.5)
    panels = [make_panel(effects, model, 45, 53) for model in "AB"]
    drawing = draw_one(panels, layout)
    assert save_figure(drawing.figure, tmp_path / "map", ["pdf", "svg", "png"])
    assert "of 42 blocks" in drawing.caption


def test_a_map_without_effects_is_drawn(tmp_path: Path) -> None:
    for layout in LAYOUTS:
        drawing = draw_one([make_panel(np.zeros((8, 8))), make_panel(np.zeros((8, 8)))], layout)
        assert save_figure(drawing.figure, tmp_path / layout, ["pdf"])


def test_captions_say_the_numbers() -> None:
    effects = np.zeros((8, 8))
    effects[1, 2], effects[6, 5] = 1.25, -0.5
    caption = draw_one([make_panel(effects)], "comparison").caption
    for expected in (
        "Net_A@Demo on photo_1.png, region 16x16+24+24: PSNR of the region 30.00 dB",
        "of 64 blocks 1 help and 1 hurt, 1 and 1 of them certified",
        "(row 1, column 2) has +1.25 dB [+1.24, +1.26] from 8 draws",
        "(row 6, column 5) has -0.50 dB [-0.51, -0.49] from 8 draws",
        "colors end at an effect of 1.25 dB",
    ):
        assert expected in caption


def test_equal_figures_are_equal_files(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save_figure(draw_one([make_panel(ring(1))], "zoom").figure, tmp_path / name / "map", ["pdf", "svg", "png"])
    assert contents(tmp_path / "first") == contents(tmp_path / "second")


def test_names_break_where_they_may_and_fit() -> None:
    with drawing_with(COLUMN):
        assert wrap("EDSR@Demo \N{MINUS SIGN} SRResNet@Demo", 70) == ["EDSR@Demo \N{MINUS SIGN}", "SRResNet@Demo"]
        assert wrap("SRResNet_DN@Demo", 50) == ["SRResNet_", "DN@Demo"]
        for text in ("a" * 60, "x-" * 30, "Ground truth"):
            lines = wrap(text, 40)
            assert "".join(lines).replace(" ", "") == text.replace(" ", "")
            assert max(map(text_width, lines)) <= 40


def make_lam(side: int) -> StoredLam:
    """A map of side x side input pixels."""
    values = np.random.RandomState(0).rand(side, side).astype(np.float32)
    numbers = LamNumbers(diffusion_index=12.34, gini=0.8766, pixels=31.6, width=side, height=side)
    return StoredLam(values, values, np.ones((8, 8)), numbers)


def pictures_of(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(picture.get_array()) for axes in figure.axes for picture in axes.get_images()]


@pytest.mark.parametrize("layout", ["comparison", "zoom", "single"])
def test_a_local_attribution_map_stands_beside_the_causal_effect_map(tmp_path: Path, layout: str) -> None:
    effects = np.zeros((8, 8))
    effects[2, 5] = 1.0
    lam = make_lam(16)
    drawing = draw_one([dataclasses.replace(make_panel(effects, "A"), lam=lam)], layout)
    # The zoom shows pixels 8..48 by 16..56, which are input pixels 2..12 by 4..14.
    rows, columns = (slice(2, 12), slice(4, 14)) if layout == "zoom" else (slice(16), slice(16))
    expected = map_colors(lam.map)[rows, columns, :3]
    assert sum(np.array_equal(picture, expected) for picture in pictures_of(drawing.figure)) == 1
    written = {text.get_text() for text in drawing.figure.texts}
    assert {"A", "LAM of A", "DI 12.34", "LAM: attribution over its largest value (without sign)"} <= written
    assert "Gu and Dong, CVPR 2021" in drawing.caption
    assert "LAM: DI 12.34 on 16 x 16 pixels (32 pixels involved)." in drawing.caption
    assert save_figure(drawing.figure, tmp_path / "map", ["pdf"])


def test_where_a_model_has_no_local_attribution_map_figure_caption_and_table_say_so() -> None:
    missing = MissingLam("no gradient passes through the network")
    panels = [
        dataclasses.replace(make_panel(ring(seed), name), lam=lam)
        for seed, name, lam in ((1, "A", make_lam(16)), (2, "B", missing))
    ]
    drawing = draw_one(panels, "comparison")
    assert [text.get_text() for axes in drawing.figure.axes for text in axes.texts].count("no LAM") == 1
    assert "no LAM: no gradient passes through the network." in drawing.caption
    rows = list(csv.DictReader(StringIO(make_table([panels], "csv"))))
    assert [row["LAM DI"] for row in rows] == ["12.34", ""]
    for kind in ("md", "tex"):
        assert "LAM DI" in make_table([panels], kind) and "12.34" in make_table([panels], kind)
        assert "LAM DI" not in make_table([[make_panel(ring(1))]], kind)


@pytest.mark.parametrize("layout", ["comparison", "zoom", "difference", "strip"])
def test_every_group_of_a_figure_has_a_color_bar_of_its_own(layout: str) -> None:
    weak, strong = ring(1), ring(2)
    weak[3, 1], strong[3, 1] = 2.5, 7.5
    groups = [
        Group(label, [[make_panel(effects, name) for name in "AB"]])
        for label, effects in (("Denoising", weak), ("Deraining", strong))
    ]
    (drawing,) = draw_figures(groups, layout, COLUMN)
    bars = [axes.get_xlim()[1] for axes in drawing.figure.axes if axes.axison and axes.get_ylim() == (0, 1)]
    assert bars == pytest.approx([2.5, 7.5])
    written = [text.get_text() for text in drawing.figure.texts]
    assert {"+2.50", "+7.50"} <= set(written)
    assert any("Denoising" in text for text in written) and any("Deraining" in text for text in written)
    assert "colors end at an effect of 2.50 dB" in drawing.caption
    assert "colors end at an effect of 7.50 dB" in drawing.caption
    assert drawing.caption.count("hurt, others do neither") == 1


EVIL = r"a_b&c%d#e$f{g}h~i^j\k"


def test_tables_hold_the_numbers_of_every_panel() -> None:
    effects = np.zeros((8, 8))
    effects[1, 2], effects[6, 5] = 1.25, -0.5
    panels = [[make_panel(effects), make_panel(ring(1), "B")], [make_panel(ring(2)), make_panel(ring(3), "B")]]
    (row, *others) = csv.DictReader(StringIO(make_table(panels, "csv")))
    assert len(others) == 3
    assert (row["model"], row["ROI PSNR (dB)"], row["helps"], row["hurts"]) == ("Net_A@Demo", "30.00", "1", "1")
    assert (row["strongest +"], row["row +"], row["column +"]) == ("1.2500", "1", "2")
    assert float(row["low -"]) < -0.5 < float(row["high -"])
    assert int(row["draws"]) == 2 * 8 + 58  # 64 blocks less 4 of the ROI, less 2 with fine draws: one draw each
    markdown = make_table(panels, "md").splitlines()
    assert len(markdown) == 6 and len({line.replace(r"\|", "").count("|") for line in markdown}) == 1
    tex = make_table([[make_panel(effects, EVIL)]], "tex").splitlines()
    (line,) = (line for line in tex if "30.00" in line)
    assert r"a\_b\&c\%d\#e\$f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k" in line
    assert len(re.findall(r"(?<!\\)&", line)) == 10
    with pytest.raises(InputError, match="'xls' is not one of tex, csv, md"):
        make_table(panels, "xls")


@needs_tex
@pytest.mark.parametrize("preamble", [r"\usepackage{booktabs}", ""])
def test_the_latex_table_compiles_as_it_is(tmp_path: Path, preamble: str) -> None:
    panels = [[make_panel(ring(1), EVIL), make_panel(ring(2), "[B]")]] * 2
    (tmp_path / "table.tex").write_text(make_table(panels, "tex"))
    compile_tex(tmp_path, preamble, r"\input{table.tex}")


@needs_tex
def test_the_pgf_compiles_and_has_its_photographs_beside_it(tmp_path: Path) -> None:
    panels = [make_panel(ring(1), EVIL), make_panel(ring(2), "B")]
    figure = draw_one(panels, "difference", Style(colour_bound=0.5)).figure
    paths = save_figure(figure, tmp_path / "map", ["pgf"])
    assert {path.suffix for path in paths} == {".pgf", ".png"}
    assert any(EVIL.split("\\")[0][:3] in text.get_text() for text in figure.texts)  # it is given back unescaped
    compile_tex(tmp_path, r"\usepackage{pgf}", r"\noindent\input{map.pgf}")


def compile_tex(folder: Path, preamble: str, body: str) -> None:
    document = rf"\documentclass{{article}}{preamble}\begin{{document}}\tiny {body}\end{{document}}"
    (folder / "paper.tex").write_text(document)
    command = [str(TEX), "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout


def test_without_latex_pgf_is_refused_and_nothing_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="pgf needs LaTeX"):
        save_figure(draw_one([make_panel(ring(1))], "single").figure, tmp_path / "map", ["pdf", "pgf"])
    assert not contents(tmp_path)


@pytest.fixture
def finished(tmp_path: Path, settings: dict[str, Any]) -> Config:
    config = make_config(tmp_path, settings)
    compute_effects(prepare(config))
    return config


@pytest.fixture
def finished_twice(finished: Config, tmp_path: Path, settings: dict[str, Any]) -> list[Path]:
    """The configs of two runs; the second has another noise, and Local Attribution Maps."""
    (tmp_path / "config.yml").rename(tmp_path / "first.yml")
    compute_effects(prepare(make_config(tmp_path, settings, prefix="WEAK", sigma=25, maps=["CEM", "LAM"])))
    (tmp_path / "config.yml").rename(tmp_path / "second.yml")
    return [tmp_path / "first.yml", tmp_path / "second.yml"]


def run_figure(config: Path, *words: str) -> int:
    """Run ``python -m CEM_Demo.figure`` in this process; its exit code."""
    with (
        mock.patch.object(sys, "argv", ["figure", "--config", str(config), *words]),
        pytest.raises(SystemExit) as end,
    ):
        runpy.run_module("CEM_Demo.figure", run_name="__main__")
    return int(end.value.code or 0)


def test_the_command_writes_figures_captions_and_tables(finished: Config, tmp_path: Path) -> None:
    formats = ",".join(kind for kind in FORMATS if kind != "pgf")
    assert run_figure(tmp_path / "config.yml", "--format", formats, "--output", str(tmp_path / "figures")) == 0
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"DN_TEST_comparison.{suffix}" for suffix in ("pdf", "svg", "png", "txt")}
    assert run_figure(tmp_path / "config.yml", "--table", "csv") == 0
    (row,) = csv.DictReader(StringIO((tmp_path / "out" / "DN_TEST_table.csv").read_text()))
    assert row["model"] == "Tiny"


def test_the_command_joins_runs_and_shows_their_local_attribution_maps(
    finished_twice: list[Path], tmp_path: Path
) -> None:
    first, second = finished_twice
    words = ["--config", str(second), "--layout", "zoom", "--table", "csv", "--output", str(tmp_path / "figures")]
    assert run_figure(first, *words) == 0
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"DN_TEST_DN_WEAK_{rest}" for rest in ("zoom.pdf", "zoom.txt", "table.csv")}
    caption = (tmp_path / "figures" / "DN_TEST_DN_WEAK_zoom.txt").read_text()
    assert caption.count("Causal effect maps in denoising") == 2 and caption.count("LAM: DI") == 1
    rows = list(csv.DictReader(StringIO((tmp_path / "figures" / "DN_TEST_DN_WEAK_table.csv").read_text())))
    assert [bool(row["LAM DI"]) for row in rows] == [False, True]


def test_names_that_the_configs_lack_end_in_one_line(
    finished_twice: list[Path], tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = finished_twice
    assert run_figure(first, "--config", str(second), "--images", "photo_3.png") == 2
    assert "images: photo_3.png is not in any of the configs; did you mean photo_1.png?" in capsys.readouterr().err
    second.write_text(second.read_text().replace("photo_1.png", "photo_2.png"))
    assert run_figure(first, "--config", str(second), "--images", "photo_2.png") == 2
    assert "images: one of the configs has no photo_2.png; it has photo_1.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--layout", "comparision"], "layout: 'comparision' is not one of comparison"),
        (["--layout", "difference"], "between two models, not 1"),
        (["--width", "wide"], "width: 'wide' is no length"),
        (["--width", "1mm"], "is no width for a figure"),
        (["--format", "pdf,jpg"], "format: jpg is not among pdf, svg, pgf, png"),
        (["--format", ","], "format: nothing is not among"),
        (["--font", "Ariel Nova Sans"], "no TrueType font 'Ariel Nova Sans' is installed"),
        (["--font", "dejavu sanz"], "did you mean DejaVu Sans"),
        (["--images", "photo_2.png"], "did you mean photo_1.png?"),
        (["--models", "EDSR"], "models: EDSR is not in the config; it has Tiny"),
        (["--colour-bound", "big"], "colour_bound: 'big' is neither auto nor published"),
        (["--colour-bound", "-1"], "nor a positive number of dB"),
        (["--colour-bound", "inf"], "nor a positive number of dB"),
        (["--colour-map", "jet"], "colour_map: 'jet' is not one of seismic"),
        (["--table", "xls"], "table: 'xls' is not one of tex, csv, md"),
    ],
)
def test_bad_arguments_end_in_one_line(
    finished: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], complaint: str
) -> None:
    before = contents(tmp_path)
    capsys.readouterr()
    assert run_figure(tmp_path / "config.yml", *words) == 2
    printed = capsys.readouterr().err
    assert complaint in printed and len(printed.splitlines()) == 1
    assert contents(tmp_path) == before


def test_without_results_no_figure_is_made(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_figure(write_config(tmp_path, settings)) == 2
    assert "run demo_causal_effect_calculation.py first" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_numbers_need_no_matplotlib() -> None:
    code = "import sys, CEM_Demo.explain; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1]).returncode == 0
