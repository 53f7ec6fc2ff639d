"""Whatever is wrong with the user's input, one line says what it is and how to fix it, and nothing is written."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import broken_files as broken
from CEM_Demo.command_line import read_config
from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.images import read_image
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.ModelZoo import checkpoints, registry
from CEM_Demo.ModelZoo.checkpoints import read_state_dict
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.mat_files import read_mat
from CEM_Demo.results.paths import result_paths
from CEM_Demo.run.preparation import prepare
from CEM_Demo.Training.train import Recipe, start
from conftest import ROI_OF_TESTS, Tiny, contents, make_config, photograph, run_main, write_config

ROOT = Path(__file__).parents[1]
CALCULATION, GENERATION = "demo_causal_effect_calculation.py", "demo_CEM_generation.py"
ABSENT_DEVICE = "mps" if not torch.backends.mps.is_available() else "cuda"

Settings = dict[str, Any]
Refused = Callable[..., None]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Give a check that a run of ``config.yml`` ends with one line that holds some words, and writes nothing."""
    monkeypatch.chdir(tmp_path)

    def check(*expected: str, script: str = CALCULATION, words: tuple[str, ...] = ()) -> None:
        before = contents(tmp_path)
        assert run_main(script, "--config", "config.yml", *words) == 2
        message = capsys.readouterr().err
        assert message.startswith("error: ")
        assert message.count("\n") == 1
        assert message.strip().isprintable()
        assert len(message) < 700
        for part in expected:
            assert part in message
        assert contents(tmp_path) == before

    return check


def only_file(settings: Settings, name: str, content: bytes) -> None:
    """Let the run's one image be these bytes."""
    (Path(settings["TextImg_path"]) / name).write_bytes(content)
    settings["Imagelist"] = [name]


# Keys --------------------------------------------------------------------------------------------------------------

