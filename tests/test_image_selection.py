"""Images that a config names by patterns, and ROIs that it leaves to their structure, become plain lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.run.preparation import prepare
from conftest import make_config, photograph


@pytest.fixture
def folder(settings: dict[str, Any]) -> Path:
    """A folder of photo_1.png, three more images, and files that are none."""
    images = Path(settings["TextImg_path"])
    for name in ("street_2.png", "street_10.png", "B.jpg"):
        Image.fromarray(photograph(32, 40)).save(images / name)
    for name in ("street.txt", ".street_0.png"):
        (images / name).write_text("no image")
    return images


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("all", ["B.jpg", "photo_1.png", "street_10.png", "street_2.png"]),
        ("*.png", ["photo_1.png", "street_10.png", "street_2.png"]),
        (["street_2.png", "street*"], ["street_2.png", "street_10.png"]),
        (["street_?.png", "B.jpg"], ["street_2.png", "B.jpg"]),
        (["*_[12].png"], ["photo_1.png", "street_2.png"]),
    ],
)
def test_patterns_become_the_images_that_there_are(
    tmp_path: Path, settings: dict[str, Any], folder: Path, given: Any, names: list[str]
) -> None:
    assert make_config(tmp_path, settings, Imagelist=given).Imagelist == names


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"Imagelist": "rain*"}, r"config.yml: Imagelist: no image matches 'rain\*'; there: B.jpg, photo_1.png"),
        ({"Imagelist": "photo_1.png"}, r"write \[photo_1.png\]"),
        ({"Imagelist": ["*.png", "photo_1.png"]}, "photo_1.png is listed more than once"),
        ({"Imagelist": "all", "TextImg_path": "nowhere"}, "TextImg_path: the folder nowhere does not exist"),
        ({"Imagelist": "all", "TextImg_path": 3}, "TextImg_path: input should be a valid string"),
        ({"Imagelist": ["*", 3]}, "Imagelist.4: input should be a valid string, not 3"),
        ({"rois": {"auto": 0}}, "rois.auto: input should be greater than 0, not 0"),
        ({"rois": {"auto": 2, "size": 8}}, "rois.size is unknown"),
        ({"rois": {"auto": 2}, "w": 8}, "rois takes the place of w; remove one or the other"),
        (
            {"rois": {"auto": 2}, "ROI_size": 64},
            "rois: auto finds no ROI of 64 x 64 pixels in photo_1.png, which is 40",
        ),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, settings: dict[str, Any], folder: Path, changes: dict[str, Any], complaint: str
) -> None:
    placed = {} if "rois" not in changes else {"w": None, "h": None, "ROI_size": None}
    with pytest.raises(InputError, match=complaint):
        make_config(tmp_path, settings, **{**placed, **changes})


def with_stripes(side: int, boxes: list[tuple[int, int]]) -> np.ndarray:
    """A flat image with stripes in boxes of 16 x 16 pixels, given by their left and top edges."""
    image = np.full((side, side, 3), 128, np.uint8)
    for left, top in boxes:
        image[top : top + 16 : 2, left : left + 16] = 255
    return image


def test_rois_are_chosen_by_structure_on_the_block_grid(tmp_path: Path, settings: dict[str, Any]) -> None:
    images = Path(settings["TextImg_path"])
    Image.fromarray(with_stripes(64, [(32, 40), (0, 8)])).save(images / "two.png")
    Image.fromarray(with_stripes(50, [(16, 0)])).save(images / "one.png")
    automatic = {"rois": {"auto": 2}, "w": None, "h": None, "Imagelist": ["one.png", "two.png"]}
    config = make_config(tmp_path, settings, **automatic)
    assert set(config.rois_of("two.png")) == {ROI.square(32, 40, 16), ROI.square(0, 8, 16)}
    assert config.rois_of("one.png")[0] == ROI.square(16, 0, 16)
    assert config.ROI_size is None
    assert all(posed.grid.is_aligned(roi) for posed in prepare(config).posed_images for roi in posed.rois)
    assert make_config(tmp_path, settings, **automatic) == config


def test_rois_lie_in_what_super_resolution_leaves_of_an_image(tmp_path: Path, settings: dict[str, Any]) -> None:
    image = with_stripes(50, [])
    image[32:50:2, 34:50] = 255
    Image.fromarray(image).save(Path(settings["TextImg_path"]) / "corner.png")
    changes = {"task": "SR", "sr": 4, "Imagelist": "corner*", "rois": {"auto": 1}, "w": None, "h": None}
    config = make_config(tmp_path, settings, **changes, Modellist=["EDSR@Demo"])
    assert config.rois_of("corner.png") == [ROI.square(32, 32, 16)]


def test_a_flat_image_has_no_rois(tmp_path: Path, settings: dict[str, Any]) -> None:
    Image.fromarray(with_stripes(40, [])).save(Path(settings["TextImg_path"]) / "flat.png")
    with pytest.raises(InputError, match="in flat.png, which is flat; leave the image out"):
        make_config(tmp_path, settings, Imagelist="flat*", rois={"auto": 1}, w=None, h=None)
