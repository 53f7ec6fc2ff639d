"""Whatever network a stranger brings, a run ends in the map of a plain loop of the network, or in one clear line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import loadmat
from torch import Tensor, nn

import strangers
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


@pytest.fixture
def sweep(tmp_path: Path, settings: Settings) -> Settings:
    """Make one draw on each block of a small image, without a fine stage."""
    bank = np.random.RandomState(2).randint(0, 256, (20, BLOCK, BLOCK, 3)).astype(np.uint8)
    np.savez(tmp_path / "bank.npz", patches=bank)
    return settings | {"coarse_num": 1, "fine_num": 1, "tol": 90.0, "batch_size": 4}


def at_scale(settings: Settings, scale: int) -> Settings:
    """Make the config for networks of a scale, whose input has ``SIDE`` x ``SIDE`` pixels."""
    Image.fromarray(photograph(SIDE * scale, SIDE * scale)).save(Path(settings["TextImg_path"]) / "photo_1.png")
    roi = {"w": 8 * scale, "h": 12 * scale, "ROI_size": 16 * scale}
    task = {"task": "DN", "sr": 1} if scale == 1 else {"task": "SR", "sr": scale}
    return settings | task | roi | {"mask_block_size": BLOCK * scale}


def by_hand(settings: Settings, network: Callable[[Tensor], Tensor]) -> np.ndarray:
    """Measure the PSNR of every intervention: one image at a time, pasted by slicing, in float64 NumPy."""
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
    """Read what a run left on the disk: the PSNRs of its coarse stage, and the inference that it used."""
    run_folder = next(Path(settings["output_dir"]).glob(f"*-CEM/{mode}-*"))
    values = loadmat(run_folder / label / "photo_1.png-PSNR_all_perturb-C1.mat")["PSNR"]
    manifest = json.loads((run_folder / label / "photo_1.png" / "manifest.json").read_text())
    return values.reshape(SIDE // BLOCK, SIDE // BLOCK, 1), manifest["inference"]


@dataclass(frozen=True)
class Stranger:
    """A network to sweep over: its entry in ``Modellist``, its label there, what it does, and its size.

    ``line`` is part of what a run ends with if there can be no map.
    """

    model: Any
    label: str
    restore: Callable[[Tensor], Tensor]
    parameters: int
    line: str = ""


# Why incremental inference may be refused: GFPGAN's graph draws noise, although its output does not depend on it.
NOT_INCREMENTAL = ("torch.export cannot flatten", "draws random numbers (aten.")


def run_in_all_modes(folder: Path, settings: Settings, stranger: Stranger, capsys: Any, record: Any) -> None:
    """Each run ends in the map of a plain loop, or in exit code 2 and one line that names the cause."""
    expected = None if stranger.line else by_hand(settings, stranger.restore)
    for mode in MODES:
        begin = time.perf_counter()
        code = run(folder, settings | {"Modellist": [stranger.model]}, mode)
        seconds = f"{time.perf_counter() - begin:.1f}"
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        taken, result, difference = "", "".join(errors), np.inf
        if code == 0 and expected is not None:
            found, taken = measured(settings, stranger.label, mode)
            difference = float(np.abs(found - expected).max())
            result = f"map, within {difference:.4f} dB"
        record("row", [stranger.label, mode, f"{stranger.parameters:,}", taken, seconds, result[:120]])
        if code == 2:
            assert len(errors) == 1
            assert stranger.line in result
            assert stranger.line or mode == "incremental" and any(line in result for line in NOT_INCREMENTAL), result
        else:
            assert code == 0 and difference <= DECIBELS, result


def padded(network: Callable[[Tensor], Tensor], registered: Registered) -> Callable[[Tensor], Tensor]:
    """Run the network on the image, extended by reflection to the sides that it takes, and crop the output."""

    def restore(image: Tensor) -> Tensor:
        extra = -SIDE % registered.multiple
        wide = np.pad(image.numpy(), ((0, 0), (0, 0), (0, extra), (0, extra)), mode="reflect")
        return network(torch.from_numpy(wide))[..., : SIDE * registered.scale, : SIDE * registered.scale]

    return restore if SIDE % registered.multiple else network


@pytest.mark.parametrize(
    "registered",
    [pytest.param(one, id=one.label, marks=[pytest.mark.slow] if one.slow else []) for one in REGISTERED],
)
def test_networks_of_spandrel(
    tmp_path: Path, sweep: Settings, capsys: Any, record_property: Any, registered: Registered
) -> None:
    spandrel = pytest.importorskip("spandrel")
    net = registered.build()
    file = tmp_path / f"{registered.label}.pth"
    torch.save({"params": net.state_dict()}, file)
    restore: Callable[[Tensor], Tensor] = net
    if not registered.line:
        descriptor = spandrel.ModelLoader().load_from_state_dict(net.state_dict())
        descriptor.model.eval()
        restore = padded(lambda image: descriptor._call_fn(descriptor.model, image), registered)
    parameters = sum(weight.numel() for weight in net.parameters())
    stranger = Stranger(str(file), registered.label, restore, parameters, registered.line)
    run_in_all_modes(tmp_path, at_scale(sweep, registered.scale), stranger, capsys, record_property)


def test_every_architecture_that_spandrel_registers_is_swept() -> None:
    spandrel = pytest.importorskip("spandrel")
    registered = {known.architecture.id for known in spandrel.MAIN_REGISTRY.architectures()}
    assert registered <= {one.module for one in REGISTERED}


CODE = Path(strangers.__file__)


def build(kind: type[nn.Module]) -> nn.Module:
    """Build the network as a config does, always with the same weights."""
    with seeded(0):
        return kind().eval()


def reference(kind: type[nn.Module]) -> Callable[[Tensor], Tensor]:
    """Write out what each style means: how its images get in and out."""
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


@pytest.mark.parametrize("kind", strangers.MAPPED, ids=lambda kind: kind.__name__)
def test_styles_found_in_the_wild(
    tmp_path: Path, sweep: Settings, capsys: Any, record_property: Any, kind: type[nn.Module]
) -> None:
    """What torch.export cannot flatten runs densely, and is refused if incremental inference is asked for."""
    parameters = sum(weight.numel() for weight in build(kind).parameters())
    stranger = Stranger(f"{CODE}:{kind.__name__}", kind.__name__, reference(kind), parameters)
    run_in_all_modes(tmp_path, at_scale(sweep, 1), stranger, capsys, record_property)


REFUSED = [
    (strangers.OnCuda, "NVIDIA"),
    (strangers.Noisy, "it draws random numbers"),
    (strangers.ActiveDropout, "it draws random numbers"),
    (strangers.Remembering, "it gives another image each time"),
]


@pytest.mark.parametrize(("kind", "line"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_what_cannot_work_ends_in_one_line(
    tmp_path: Path, sweep: Settings, capsys: Any, record_property: Any, kind: type[nn.Module], line: str
) -> None:
    if kind is strangers.OnCuda and torch.cuda.is_available():
        pytest.skip("there is a GPU, so it works")
    stranger = Stranger(f"{CODE}:{kind.__name__}", kind.__name__, reference(kind), 0, line)
    run_in_all_modes(tmp_path, at_scale(sweep, 1), stranger, capsys, record_property)


@pytest.mark.parametrize("kind", [strangers.Noisy, strangers.ActiveDropout], ids=lambda kind: kind.__name__)
def test_networks_that_draw_are_run_with_one_seed(tmp_path: Path, sweep: Settings, kind: type[nn.Module]) -> None:
    settings = at_scale(sweep, 1) | {"Modellist": [f"{CODE}:{kind.__name__}"], "allow_random": 1}
    network = build(kind)

    def restore(image: Tensor) -> Tensor:
        with seeded(0):
            return network(image)

    assert run(tmp_path, settings, "dense") == 0
    np.testing.assert_allclose(measured(settings, kind.__name__, "dense")[0], by_hand(settings, restore), atol=DECIBELS)
