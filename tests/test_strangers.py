"""Whatever network a stranger brings, a run ends in a map equal to a plain loop of the network, or in one clear line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat
from torch import Tensor, nn

import strangers
from CEM_Demo.errors import InputError
from CEM_Demo.explain import Settings as Choices
from CEM_Demo.explain import explain
from CEM_Demo.geometry import ROI
from CEM_Demo.images import read_image
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.method.plan import make_plan
from CEM_Demo.networks.randomness import seeded
from CEM_Demo.tasks import Degradation, make_scene
from conftest import photograph, run_main, write_config
from spandrel_networks import REGISTERED, Registered

Settings = dict[str, Any]
MODES = ("auto", "dense", "incremental")
SIDE = 48  # of the network's input
BLOCK = 16
DECIBELS = 5e-3
ROWS: list[tuple[str, ...]] = []


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Print what the sweep found when it is over (shown by ``pytest -s``)."""
    yield
    header = ("network", "parameters", "inference taken", "seconds", "result")
    widths = [max(len(row[place]) for row in (header, *ROWS)) for place in range(len(header))]
    for row in (header, *ROWS):
        print("\n" + "  ".join(map(str.ljust, row, widths)).rstrip(), end="")
    print()


@pytest.fixture
def sweep(tmp_path: Path, settings: Settings) -> Settings:
    """One draw on each block of a small image, and no fine stage."""
    bank = np.random.RandomState(2).randint(0, 256, (20, BLOCK, BLOCK, 3)).astype(np.uint8)
    np.savez(tmp_path / "bank.npz", patches=bank)
    return settings | {"coarse_num": 1, "fine_num": 1, "tol": 90.0, "batch_size": 4}


def at_scale(settings: Settings, scale: int) -> Settings:
    """The config for networks of a scale, whose input has ``SIDE`` x ``SIDE`` pixels."""
    Image.fromarray(photograph(SIDE * scale, SIDE * scale)).save(Path(settings["TextImg_path"]) / "photo_1.png")
    roi = {"w": 8 * scale, "h": 12 * scale, "ROI_size": 16 * scale}
    task = {"task": "DN", "sr": 1} if scale == 1 else {"task": "SR", "sr": scale}
    return settings | task | roi | {"mask_block_size": BLOCK * scale}


def by_hand(settings: Settings, network: Callable[[Tensor], Tensor]) -> np.ndarray:
    """PSNR of every intervention: one image at a time, pasted by slicing, in float64 NumPy."""
    image = read_image(Path(settings["TextImg_path"]) / "photo_1.png")
    scene = make_scene(Degradation(settings["task"], settings["sr"]), image, "photo_1.png")
    bank = load_bank(Path(settings["patch_path"]))
    shape = SIDE // BLOCK, SIDE // BLOCK
    plan = make_plan(0, "photo_1.png", "coarse", shape, 1, len(bank))[:]
    roi = ROI.square(settings["w"], settings["h"], settings["ROI_size"])
    values = np.zeros((*shape, 1))
    for i in range(len(plan)):
        top, left = int(plan.rows[i]) * BLOCK, int(plan.columns[i]) * BLOCK
        patch = bank.at_size(plan.patches[i : i + 1], BLOCK)
        changed = scene.degraded.copy()
        block = scene.degrade_patches(patch, np.array([[top, left]]), plan.noise_seeds[i : i + 1])[0]
        changed[top : top + BLOCK, left : left + BLOCK] = block
        with torch.inference_mode():
            output = network(torch.from_numpy(changed).permute(2, 0, 1)[None].float() / 255)
        rounded = np.round(output[0].permute(1, 2, 0).float().numpy().clip(0, 1) * np.float32(255))
        error = (rounded - scene.ground_truth.astype(np.float64))[roi.window]
        values[plan.rows[i], plan.columns[i]] = 10 * np.log10(255**2 / np.mean(error**2))
    return values


def run(folder: Path, settings: Settings, mode: str) -> int:
    config = write_config(folder, settings | {"inference": mode, "prefix": mode})
    return run_main("demo_causal_effect_calculation.py", "--config", str(config))