KEYS: list[tuple[Settings, str]] = [
    ({"task": "XX"}, "task: input should be 'SR', 'DN', 'DR' or 'PAIR', not 'XX'"),
    ({"task": ["DN"]}, "task: "),
    ({"tol": "0.01dB"}, "tol: input should be a valid number, not '0.01dB' (dB"),
    ({"tol": "0.01"}, "tol: input should be a valid number, not '0.01'; write it without quotes"),
    ({"tol": -1.0}, "tol: input should be greater than or equal to 0"),
    ({"tol": float("nan")}, "tol: "),
    ({"tol": float("inf")}, "tol: "),
    ({"tol": None}, "tol: "),
    ({"tolerance": 0.01}, "unknown key tolerance; did you mean tol?"),
    ({"ROIsize": 16}, "unknown key ROIsize; did you mean ROI_size?"),
    ({"Imagelst": []}, "unknown key Imagelst; did you mean Imagelist?"),
    ({"\x1b[31mred": 1}, r"unknown key \x1b[31mred"),
    ({"sr": 0}, "sr: "),
    ({"sr": 4}, "sr must be 1 for task DN"),
    ({"sr": 2.5}, "sr: "),
    ({"sr": True}, "sr: "),
    ({"task": "SR", "sr": 5, "mask_block_size": 5}, "sr: must be 1, 2, 3, 4 or 8, not 5"),
    ({"task": "SR", "sr": 2, "Modellist": ["EDSR@Demo"]}, "EDSR@Demo restores at scale 4 only, and sr is 2"),
    ({"task": "SR", "sr": 1, "Modellist": ["SRResNet@Demo"]}, "SRResNet@Demo restores at scale 4 only, and sr is 1"),
    ({"task": "SR", "sigma": 25}, "sigma is a key of task DN, not of SR"),
    ({"sigma": 0}, "sigma: input should be greater than 0"),
    ({"sigma": float("inf")}, "sigma: "),
    ({"sigma": "25"}, "sigma: input should be a valid number, not '25'; write it without quotes"),
    ({"rain": "large"}, "rain is a key of task DR, not of DN"),
    ({"task": "DR", "rain": "huge"}, "rain: input should be 'small', 'medium', 'large' or 'random', not 'huge'"),
    ({"input_path": "inputs"}, "input_path is a key of task PAIR, not of DN"),
    ({"degradation": "degrade.py:blur"}, "degradation is a key of task PAIR, not of DN"),
    ({"task": "PAIR"}, "the key input_path is missing"),
    ({"task": "PAIR", "input_path": "nowhere"}, "input_path: the folder nowhere does not exist"),
    ({"task": "PAIR", "input_path": "a/../b", "TextImg_path": "b"}, "input_path is the folder TextImg_path"),
    ({"Modellist": "Tiny"}, "Modellist: input should be a valid list, not 'Tiny'; write [Tiny]"),
    ({"Modellist": []}, "Modellist: "),
    ({"Modellist": [None]}, "Modellist.0: input should be a valid string, not None"),
    ({"Modellist": ["Tinny"]}, "no DN model is called 'Tinny'; did you mean Tiny?"),
    ({"Modellist": ["EDSR"]}, "EDSR is a SR model, not one for task DN"),
    ({"Modellist": ["Tiny@Mine"]}, "Tiny@Mine: no such training (known: Base)"),
    ({"Modellist": ["Tiny@"]}, "is not a model name"),
    ({"Modellist": ["Tiny", "Tiny"]}, "Tiny is listed more than once"),
    ({"Modellist": ["FFDNet"]}, "the checkpoint ffdnet_color.pth is missing; put it into"),
    ({"task": "SR", "Modellist": ["EDSR-9999999-9999999"]}, "no such training"),
    ({"batch_size_dict": {"Tinny": 4}}, "did you mean Tiny?"),
    ({"batch_size_dict": {"Tiny": 0}}, "batch_size_dict.Tiny: "),
    ({"batch_size_dict": ["Tiny"]}, "batch_size_dict: input should be a valid dictionary"),
    ({"batch_size": 0}, "batch_size: "),
    ({"Imagelist": []}, "Imagelist: "),
    ({"Imagelist": [1]}, "Imagelist.0: input should be a valid string, not 1; put it in quotes"),
    ({"Imagelist": ["none.png"]}, "none.png: no such image"),
    ({"Imagelist": ["Photo_1.PNG"]}, "did you mean photo_1.png?"),
    ({"TextImg_path": "nowhere"}, "the folder nowhere does not exist"),
    ({"TextImg_path": "bank.npz"}, "bank.npz is not a folder"),
    ({"TextImg_path": "x" * 300}, "File name too long"),
    ({"patch_path": "x" * 300}, "File name too long"),
    ({"output_dir": "x" * 300}, "File name too long"),
    ({"Modellist": ["x" * 300 + "/mine.pth"]}, "File name too long"),
    ({"Modellist": ["x" * 300 + "/mine.py:Net"]}, "File name too long"),
    ({"task": "PAIR", "input_path": "x" * 300}, "File name too long"),
    ({"TextImg_path": "a\0b"}, r"TextImg_path: 'a\x00b' holds a NUL character"),
    ({"patch_path": "nowhere"}, "patch_path: nowhere does not exist; the bundled bank is"),
    ({"patch_path": 3}, "patch_path: input should be a valid string, not 3; put it in quotes"),
    ({"output_dir": "bank.npz"}, "bank.npz is not a folder; give another output_dir"),
    ({"output_dir": "bank.npz/below"}, "bank.npz is not a folder"),
    ({"output_dir": "a\0b"}, "output_dir: "),
    ({"prefix": ""}, "prefix: "),
    ({"prefix": 7}, "prefix: input should be a valid string, not 7; put it in quotes"),
    ({"prefix": False}, "prefix: input should be a valid string, not False; put it in quotes"),
    ({"w": -8}, "w: "),
    ({"w": "8"}, "w: input should be a valid integer, not '8'; write it without quotes"),
    ({"w": "left"}, "w: input should be a valid integer, not 'left' (column of the ROI's left edge"),
    ({"w": 8.5}, "w: "),
    ({"w": 10**40}, "w: "),
    ({"w": 32}, "reaches out of photo_1.png, which is 40 x 32 pixels"),
    ({"h": 17}, "w, h, ROI_size: the ROI (columns 8 to 24, rows 17 to 33) reaches out of photo_1.png"),
    ({"ROI_size": 64}, "reaches out of photo_1.png"),
    ({"ROI_size": 0}, "ROI_size: "),
    ({"ROI_size": -16}, "ROI_size: "),
    ({"mask_block_size": 0}, "mask_block_size: "),
    ({"mask_block_size": -8}, "mask_block_size: "),
    ({"mask_block_size": 8.0}, "mask_block_size: "),
    ({"mask_block_size": "8px"}, "mask_block_size: "),
    ({"mask_block_size": 33}, "mask_block_size 33 is larger than photo_1.png, which is 40 x 32 pixels"),
    ({"task": "SR", "sr": 4, "mask_block_size": 6}, "mask_block_size 6 is not a multiple of sr 4; try 4"),
    ({"coarse_num": 0}, "coarse_num: "),
    ({"coarse_num": 10**9}, "coarse_num: input should be less than or equal to 100000"),
    ({"fine_num": "many"}, "fine_num: "),
    ({"load_previous": "1"}, "load_previous: "),
    ({"load_previous": 2}, "load_previous: "),
    ({"seed": -1}, "seed: "),
    ({"seed": 0.5}, "seed: "),
    ({"device": "tpu"}, "device: 'tpu' is not a device; write one of auto, cuda, cuda:1, mps, cpu"),
    ({"device": "cuda:-1"}, "device: 'cuda:-1' is not a device"),
    ({"device": "cuda:99"}, "device: no cuda"),
    ({"device": ABSENT_DEVICE}, f"device: no {ABSENT_DEVICE} device here"),
    ({"inference": "fast"}, "inference: input should be 'auto', 'dense' or 'incremental'"),
]


