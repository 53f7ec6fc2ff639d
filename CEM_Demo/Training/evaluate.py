"""Measure how well models restore folders of photographs: ``python -m CEM_Demo.Training.evaluate --help``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from CEM_Demo.command_line import exit_code
from CEM_Demo.device import DEVICES, check_device_name, pick_device
from CEM_Demo.errors import InputError
from CEM_Demo.files import write_bytes
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.method.metric import to_picture
from CEM_Demo.ModelZoo import find, load_network, split_name
from CEM_Demo.ModelZoo.checkpoints import checkpoint_path
from CEM_Demo.tasks import Degradation, Scene, make_scene
from CEM_Demo.Training.data import IMAGE_SUFFIXES

# ITU-R BT.601 luma of 8-bit RGB, the Y of Y-PSNR.
LUMA = np.array([65.481, 128.553, 24.966]) / 255
LUMA_OFFSET = 16


@dataclass(frozen=True)
class Score:
    """Mean PSNR (dB) of a set of images before and after restoration."""

    images: int
    degraded: float
    restored: float


def image_psnr(restored: UInt8Image, truth: UInt8Image, task: str, scale: int) -> float:
    """Compute the PSNR (dB): for SR that of the luma without a border of ``scale`` pixels, else that of RGB."""
    found, wanted = restored.astype(np.float64), truth.astype(np.float64)
    if task == "SR":
        found, wanted = (_luma(image)[scale:-scale, scale:-scale] for image in (found, wanted))
    return float(10 * np.log10(255**2 / np.mean((found - wanted) ** 2)))


def evaluate(net: nn.Module, folder: Path, task: str, scale: int, device: torch.device) -> Score:
    """Restore every photograph of ``folder``, degraded as the task degrades it.

    Raises:
        InputError: the folder holds no photographs.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f"--photographs {folder}: no photographs there")
    scenes = (make_scene(Degradation(task, scale), read_image(path), path.name) for path in paths)
    # Channels last is up to twice as fast, and the last digits do not matter here.
    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    scores = [_score(net, scene, task, device) for scene in scenes]
    degraded, restored = np.mean(scores, axis=0)
    return Score(len(scores), float(degraded), float(restored))


def _score(net: nn.Module, scene: Scene, task: str, device: torch.device) -> tuple[float, float]:
    with torch.inference_mode():
        # A picture lies pixel by pixel in memory, so it is channels last already.
        degraded = torch.from_numpy(scene.degraded).to(device).permute(2, 0, 1)[None].float().div(255)
        restored = to_picture(net(degraded)[0])
    height, width = scene.ground_truth.shape[:2]
    before = np.array(Image.fromarray(scene.degraded).resize((width, height), Image.Resampling.BICUBIC))
    truth = scene.ground_truth
    return image_psnr(before, truth, task, scene.scale), image_psnr(restored, truth, task, scene.scale)


def _luma(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return image @ LUMA + LUMA_OFFSET


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m CEM_Demo.Training.evaluate", description=__doc__)
    parser.add_argument("--task", required=True, choices=("SR", "DN", "DR"))
    parser.add_argument("--models", required=True, nargs="+", help="names of the zoo, such as EDSR@Demo")
    parser.add_argument("--photographs", required=True, nargs="+", type=Path, help="folders of clean photographs")
    parser.add_argument("--factor", type=int, default=4, help="scale of the SR networks (default 4)")
    parser.add_argument("--device", default="auto", type=check_device_name, help=f"one of {DEVICES}")
    parser.add_argument("--record", action="store_true", help="keep the figures in the JSON files beside the weights")
    arguments = parser.parse_args(words)
    return exit_code(lambda: print_table(arguments))


def print_table(arguments: argparse.Namespace) -> None:
    """Evaluate each model on each set, and print a line of Markdown for each pair."""
    scale = arguments.factor if arguments.task == "SR" else 1
    print("| task | model | set | PSNR in | PSNR out | parameters | trained |\n|---|---|---|---|---|---|---|")
    device = pick_device(arguments.device)
    for model in arguments.models:
        net = load_network(model, arguments.task, scale)
        parameters = sum(weight.numel() for weight in net.parameters())
        record_path = _record_path(model, arguments.task)
        record = json.loads(record_path.read_text()) if record_path.is_file() else None
        figures = {}
        for folder in arguments.photographs:
            score = evaluate(net, folder, arguments.task, scale, device)
            figures[folder.name] = {"in": round(score.degraded, 2), "out": round(score.restored, 2)}
            line = f"| {arguments.task} | {model} | {folder.name} | {score.degraded:.2f} | {score.restored:.2f} "
            print(f"{line}| {parameters:,} | {_training_of(record)} |", flush=True)
        if arguments.record and record is not None:
            record["psnr"] = {**record.get("psnr", {}), **figures}
            write_bytes(record_path, (json.dumps(record, indent=2) + "\n").encode())


def _record_path(model: str, task: str) -> Path:
    name, training = split_name(model)
    return checkpoint_path(find(name, task), training).with_suffix(".json")


def _training_of(record: dict[str, Any] | None) -> str:
    """Say what the JSON file beside bundled weights tells about their training."""
    if record is None:
        return "by its authors"
    return f"{record['steps']:,} steps, {record['seconds'] / 60:.0f} min, {record['machine']}"


if __name__ == "__main__":
    sys.exit(main())