def measured(settings: Settings, label: str, mode: str) -> tuple[np.ndarray, str]:
    """What a run left on the disk: the PSNRs of its coarse stage, and the inference it took."""
    run_folder = next(Path(settings["output_dir"]).glob(f"*-CEM/{mode}-*"))
    values = loadmat(run_folder / label / "photo_1.png-PSNR_all_perturb-C1.mat")["PSNR"]
    manifest = json.loads((run_folder / label / "photo_1.png" / "manifest.json").read_text())
    return values.reshape(SIDE // BLOCK, SIDE // BLOCK, 1), manifest["inference"]


def sweep_over(
    folder: Path, settings: Settings, capsys: Any, model: Any, label: str, network: Callable[[Tensor], Tensor], line: str
) -> None:
    """All modes: a map as of a plain loop, or exit code 2 and one line; with ``line`` the latter, and that in it."""
    expected = None if line else by_hand(settings, network)
    parameters = sum(weight.numel() for weight in network.parameters()) if isinstance(network, nn.Module) else 0
    for mode in MODES:
        begin = time.perf_counter()
        code = run(folder, settings | {"Modellist": [model]}, mode)
        said = capsys.readouterr().err.splitlines()
        errors = [spoken for spoken in said if spoken.startswith("error: ")]
        taken, result = "", "".join(errors)
        if code == 0:
            found, taken = measured(settings, label, mode)
            difference = np.abs(found - expected).max() if expected is not None else np.inf
            result = f"map, within {difference:.4f} dB"
        seconds = f"{time.perf_counter() - begin:.1f}"
        ROWS.append((f"{label}, {mode}", f"{parameters:,}", taken, seconds, result[:160]))
        if line or mode == "incremental" and code == 2:
            assert code == 2 and len(errors) == 1, result
            assert line in result if line else "torch.export cannot flatten" in result or "draws" in result, result
        else:
            assert code == 0, result
            assert difference <= DECIBELS, result


def padded(network: Callable[[Tensor], Tensor], registered: Registered) -> Callable[[Tensor], Tensor]:
    """The network on the image, continued by reflection to the sides that it takes; cropped."""

    def restore(image: Tensor) -> Tensor:
        extra = -SIDE % registered.multiple
        wide = np.pad(image.numpy(), ((0, 0), (0, 0), (0, extra), (0, extra)), mode="reflect")
        return network(torch.from_numpy(wide))[..., : SIDE * registered.scale, : SIDE * registered.scale]

    return restore if SIDE % registered.multiple else network


@pytest.mark.parametrize(
    "registered",
    [pytest.param(one, id=one.label, marks=[pytest.mark.slow] if one.slow else []) for one in REGISTERED],
)
def test_networks_of_spandrel(tmp_path: Path, sweep: Settings, capsys: Any, registered: Registered) -> None:
    spandrel = pytest.importorskip("spandrel")
    state = registered.build().state_dict()
    torch.save({"params": state}, tmp_path / f"{registered.label}.pth")
    if registered.line:
        network: Callable[[Tensor], Tensor] = registered.build()
    else:
        descriptor = spandrel.ModelLoader().load_from_state_dict(state)
        descriptor.model.eval()
        network = padded(lambda image: descriptor._call_fn(descriptor.model, image), registered)
    settings = at_scale(sweep, registered.scale)
    sweep_over(
        tmp_path, settings, capsys, str(tmp_path / f"{registered.label}.pth"), registered.label, network, registered.line
    )


CODE = Path(strangers.__file__)


def build(kind: type[nn.Module]) -> nn.Module:
    """As a config builds it: always with the same weights."""
    with seeded(0):
        return kind().eval()


def reference(kind: type[nn.Module]) -> Callable[[Tensor], Tensor]:
    """What each style means, written out: how its images get in and out."""
    network = build(kind)

    def last(returned: Any) -> Tensor:
        while not isinstance(returned, Tensor):
            returned = list(returned.values())[-1] if isinstance(returned, dict) else returned[-1]
        return returned

    def on_larger(image: Tensor) -> Tensor:
        wide = np.pad(image.numpy(), ((0, 0), (0, 0), (0, 64 - SIDE), (0, 64 - SIDE)), mode="reflect")
        return network(torch.from_numpy(wide))[..., :SIDE, :SIDE]

    ways: dict[type[nn.Module], Callable[[Tensor], Tensor]] = {
        strangers.Half: network.float(),
        strangers.OneSize: on_larger,
        strangers.OnBytes: lambda image: network(255 * image) / 255,
        strangers.OnSigned: lambda image: (network(2 * image - 1) + 1) / 2,
        strangers.Grey: lambda image: torch.cat([network(channel) for channel in image.split(1, dim=1)], dim=1),
    }
    return ways.get(kind, lambda image: last(network(image)))


# What torch.export does not flatten: run densely, and refused where incremental inference is asked for.
@pytest.mark.parametrize("kind", strangers.MAPPED, ids=lambda kind: kind.__name__)
def test_styles_found_in_the_wild(
    tmp_path: Path, sweep: Settings, capsys: Any, kind: type[nn.Module]
) -> None:
    model = f"{CODE}:{kind.__name__}"
    sweep_over(tmp_path, at_scale(sweep, 1), capsys, model, kind.__name__, reference(kind), line="")