@pytest.mark.parametrize(("changes", "expected"), KEYS, ids=[str(changes)[:60] for changes, _ in KEYS])
def test_mistakes_in_keys(
    tmp_path: Path, settings: Settings, refused: Refused, changes: Settings, expected: str
) -> None:
    write_config(tmp_path, {**settings, **changes})
    refused(expected)


@pytest.mark.parametrize("key", [name for name, field in Config.model_fields.items() if field.is_required()])
def test_a_missing_key_is_named(tmp_path: Path, settings: Settings, refused: Refused, key: str) -> None:
    del settings[key]
    write_config(tmp_path, settings)
    refused(f"the key {key} is missing")
    refused(f"the key {key} is missing", script=GENERATION)


# The config's text -------------------------------------------------------------------------------------------------

BILLION_LAUGHS = "\n".join(
    ["a: &a [x]", *(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))]
)
MERGES = "\n".join(
    [
        "a: &a {k: 1}",
        *(f"{b}: &{b}\n  <<: [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    ]
)

TEXTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "a config is a list of `key: value` lines"),
    "comments alone": (b"# nothing\n", "a config is a list of `key: value` lines"),
    "unclosed list": (b"a: [1", "not valid YAML in line 1"),
    "list": (b"- 1\n- 2\n", "a config is a list of `key: value` lines"),
    "words": (b"just words", "a config is a list of `key: value` lines"),
    "number as a key": (b"1: 2", "a config is a list of `key: value` lines"),
    "list as a key": (b"? [a]\n: 2", "not valid YAML in line 1: found unhashable key"),
    "tabs": (b"task: DN\nbatch_size_dict:\n\tTiny: 4\n", "not valid YAML in line 3: found character '\\t'"),
    "twice the same key": (b"w: 8\nh: 8\nw: 16\n", "in line 3: the key w is there already, in line 1; remove one"),
    "twice the same model": (b"batch_size_dict:\n  Tiny: 4\n  Tiny: 8\n", "the key Tiny is there already, in line 2"),
    "binary": (bytes(range(256)), "not a text file"),
    "Latin-1": ("prefix: Köln".encode("latin-1"), "not a text file"),
    "an image": (broken.image(), "not a text file"),
    "a checkpoint": (broken.saved(broken.state_dict()), "not a text file"),
    "two documents": (b"task: DN\n---\ntask: SR\n", "expected a single document in the stream, but found another"),
    "a Python object": (
        b"task: !!python/object/apply:os.system ['touch trapped']",
        "python/object/apply:os.system is not",
    ),
    "a Python name": (b"w: !!python/name:os.system ''", "is not allowed; write a plain value"),
    "a tag that fails": (b"w: !!int ''", "is not allowed; write a plain value"),
    "billion laughs": (BILLION_LAUGHS.encode(), "*a stands for a list or a mapping; write it out"),
    "billion merges": (MERGES.encode(), "*a stands for a list or a mapping; write it out"),
    "alias of itself": (b"a: &a [*a]", "*a stands for a list or a mapping"),
    "unknown alias": (b"w: *h", "found undefined alias"),
    "deep": (b"w: " + b"[" * 2_000, "nested too deeply"),
    "JSON lines": (b'{"task": "DN"}\n{"task": "SR"}', "not valid YAML in line 2"),
    "octal": (b"w: 010", "the key task is missing"),
}


@pytest.mark.parametrize(("content", "expected"), TEXTS.values(), ids=TEXTS)
def test_what_is_no_config(tmp_path: Path, refused: Refused, content: bytes, expected: str) -> None:
    (tmp_path / "config.yml").write_bytes(content)
    refused("config.yml: ", expected)


