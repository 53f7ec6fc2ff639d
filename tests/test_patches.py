"""Banks of patches that are cut from photographs of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from CEM_Demo.images import read_image
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.patches.__main__ import main
from CEM_Demo.patches.banks import bank_picture
from CEM_Demo.patches.cutting import QUANTILES, find_candidates, sharpness_map, wanted_sharpness
from CEM_Demo.patches.sharpness import patch_sharpness
from conftest import contents, photograph

TEST_IMAGES = Path(__file__).parents[1] / "CEM_Demo" / "test_images" / "Test1"


@pytest.mark.parametrize("side", [2, 5, 8])
def test_the_map_has_the_sharpness_of_the_patch_at_each_pixel(side: int) -> None:
    image = photograph(23, 31)
    found = sharpness_map(image, side)
    assert found.shape == (24 - side, 32 - side)
    for row, column in ((0, 0), (3, 11), (23 - side, 31 - side)):
        assert found[row, column] == patch_sharpness(image[None, row : row + side, column : column + side])[0]


@pytest.mark.parametrize(("size", "count"), [(8, 600), (6, 400)])
def test_a_bank_of_ones_own_photographs_is_as_sharp_as_the_published_one(tmp_path: Path, size: int, count: int) -> None:
    words = ["cut", "--images", str(TEST_IMAGES), "--size", str(size), "--count", str(count), "--out"]
    assert main([*words, str(tmp_path / "my.npz")]) == 0
    patches = load_bank(tmp_path / "my.npz").patches
    assert patches.shape == (count, size, size, 3)
    assert len(np.unique(patches.reshape(count, -1), axis=0)) == count
    reached = np.quantile(patch_sharpness(patches), QUANTILES[2:-2])
    np.testing.assert_allclose(reached, wanted_sharpness(size)[2:-2], rtol=0.15)
    assert main([*words, str(tmp_path / "again.npz")]) == 0
    np.testing.assert_array_equal(load_bank(tmp_path / "again.npz").patches, patches)
    np.testing.assert_array_equal(read_image(tmp_path / "my.png"), bank_picture(patches))


def test_the_picture_shows_every_patch_once() -> None:
    patches = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3) * 10
    picture = bank_picture(patches)
    assert picture.shape == (2 * 5 + 1, 3 * 5 + 1, 3)
    assert [int(picture[row, column, 0]) for row in (2, 7) for column in (2, 7, 12)] == [0, 10, 20, 30, 40, 255]


def test_of_very_many_places_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("CEM_Demo.patches.cutting.MOST_PLACES", 100)
    found = find_candidates([photograph(30, 40), photograph(20, 20)], 8)
    assert 50 <= len(found.row) <= 102 and set(found.photograph) == {0, 1}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--images", "nowhere"], "the folder nowhere does not exist"),
        (["--images", "empty"], "holds no image of 8 x 8 pixels or more"),
        (["--images", "small"], "of 10000 patches cannot be cut; add photographs, or cut fewer"),
        (["--images", "small", "--size", "1"], "--size: 1 is no side of a patch"),
        (["--images", "small", "--count", "0"], "--count must be 1 or more"),
        (["--images", "small", "--out", "bank.zip"], "bank.zip must end with .npz"),
        (["--images", "broken"], "not a readable image"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_end_in_one_line_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    complaint: str,
) -> None:
    for folder in ("empty", "small", "broken"):
        (tmp_path / folder).mkdir()
    Image.fromarray(photograph(16, 16)).save(tmp_path / "small" / "one.png")
    (tmp_path / "broken" / "one.png").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    assert main(["cut", "--out", "my.npz", *words]) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1
    assert contents(tmp_path) == before
