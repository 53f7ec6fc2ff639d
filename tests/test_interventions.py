"""The patch bank and the plan of the draws."""

from __future__ import annotations

import hashlib
import re
import tarfile
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import CEM_Demo
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.method.plan import make_plan
from CEM_Demo.patches.sharpness import patch_sharpness
from shared_material import SHARED, needs

BUNDLED = Path(CEM_Demo.__file__).parent / "patches" / "patches.npz"
PUBLISHED = SHARED / "patches" / "patch-DIV2K-8-Demo.tar.gz"


def test_bundled_bank_follows_the_published_sharpness() -> None:
    bank = load_bank(BUNDLED)
    assert bank.patches.shape == (10_000, 8, 8, 3)
    assert bank.patches.dtype == np.uint8
    quantiles = np.percentile(patch_sharpness(bank.patches), [1, 5, 25, 50, 75, 95, 99])
    np.testing.assert_allclose(quantiles, [0, 7, 20, 56, 148, 368, 543], atol=2)


@needs(PUBLISHED)
def test_published_folder_loads_and_its_names_are_the_sharpness(tmp_path: Path) -> None:
    with tarfile.open(PUBLISHED) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = next(path.parent for path in tmp_path.rglob("*.png"))
    bank = load_bank(folder)
    assert len(bank) == 10_000
    names = sorted(path.name for path in folder.glob("*.png"))
    named = [float(re.findall(r"sharpness-([0-9.]+)\.png", name)[0]) for name in names]
    found = patch_sharpness(bank.patches)
    assert (found == named).sum() == 10_000, (names[:3], found[:3])


def test_folder_and_packed_bank_are_the_same(tmp_path: Path) -> None:
    patches = np.random.RandomState(0).randint(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    folder = tmp_path / "patches"
    folder.mkdir()
    for number in (3, 1, 4, 0, 2):
        Image.fromarray(patches[number]).save(folder / f"{number}.png")
    np.savez(tmp_path / "packed.npz", patches=patches)
    (folder / "notes.txt").write_text("no patch")
    np.testing.assert_array_equal(load_bank(folder).patches, patches)
    assert load_bank(folder).digest == load_bank(tmp_path / "packed.npz").digest


def test_patches_of_another_size_are_resized_by_the_cubic_rule() -> None:
    bank = load_bank(BUNDLED)
    found = bank.at_size(np.array([7, 9000]), 2)
    expected = cv2.resize(bank.patches[9000], (2, 2), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(found[1], expected)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**40),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    draws=st.integers(1, 5),
    bank_size=st.integers(1, 10_000),
)
def test_plan_tries_every_block_and_draw_once_in_order(
    seed: int, rows: int, columns: int, draws: int, bank_size: int
) -> None:
    plan = make_plan(seed, "a.png", "coarse", (rows, columns), draws, bank_size)
    everything = plan[:]
    expected = [(row, column, draw) for row in range(rows) for column in range(columns) for draw in range(draws)]
    found = zip(everything.rows.tolist(), everything.columns.tolist(), everything.draws.tolist(), strict=True)
    assert list(found) == expected
    assert ((everything.patches >= 0) & (everything.patches < bank_size)).all()
    assert plan.digest == make_plan(seed, "a.png", "coarse", (rows, columns), draws, bank_size).digest


def test_draws_depend_on_their_key_alone() -> None:
    few = make_plan(0, "a.png", "fine", (4, 5), 3, 10_000)[:]
    many = make_plan(0, "a.png", "fine", (4, 5), 7, 10_000)[:]
    shared = many.draws < 3
    np.testing.assert_array_equal(many.patches[shared], few.patches)
    np.testing.assert_array_equal(many.noise_seeds[shared], few.noise_seeds)
    for other in (
        make_plan(1, "a.png", "fine", (4, 5), 3, 10_000),
        make_plan(0, "b.png", "fine", (4, 5), 3, 10_000),
        make_plan(0, "a.png", "coarse", (4, 5), 3, 10_000),
    ):
        assert (other[:].patches != few.patches).mean() > 0.9
    assert len(np.unique(many.noise_seeds)) == len(many)


def test_plan_of_chosen_blocks_keeps_their_draws() -> None:
    plan = make_plan(0, "a.png", "fine", (4, 5), 3, 100)
    chosen = np.zeros((4, 5), dtype=bool)
    chosen[1, 2] = chosen[3, 4] = True
    part = plan.up_to(3 * chosen)[:]
    assert part.rows.tolist() == [1] * 3 + [3] * 3
    np.testing.assert_array_equal(part.patches[:3], plan[:].patches[(1 * 5 + 2) * 3 :][:3])


def test_any_slice_of_a_plan_is_that_of_the_whole() -> None:
    chosen = np.random.RandomState(0).rand(6, 7) < 0.5
    for plan in (
        make_plan(3, "a.png", "fine", (6, 7), 5, 100),
        make_plan(3, "a.png", "fine", (6, 7), 5, 100).up_to(5 * chosen),
    ):
        whole = plan[:]
        for size in (1, 4, 13, 1000):
            parts = [plan[start : start + size] for start in range(0, len(plan), size)]
            for field in fields(whole):
                found = np.concatenate([getattr(part, field.name) for part in parts])
                np.testing.assert_array_equal(found, getattr(whole, field.name))


def test_draws_are_those_of_earlier_versions() -> None:
    plan = make_plan(0, "a.png", "coarse", (32, 32), 3, 10_000)
    assert plan.digest == "e74da4ec28097aa39abc9d7c2aff1e4eeafd5f451f8a778caefcb72e01b8f95b"
    joined = b"".join(getattr(plan[:], field.name).tobytes() for field in fields(plan[:]))
    assert plan.digest == hashlib.sha256(joined).hexdigest()