OVERRIDES = {
    "no value": ("tol", "--set tol: write key=value"),
    "unknown": ("sigmaa=25", "unknown key sigmaa"),
    "no YAML": ("tol=[", "--set tol: '[' is not a YAML value"),
    "tag": ("w=!!python/name:os.system ''", "is not allowed; write a plain value"),
    "deep": ("w=" + "[" * 2_000, "--set w: "),
    "octal": ("w=010", "w: input should be a valid integer, not '010'"),
    "base 60": ("w=1:30", "w: input should be a valid integer, not '1:30'"),
}


@pytest.mark.parametrize(("word", "expected"), OVERRIDES.values(), ids=OVERRIDES)
def test_mistakes_in_overrides(tmp_path: Path, settings: Settings, refused: Refused, word: str, expected: str) -> None:
    write_config(tmp_path, settings)
    refused(expected, words=("--set", word))


ACCEPTED_TEXTS: dict[str, tuple[str, str, Any]] = {
    "exponent": ("tol: 1e-3", "tol", 0.001),
    "exponent with a point": ("tol: 1.5E+0", "tol", 1.5),
    "whole number for a fraction": ("tol: 0", "tol", 0),
    "date": ("prefix: 2024-13-45", "prefix", "2024-13-45"),
    "alias of a value": ("w: &side 8\nh: *side", "h", 8),
    "umlauts": ("prefix: Köln", "prefix", "Köln"),
    "large seed": ("seed: 18446744073709551616", "seed", 2**64),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("text", "key", "value"), ACCEPTED_TEXTS.values(), ids=ACCEPTED_TEXTS)
def test_what_a_config_may_hold(
    tmp_path: Path, settings: Settings, text: str, key: str, value: Any, encoding: str
) -> None:
    for word in text.splitlines():
        settings.pop(word.partition(":")[0], None)
    path = write_config(tmp_path, settings)
    path.write_text(f"{path.read_text()}\n{text}\n", encoding=encoding)
    assert getattr(read_config(path), key) == value


# Images ------------------------------------------------------------------------------------------------------------

IMAGES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "an empty file; give a whole file of one of the formats PNG, JPEG"),
    "truncated": (broken.image()[:900], "not a readable image"),
    "header alone": (broken.image()[:20], "not a readable image"),
    "truncated JPEG": (broken.image(kind="jpeg")[:400], "not a readable image"),
    "corrupt": (broken.image().replace(b"IDAT", b"IDAT\0\0\0"), "not a readable image"),
    "no pixels": (broken.png(0, 0), "not a readable image"),
    "text": (b"hello", "not a readable image"),
    "web page": (broken.WEB_PAGE, "not a readable image"),
    "Git LFS": (broken.LFS_POINTER, "not a readable image"),
    "EPS, which a program would draw": (broken.image(kind="eps"), "not a readable image"),
    "one pixel": (broken.encoded(Image.new("RGB", (1, 1)), "png"), "which is 1 x 1 pixels"),
    "decompression bomb": (broken.png(40_000, 40_000), "has more than the 178,956,970 pixels that are read; crop it"),
    "floating point": (broken.wide(np.full((32, 40), 0.5, np.float32)), "not 8 or 16 bits wide; save it as an 8-bit"),
    "32 bits": (broken.wide(np.full((32, 40), 1 << 20, np.int32)), "not 8 or 16 bits wide"),
}


@pytest.mark.parametrize(("content", "expected"), IMAGES.values(), ids=IMAGES)
def test_what_is_no_image(tmp_path: Path, settings: Settings, refused: Refused, content: bytes, expected: str) -> None:
    only_file(settings, "odd.png", content)
    write_config(tmp_path, settings)
    refused("odd.png", expected)


def test_a_folder_is_no_image(tmp_path: Path, settings: Settings, refused: Refused) -> None:
    (tmp_path / "images" / "odd.png").mkdir()
    write_config(tmp_path, settings | {"Imagelist": ["odd.png"]})
    refused("odd.png: no such image; it is a folder")


def test_the_other_unicode_form_of_a_name_is_told(tmp_path: Path, settings: Settings, refused: Refused) -> None:
    (tmp_path / "images" / "e\u0301.png").write_bytes(broken.image())
    write_config(tmp_path, settings | {"Imagelist": ["\u00e9.png"]})
    refused("no such image", "in another Unicode form of the same letters")


PHOTOGRAPH = photograph(32, 40)
GREY = np.repeat(PHOTOGRAPH[..., :1], 3, axis=2)

