"""Names and paths come from the user; they lead neither out of the output folder nor out of the page's text."""

from __future__ import annotations

import dataclasses
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from browsing import launched, needs_chromium, open_page
from CEM_Demo.command_line import read_config
from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.images import png_bytes
from CEM_Demo.method.measurements import Draws
from CEM_Demo.method.patch_bank import PatchBank
from CEM_Demo.ModelZoo import checkpoints, registry
from CEM_Demo.report.lam_maps import ShownLam
from CEM_Demo.report.page import render_sections
from CEM_Demo.report.panels import Panel, make_map
from CEM_Demo.report.sections import Column, Section, ShownMap
from CEM_Demo.results.paths import check_nothing_is_shared, report_path, result_paths
from CEM_Demo.run.preparation import prepare
from conftest import ROI_OF_TESTS, Tiny, contents, make_config, photograph, run_main, write_config

ATTACK = (
    "</pre></script><script>window.taken = 1</script><img src=x onerror='window.taken = 1'>\" onload=\"window.taken=1"
)

REFUSED_NAMES = {
    "upwards": "../up",
    "upwards on Windows": "..\\up",
    "absolute": "/etc/passwd",
    "drive": "C:up",
    "this folder": ".",
    "the folder above": "..",
    "nothing": "",
    "NUL": "a\0b",
    "newline": "a\nb",
    "escape": "a\x1b[31mb",
    "delete": "a\x7fb",
    "next line": "a\x85b",
    "line separator": "a\u2028b",
    "turned text": "a\u202egnp.exe",
    "isolated text": "a\u2066b",
    "half a pair of surrogates": "a\ud800b",
    "script": "<script>alert(1)</script>",
    "quotes": 'a"b',
    "long": "x" * 300,
    "long in UTF-8": "é" * 51,
}
REFUSED_FILE_NAMES = {
    "trailing dot": "a.",
    "trailing blank": "a ",
    "device": "nul",
    "device with an extension": "CON.png",
    "numbered device": "com1.png",
    "device and a blank": "aux .png",
}
ACCEPTED_NAMES = {
    "dash": "-rf",
    "option": "--config",
    "umlaut": "Köln",
    "combining": "e\u0301",
    "right to left": "תמונה.png",
    "Chinese": "图像.png",
    "joined emoji": "\U0001f469\u200d\U0001f52c.png",
    "apostrophe": "a'b&c;d.png",
    "markup of a template": "{{ 7 + 7 }}{% raw %}.png",
    "blank": "a b.png",
    "hidden": ".hidden.png",
    "device as a part": "console.png",
    "percent": "%2e%2e%2fup.png",
    "shell": "$(touch trapped)`id`.png",
}


def refuse(folder: Path, settings: dict[str, Any], **changes: Any) -> None:
    with pytest.raises(InputError):
        make_config(folder, settings, **changes)


@pytest.mark.parametrize("name", REFUSED_NAMES.values(), ids=REFUSED_NAMES)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, settings: dict[str, Any], name: str) -> None:
    for key, value in (("prefix", name), ("Imagelist", [name])):
        refuse(tmp_path, settings, **{key: value})
    # With a slash, it names a checkpoint file, and only the stem of that names folders.
    if "/" in name or "\\" in name:
        with pytest.raises(InputError):
            prepare(make_config(tmp_path, settings, Modellist=[name]))
    else:
        refuse(tmp_path, settings, Modellist=[name])


@pytest.mark.parametrize("name", REFUSED_FILE_NAMES.values(), ids=REFUSED_FILE_NAMES)
def test_no_file_has_a_name_that_windows_changes(tmp_path: Path, settings: dict[str, Any], name: str) -> None:
    refuse(tmp_path, settings, Imagelist=[name])
    refuse(tmp_path, settings, Modellist=[name])
    make_config(tmp_path, settings, prefix=name)


@pytest.mark.parametrize("name", ACCEPTED_NAMES.values(), ids=ACCEPTED_NAMES)
def test_other_names_are_taken(tmp_path: Path, settings: dict[str, Any], name: str) -> None:
    config = make_config(tmp_path, settings, prefix=name, Imagelist=[name])
    assert (config.prefix, config.Imagelist) == (name, [name])


SHARING = {
    "case": ["a.png", "A.png"],
    "case beyond ASCII": ["ä.png", "Ä.png"],
    "sharp s": ["straße.png", "STRASSE.png"],
    "Unicode form": ["\u00e9.png", "e\u0301.png"],
    "compatible letters": ["ﬁ.png", "fi.png"],
    "a result's name": ["a.png", "a.png-PSNR-Origin.mat"],
    "a restored image's name": ["a.png", "DN_a.png-Origin.png"],
    "a model's folder": ["Tiny.png", "tiny.PNG"],
}


