"""Train a model of the zoo and put its weights where ``Model@Demo`` finds them: ``python -m CEM_Demo.Training``."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import asdict, fields
from pathlib import Path

import torch

from CEM_Demo.command_line import exit_code
from CEM_Demo.device import pick_device
from CEM_Demo.files import is_file, write_atomically, write_bytes
from CEM_Demo.ModelZoo import MODEL_DIR, build_network, find
from CEM_Demo.ModelZoo.checkpoints import sha256_of
from CEM_Demo.Training.data import TrainingPairs
from CEM_Demo.Training.train import Recipe, TrainingState, start, train

SAVE_EVERY = 200
DEMO_SCALE = 4


def parse_arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m CEM_Demo.Training", description=__doc__)
    parser.add_argument("--task", required=True, choices=("SR", "DN", "DR"))
    parser.add_argument("--model", required=True, help="a name of the zoo, such as EDSR or DnCNN")
    parser.add_argument("--photographs", required=True, type=Path, help="a folder of clean photographs")
    parser.add_argument("--factor", type=int, default=DEMO_SCALE, help="scale of an SR network (default 4)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, help="(default: Model-Demo.pth or Model-x2-Demo.pth in ModelZoo/models)")
    parser.add_argument(
        "--state", type=Path, help="the state to continue from (default: runs/Model.pt, runs/Model-x2.pt)"
    )
    for recipe_field in fields(Recipe):
        option = "--" + recipe_field.name.replace("_", "-")
        kind = type(recipe_field.default)
        parser.add_argument(option, type=kind, default=recipe_field.default, help="(default %(default)s)")
    return parser.parse_args(words)


def write_checkpoint(state: TrainingState, recipe: Recipe, arguments: argparse.Namespace, output: Path) -> None:
    """Write the averaged weights in float32, and beside them a JSON file that says how they were trained."""
    weights = {key: value.detach().cpu().contiguous() for key, value in state.average.state_dict().items()}
    with write_atomically(output) as file:
        torch.save(weights, file)
    record = {
        "model": arguments.model,
        "task": arguments.task,
        "recipe": {**asdict(recipe), "loss": "L1", "optimizer": "Muon and Adam", "precision": "bfloat16 autocast"},
        "photographs": arguments.photographs.name,
        "steps": state.step,
        "seconds": round(state.seconds),
        "machine": f"{arguments.device}, {platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "sha256": sha256_of(output),
    }
    write_bytes(output.with_suffix(".json"), (json.dumps(record, indent=2) + "\n").encode())


def run(arguments: argparse.Namespace) -> None:
    recipe = Recipe(**{recipe_field.name: getattr(arguments, recipe_field.name) for recipe_field in fields(Recipe)})
    scale = find(arguments.model, arguments.task).scale or arguments.factor
    torch.manual_seed(recipe.seed)
    net = build_network(arguments.model, arguments.task, arguments.factor)
    pairs = TrainingPairs(arguments.photographs, arguments.task, recipe.crop, scale, recipe.seed)
    device = pick_device(arguments.device)
    state = start(net, recipe, device)
    # Model@Demo is the network of scale 4; one of another scale must not replace it.
    stem = arguments.model if scale in (1, DEMO_SCALE) else f"{arguments.model}-x{scale}"
    state_path = arguments.state or Path("runs") / f"{stem}.pt"
    if is_file(state_path):
        state.restore(state_path)
        print(f"continuing from step {state.step} of {state_path}")
    recent = 0.0
    for loss in train(state, pairs, recipe, device):
        recent = loss if recent == 0 else 0.98 * recent + 0.02 * loss
        if state.step % SAVE_EVERY == 0:
            state.save(state_path)
            print(f"step {state.step}: L1 {recent:.4f}", flush=True)
    output = arguments.output or MODEL_DIR / f"{stem}-Demo.pth"
    write_checkpoint(state, recipe, arguments, output)
    print(f"wrote {output}")


def main(words: list[str] | None = None) -> int:
    arguments = parse_arguments(words)
    return exit_code(lambda: run(arguments))


if __name__ == "__main__":
    sys.exit(main())