ACCEPTED_IMAGES: dict[str, tuple[bytes, np.ndarray | None, str | None]] = {
    "RGB": (broken.image(), PHOTOGRAPH, None),
    "alpha": (broken.image("RGBA"), PHOTOGRAPH, None),
    "grey": (broken.image("L"), None, None),
    "black and white": (broken.image("1"), None, None),
    "palette": (broken.image("P"), None, None),
    "WebP": (broken.image(kind="webp", lossless=True), PHOTOGRAPH, None),
    "BMP": (broken.image(kind="bmp"), PHOTOGRAPH, None),
    "16-bit grey PNG": (broken.deep("png"), GREY, None),
    "16-bit grey TIFF": (broken.deep("tiff"), GREY, None),
    "16-bit RGB PNG": (broken.deep_rgb(), PHOTOGRAPH, None),
    "32-bit TIFF of 16 bits": (broken.wide(PHOTOGRAPH[..., 0].astype(np.int32) * 257), GREY, None),
    "CMYK JPEG": (broken.image("CMYK", "jpeg"), None, "converted from CMYK to RGB"),
    "animated GIF": (broken.animation("gif"), None, "the first of its 2 frames is taken"),
    "animated PNG": (broken.animation("png"), PHOTOGRAPH, "the first of its 2 frames is taken"),
    "pages of a TIFF": (broken.animation("tiff"), PHOTOGRAPH, "the first of its 2 frames is taken"),
    "broken EXIF": (broken.image(kind="jpeg", quality=95, exif=b"Exif\0\0nonsense"), None, None),
}


@pytest.mark.parametrize(("content", "pixels", "notice"), ACCEPTED_IMAGES.values(), ids=ACCEPTED_IMAGES)
def test_which_images_are_read_and_what_is_said(
    tmp_path: Path, content: bytes, pixels: np.ndarray | None, notice: str | None
) -> None:
    path = tmp_path / "odd.png"
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = read_image(path)
    assert (found.shape, found.dtype) == ((32, 40, 3), np.uint8)
    if pixels is not None:
        np.testing.assert_array_equal(found, pixels)
    assert [notice in str(one.message) for one in caught] == ([True] if notice else [])