@pytest.mark.parametrize("names", SHARING.values(), ids=SHARING)
def test_no_two_names_share_a_file(tmp_path: Path, settings: dict[str, Any], names: list[str]) -> None:
    config = make_config(tmp_path, settings, Imagelist=names)
    for refusing in (check_nothing_is_shared, prepare):
        with pytest.raises(InputError, match="would lie in one file"):
            refusing(config)
    check_nothing_is_shared(make_config(tmp_path, settings, Imagelist=names[:1]))


def test_no_two_models_share_a_folder(tmp_path: Path, settings: dict[str, Any]) -> None:
    for models in (["Tiny", "TINY"], ["Tiny", "photo_1.png-truth.png"]):
        with pytest.raises(InputError, match="would lie in one file"):
            check_nothing_is_shared(make_config(tmp_path, settings, Modellist=models))
    check_nothing_is_shared(make_config(tmp_path, settings, Modellist=["Tiny", "Tiny@Base"], Imagelist=["a", "a-2"]))


def a_config(folder: Path, **changes: Any) -> Config:
    values = {
        "task": "DN",
        "sr": 1,
        "Modellist": ["Tiny"],
        "TextImg_path": "images",
        "Imagelist": ["a.png"],
        "patch_path": "bank.npz",
        "prefix": "TEST",
        "w": 8,
        "h": 8,
        "ROI_size": 8,
        "mask_block_size": 8,
        "coarse_num": 1,
        "fine_num": 1,
        "load_previous": 0,
        "tol": 0.01,
        "output_dir": "out",
    }
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump({**values, **changes}))
    return read_config(path)


NAMES = st.one_of(
    st.text(max_size=40),
    st.text("ab./\\ ~-_:'\"<>&é\u0301\u202e\0\n", max_size=12),
    st.sampled_from(sorted({*REFUSED_NAMES.values(), *REFUSED_FILE_NAMES.values(), *ACCEPTED_NAMES.values()})),
)


@hypothesis_settings(deadline=None, max_examples=150)
@given(prefix=NAMES, image=NAMES, model=NAMES)
def test_results_of_any_names_lie_below_the_output_folder(prefix: str, image: str, model: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        try:
            config = a_config(folder, prefix=prefix, Imagelist=[image], Modellist=[model], output_dir=str(folder))
        except InputError as error:
            assert str(error)
            return
        paths = result_paths(config, next(iter(config.models)), image, ROI_OF_TESTS)
        places = [getattr(paths, key) for key, value in vars(type(paths)).items() if isinstance(value, property)]
        assert len(places) > 10
        for place in (*places, report_path(config)):
            assert folder in place.resolve().parents
            assert ".." not in place.parts
            assert all(len(part.encode()) < 200 for part in place.relative_to(folder).parts)


@hypothesis_settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=NAMES.filter(lambda name: "/" not in name and "\0" not in name))
@example(name=ACCEPTED_NAMES["apostrophe"])
@example(name=ACCEPTED_NAMES["combining"])
def test_runs_of_any_names_write_below_the_output_folder(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        images = Path(folder) / "images"
        images.mkdir()
        try:
            Image.fromarray(photograph(16, 16)).save(images / name, "png")
        except (OSError, ValueError):  # this system has no such name
            return
        small = {"TextImg_path": str(images), "w": 8, "h": 8, "ROI_size": 8, "inference": "dense"}
        named = {"prefix": name, "Imagelist": [name], "output_dir": str(Path(folder) / "out")}
        config = write_config(tmp_path, settings | small | named)
        before = contents(tmp_path)
        capsys.readouterr()
        ends = {run_main(f"{script}.py", "--config", str(config)) for script in SCRIPTS}
        written = contents(tmp_path).keys() - before.keys()
        assert len(ends) == 1
        if ends == {2}:
            assert capsys.readouterr().err.count("\n") == len(SCRIPTS)
            assert not written
        else:
            assert ends == {0}
            assert written
            out = Path(folder).relative_to(tmp_path) / "out"
            assert all(path == str(out) or path.startswith(f"{out}/") for path in written)
            reports = list((Path(folder) / "out").glob("*.html"))
            assert_page_is_sound(reports[0].read_text(), [name])


SCRIPTS = ("demo_causal_effect_calculation", "demo_CEM_generation")


class Page(HTMLParser):
    """Collect the tags of a page, the names of their attributes, and all text outside the page's own script."""

    def __init__(self) -> None:
        super().__init__()
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, tuple(name for name, _ in attributes)))
        self.texts += [value for name, value in attributes if name in ("alt", "aria-label") and value]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def parse(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    return page


def assert_page_is_sound(text: str, names: list[str]) -> None:
    """Check that the page has only the tags and attributes of the template, and the names as text."""
    page, plain = parse(text), parse(a_page("plain", 'class="lam"' in text, 'id="patches"' in text))
    assert set(page.shape) == set(plain.shape)
    assert [tag for tag, _ in page.shape].count("script") == [tag for tag, _ in plain.shape].count("script")
    shown = "\n".join(page.texts)
    for name in names:
        assert name in shown


PHOTOGRAPH = photograph(16, 16)


def a_page(text: str, with_lam: bool = True, with_patches: bool = True) -> str:
    """Render the report of one model on one image, with ``text`` wherever text of the user or of a file goes."""
    roi = np.zeros((2, 2), dtype=bool)
    made = make_map(30.0, {"coarse": Draws.of_published(np.full((2, 2, 2), 29.0))}, 0.01, roi)
    manifest = {
        "provenance": {"device": text, "image_sha256": text, "versions": {text: text}},
        "inference": text,
        "batch_size": text,
        "reach": ["11", "11"],
        "wall_seconds": 1.0,
    }
    panel = Panel(text, text, "DN", ROI_OF_TESTS, 8, 30.0, PHOTOGRAPH, PHOTOGRAPH, PHOTOGRAPH, made)
    column = Column(
        panel,
        (ShownMap("psnr", "dB", 30.0, made, np.zeros((2, 2, 2), np.int64) if with_patches else None),),
        manifest,
        ShownLam(png_bytes(PHOTOGRAPH), (text,), np.ones((2, 2))) if with_lam else None,
        text if with_lam else None,
        filters=text if with_lam else None,
        paths=(text, png_bytes(PHOTOGRAPH)) if with_lam else None,
        note=text if with_lam else "",
    )
    with tempfile.TemporaryDirectory() as folder:
        config = a_config(Path(folder))
    # No config accepts names like these, but the page must not depend on that.
    config = config.model_copy(
        update={"prefix": text, "TextImg_path": text, "patch_path": text, "output_dir": text, "Modellist": [text]}
    )
    return render_sections(config, [Section(text, ROI_OF_TESTS, [column], [])], PatchBank(PHOTOGRAPH[None]))


@hypothesis_settings(deadline=None, max_examples=60)
@given(text=st.one_of(NAMES, st.text("</>\"'&;!-[]= \nscriptonload", max_size=40)).filter(lambda text: text.strip()))
@example(text=ATTACK)
@example(text="<!--")
@example(text="<![CDATA[")
@example(text="</title><svg onload=alert(1)>")
def test_no_text_is_markup(text: str) -> None:
    page = parse(a_page(text))
    assert page.shape == parse(a_page("plain")).shape


@needs_chromium
def test_no_text_is_run_by_a_browser(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(a_page(ATTACK))
    with launched() as browser, open_page(browser, tmp_path / "page.html") as page:
        assert page.evaluate("window.taken") is None
        assert page.locator("h2").first.inner_text() == ATTACK
        assert page.locator("script").count() == 2


def test_names_of_files_do_not_steer_the_terminal(
    tmp_path: Path, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images" / "\x1b[2Ja\nb\u202e.png").write_bytes(b"")
    config = write_config(tmp_path, settings | {"Imagelist": ["none.png"]})
    assert run_main("demo_causal_effect_calculation.py", "--config", str(config)) == 2
    message = capsys.readouterr().err
    assert message.rstrip("\n").isprintable()
    assert r"\x1b[2Ja" in message


def test_a_model_s_name_cannot_be_a_path(tmp_path: Path, settings: dict[str, Any]) -> None:
    weights = {"Base": registry.Checkpoint("Tiny.pth"), "../../up": registry.Checkpoint("../../up.pth")}
    registry.register([dataclasses.replace(registry.find("Tiny", "DN"), name="../Tiny", checkpoints=weights)])
    torch.save(Tiny().state_dict(), checkpoints.MODEL_DIR / "Tiny.pth")
    # Such a word names a checkpoint file, whose stem is the label.
    for word in ("../Tiny", "Tiny@../../up"):
        with pytest.raises(InputError, match="there is no file"):
            prepare(make_config(tmp_path, settings, Modellist=[word]))