def test_a_photograph_is_turned_as_viewers_turn_it(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    path.write_bytes(broken.turned_photograph())
    with pytest.warns(UserWarning, match="turned upright"):
        found = read_image(path)
    assert found.shape == (40, 32, 3)
    assert np.abs(found.astype(int) - np.rot90(PHOTOGRAPH, -1)).mean() < 8


# Patch banks -------------------------------------------------------------------------------------------------------

FEW = broken.patches()

BANKS: dict[str, tuple[str, bytes, str]] = {
    "empty": ("b.npz", b"", "is not a bank of patches"),
    "truncated": ("b.npz", broken.packed(patches=FEW)[:200], "is not a bank of patches"),
    "corrupt": (
        "b.npz",
        broken.packed(patches=FEW)[:80] + b"\0" * 40 + broken.packed(patches=FEW)[120:],
        "is not a bank",
    ),
    "text": ("b.npz", b"hello", "is not a bank of patches"),
    "an image": ("b.png", broken.image(), "is not a bank of patches"),
    "a packed folder": ("b.tar.gz", b"\x1f\x8b\x08" + bytes(50), "unpack it and give its folder of .png files"),
    "other archive": ("b.npz", broken.archive(readme=b"hello"), "has no array `patches`, it holds readme"),
    "other name": (
        "b.npz",
        broken.packed(images=FEW, labels=FEW),
        "it holds images, labels; pack patches with np.savez",
    ),
    "objects": ("b.npz", broken.packed(patches=np.array([FEW, None], dtype=object)), "is not a bank of patches"),
    "one array": ("b.npy", broken.traps(Path("/nowhere"))["npy"], "is not a bank of patches"),
    "floating point": ("b.npz", broken.packed(patches=FEW / 255), "holds float64 (5, 8, 8, 3), not square RGB patches"),
    "grey": ("b.npz", broken.packed(patches=FEW[..., 0]), "holds uint8 (5, 8, 8), not square RGB"),
    "channels first": ("b.npz", broken.packed(patches=FEW.transpose(0, 3, 1, 2)), "holds uint8 (5, 3, 8, 8)"),
    "not square": ("b.npz", broken.packed(patches=FEW[:, :5]), "holds uint8 (5, 5, 8, 3)"),
    "no patches": (
        "b.npz",
        broken.packed(patches=FEW[:0]),
        "holds no patches; CEM_Demo/patches/patches.npz has 10,000",
    ),
    "no pixels": ("b.npz", broken.packed(patches=FEW[:, :0, :0]), "holds no patches"),
    "a number": ("b.npz", broken.packed(patches=3), "holds int64 (), not square RGB patches"),
}


@pytest.mark.parametrize(("name", "content", "expected"), BANKS.values(), ids=BANKS)
def test_what_is_no_packed_bank(
    tmp_path: Path, settings: Settings, refused: Refused, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    write_config(tmp_path, settings | {"patch_path": name})
    refused(f"patch_path: {name}", expected)


def small(width: int, height: int) -> bytes:
    return broken.encoded(Image.new("RGB", (width, height)), "png")


FOLDERS: dict[str, tuple[dict[str, bytes], str]] = {
    "empty": ({}, "the folder patches holds no .png patches; the bundled bank is"),
    "other files": ({"a.jpg": small(8, 8)}, "holds no .png patches, only a.jpg"),
    "mixed sizes": ({"a.png": small(8, 8), "b.png": small(9, 9)}, "b.png is 9 x 9 pixels, a.png is 8 x 8; all must be"),
    "not square": ({"a.png": small(8, 6)}, "holds uint8 (1, 6, 8, 3), not square RGB patches"),
    "not an image": ({"a.png": small(8, 8), "b.png": b"hello"}, "b.png: not a readable image"),
    "empty file": ({"a.png": b""}, "a.png: an empty file"),
}


@pytest.mark.parametrize(("files", "expected"), FOLDERS.values(), ids=FOLDERS)
def test_what_is_no_folder_of_patches(
    tmp_path: Path, settings: Settings, refused: Refused, files: dict[str, bytes], expected: str
) -> None:
    (tmp_path / "patches").mkdir()
    for name, content in files.items():
        (tmp_path / "patches" / name).write_bytes(content)
    write_config(tmp_path, settings | {"patch_path": "patches"})
    refused(expected)


# Checkpoints -------------------------------------------------------------------------------------------------------

WHOLE = broken.saved(broken.state_dict())
NAN = torch.full((3,), float("nan"))
FAULTS = "Tiny.pth: not a checkpoint of plain weights: "

CHECKPOINTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", f"{FAULTS}the file is empty; fetch it again"),
    "web page": (broken.WEB_PAGE, f"{FAULTS}it is a web page, such as a failed download leaves; fetch it again"),
    "Git LFS": (broken.LFS_POINTER, f"{FAULTS}it is a pointer of Git LFS; run git lfs pull"),
    "truncated": (WHOLE[: len(WHOLE) // 2], f"{FAULTS}it is damaged, or of another format; fetch it again"),
    "truncated, legacy": (broken.saved(broken.state_dict(), _use_new_zipfile_serialization=False)[:600], "is damaged"),
    "noise": (np.random.RandomState(0).bytes(5000), "it is damaged, or of another format"),
    "image": (broken.image(), "it is damaged, or of another format"),
    "other archive": (broken.packed(patches=FEW), "it is damaged, or of another format"),
    "whole network": (broken.saved(Tiny()), "it holds objects of conftest.Tiny, which is not run; save the network's"),
    "with arguments": (broken.with_arguments(), "it holds objects of argparse.Namespace"),
    "TorchScript": (broken.scripted(), "it is a TorchScript program; save the network's state_dict()"),
    "list": (broken.saved([1, 2]), "Tiny.pth: holds no state dict"),
    "tensor": (broken.saved(NAN), "Tiny.pth: holds no state dict"),
    "no weights": (broken.saved({}), "Tiny.pth: holds no state dict"),
    "numbers": (broken.saved({"lr": 0.1}), "Tiny.pth: 'lr' is not a tensor, so this is not a state dict"),
    "numbered keys": (broken.saved({1: NAN, 2: NAN}), "missing: first.weight"),
    "other network": (broken.saved({"conv.weight": NAN}), "missing: first.weight, first.bias, last.weight and 1 more"),
    "missing key": (broken.saved(broken.state_dict(last__bias=None)), "Tiny.pth): missing: last.bias; give it"),
    "extra key": (broken.saved(broken.state_dict(extra=NAN)), "unknown: extra; give it the weights of this"),
    "misshapen": (broken.saved(broken.state_dict(last__bias=torch.zeros(7))), "of another shape: last.bias"),
    "NaN": (broken.saved(broken.state_dict(last__bias=NAN)), "holds NaN: last.bias; use one saved before"),
    "infinite": (broken.saved(broken.state_dict(last__bias=NAN.fill_(np.inf))), "returns NaN or infinite values"),
    "whole numbers": (broken.saved(broken.state_dict(last__bias=torch.ones(3, dtype=int))), "quantized or sparse"),
    "sparse": (broken.saved(broken.state_dict(last__bias=torch.ones(3).to_sparse())), "quantized or sparse: last.bias"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_what_is_no_checkpoint(
    tmp_path: Path, settings: Settings, refused: Refused, content: bytes, expected: str
) -> None:
    (tmp_path / "models" / "Tiny.pth").write_bytes(content)
    write_config(tmp_path, settings)
    refused("Tiny", expected)


def test_a_folder_is_no_checkpoint(tmp_path: Path, settings: Settings, refused: Refused) -> None:
    (tmp_path / "models" / "Tiny.pth").unlink()
    (tmp_path / "models" / "Tiny.pth").mkdir()
    write_config(tmp_path, settings)
    refused("Tiny@Base: the checkpoint Tiny.pth is a folder; put it into", "models")


def test_the_last_model_s_checkpoint_is_tried_before_the_first_model_runs(
    tmp_path: Path, settings: Settings, refused: Refused
) -> None:
    weights = {"Base": registry.Checkpoint("Second.pth")}
    registry.register([registry.Entry("Second", ("DN",), Tiny, "", weights, scale=1, reach=2)])
    (tmp_path / "models" / "Second.pth").write_bytes(broken.WEB_PAGE)
    write_config(tmp_path, settings | {"Modellist": ["Tiny", "Second"]})
    refused("Second.pth")


@pytest.mark.parametrize(
    "content",
    [
        broken.saved({key: value.half() for key, value in broken.state_dict().items()}),
        broken.saved({key: value.double() for key, value in broken.state_dict().items()}),
        broken.saved({"params": broken.state_dict(), "epoch": 3}),
        broken.saved(broken.state_dict(), _use_new_zipfile_serialization=False),
    ],
    ids=["half", "double", "beside an epoch", "legacy format"],
)
def test_which_checkpoints_are_read(tmp_path: Path, tiny_model: str, content: bytes) -> None:
    path = checkpoints.MODEL_DIR / "Tiny.pth"
    path.write_bytes(content)
    net = Tiny()
    checkpoints.load_strictly(net, read_state_dict(path), "Tiny")
    for key, value in broken.state_dict().items():
        torch.testing.assert_close(net.state_dict()[key], value, rtol=1e-3, atol=1e-4)


# No file runs code -------------------------------------------------------------------------------------------------


def restore_training(path: Path) -> None:
    start(Tiny(), Recipe(), torch.device("cpu")).restore(path)


READERS: dict[str, Callable[[Path], Any]] = {
    "config": read_config,
    "image": read_image,
    "patch bank": load_bank,
    "checkpoint": read_state_dict,
    "training state": restore_training,
    "effects": read_mat,
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("trap", broken.traps(Path()))
def test_no_reader_runs_what_a_file_holds(tmp_path: Path, trap: str, reader: Callable[[Path], Any]) -> None:
    path, marker = tmp_path / "file", tmp_path / "trapped"
    path.write_bytes(broken.traps(marker)[trap])
    with pytest.raises(InputError, match="file"):
        reader(path)
    assert not marker.exists()


@pytest.mark.parametrize("trap", broken.traps(Path()))
def test_no_manifest_runs_what_it_holds(tmp_path: Path, settings: Settings, trap: str) -> None:
    paths, marker = (
        result_paths(make_config(tmp_path, settings), "Tiny", "photo_1.png", ROI_OF_TESTS),
        tmp_path / "trapped",
    )
    paths.pair_folder.mkdir(parents=True)
    paths.manifest.write_bytes(broken.traps(marker)[trap])
    with pytest.raises(InputError, match="manifest"):
        read_manifest(paths)
    assert not marker.exists()


def test_the_traps_are_real(tmp_path: Path) -> None:
    marker = tmp_path / "trapped"
    (tmp_path / "file").write_bytes(broken.traps(marker)["torch"])
    torch.load(tmp_path / "file", weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("content", [b"", broken.WEB_PAGE, WHOLE, broken.saved([1]), broken.saved({"net": {}})])
def test_what_is_no_training_state(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"state\.pt"):
        restore_training(tmp_path / "state.pt")


# Networks ----------------------------------------------------------------------------------------------------------


def add_network(forward: Callable[[Tensor], Any]) -> str:
    """Register a network with Tiny's weights and a forward of its own."""

    class Odd(Tiny):
        def forward(self, x: Tensor) -> Any:
            return forward(x)

    weights = {"Base": registry.Checkpoint("Tiny.pth")}
    registry.register([registry.Entry("Odd", ("DN", "SR"), Odd, "", weights, scale=1)])
    return "Odd"


def fail(x: Tensor) -> Tensor:
    raise ZeroDivisionError("on purpose")


NETWORKS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "larger": (lambda x: x.repeat(1, 1, 2, 2), "Odd returns (3, 64, 80), not an RGB image of (3, 32, 40); check sr"),
    "smaller": (lambda x: x[..., 1:], "Odd returns (3, 32, 39), not an RGB image of (3, 32, 40)"),
    "grey": (lambda x: x[:, :1], "Odd returns (1, 32, 40), not an RGB image"),
    "alpha": (lambda x: torch.cat((x, x[:, :1]), 1), "Odd returns (4, 32, 40), not an RGB image"),
    "no batch": (lambda x: x[0], "Odd returns (3, 32, 40) for (1, 3, 32, 40), not one image N x 3 x H x W"),
    "two images": (lambda x: torch.cat((x, x)), "Odd returns (2, 3, 32, 40) for (1, 3, 32, 40)"),
    "list": (lambda x: [x, x], "Odd returns a list; its forward must return the restored image alone"),
    "tuple": (lambda x: (x, None), "Odd returns a tuple; its forward must"),
    "dictionary": (lambda x: {"out": x}, "Odd returns a dict; its forward must"),
    "nothing": (lambda x: None, "Odd returns a NoneType; its forward must"),
    "array": (lambda x: x.numpy(), "Odd returns a ndarray; its forward must"),
    "NaN": (lambda x: x / 0 * 0, "Odd returns NaN or infinite values; check its checkpoint"),
    "infinite": (lambda x: x + np.inf, "Odd returns NaN or infinite values"),
    "8 bits": (lambda x: (x * 255).byte(), "Odd returns torch.uint8; its forward must return floating point values"),
    "complex": (lambda x: x + 0j, "Odd returns torch.complex64; its forward must return floating point"),
    "failing": (
        fail,
        "Odd fails on an input of 40 x 32 pixels: ZeroDivisionError: on purpose (test_bad_input.py, line",
    ),
    "other type": (lambda x: torch.conv2d(x, torch.ones(3, 3, 1, 1).half()), "Odd fails on an input of 40 x 32 pixels"),
    "too small": (lambda x: torch.nn.functional.pad(x, (50,) * 4, mode="reflect"), "Odd fails on an input"),
}


@pytest.mark.parametrize("words", [(), ("--dry-run",)], ids=["run", "dry-run"])
@pytest.mark.parametrize(("forward", "expected"), NETWORKS.values(), ids=NETWORKS)
def test_networks_that_restore_no_image(
    tmp_path: Path,
    settings: Settings,
    refused: Refused,
    forward: Callable[[Tensor], Any],
    expected: str,
    words: tuple[str, ...],
) -> None:
    write_config(tmp_path, settings | {"Modellist": [add_network(forward)]})
    refused(expected, words=words)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_networks_may_return_any_floating_point_type(tmp_path: Path, settings: Settings, dtype: torch.dtype) -> None:
    model = add_network(lambda x: x.to(dtype))
    path = write_config(tmp_path, settings | {"Modellist": [model], "inference": "dense"})
    assert run_main(CALCULATION, "--config", str(path)) == 0
    assert run_main(GENERATION, "--config", str(path)) == 0


# Through the scripts themselves ------------------------------------------------------------------------------------


def test_scripts_end_with_one_line_and_exit_code_2(tmp_path: Path) -> None:
    demo = str(ROOT / "demo-DN_CEM.yml")
    mistakes = {
        (CALCULATION, "--config", "none.yml"): "demo-SR_CEM.yml",
        (GENERATION, "--config", demo): "run demo_causal_effect_calculation.py first",
    }
    running = [
        (subprocess.Popen([sys.executable, ROOT / script, *words], cwd=tmp_path, stdout=-1, stderr=-1), expected)
        for (script, *words), expected in mistakes.items()
    ]
    for process, expected in running:
        printed, message = (stream.decode() for stream in process.communicate())
        assert process.returncode == 2, message
        assert printed == ""
        assert message.startswith("error: ") and message.count("\n") == 1
        assert expected in message
    assert contents(tmp_path) == {}


def test_a_valid_run_is_not_refused(tmp_path: Path, settings: Settings) -> None:
    assert prepare(make_config(tmp_path, settings)).posed_images
