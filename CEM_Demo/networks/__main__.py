"""Say what a network is, what it allows, and how long its maps take: ``python -m CEM_Demo.networks NAME_OR_FILE``.

The network is named as in a config's Modellist: a model of the zoo, a checkpoint file, or my_net.py:MyNet.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from CEM_Demo.command_line import exit_code, one_line
from CEM_Demo.config.model_sources import ZooModel, parse_model
from CEM_Demo.device import DEVICES, check_device_name, exact_arithmetic, pick_device
from CEM_Demo.errors import InputError
from CEM_Demo.ModelZoo import entries, find, split_name
from CEM_Demo.ModelZoo.registry import TASKS
from CEM_Demo.networks.loading import Known, Model, describe, resolve
from CEM_Demo.networks.probing import Facts
from CEM_Demo.run.diagnosis import IMAGE, diagnose
from CEM_Demo.tasks import Degradation


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m CEM_Demo.networks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", metavar="NAME_OR_FILE", help="EDSR@Demo, weights/mine.pth, my_net.py:MyNet ...")
    parser.add_argument("--task", choices=TASKS, help="(default: that of the zoo's model, SR for others)")
    parser.add_argument("--sr", type=int, help="scale of a super-resolution network (default: 4)")
    parser.add_argument("--image", type=Path, default=IMAGE, help="a clean image (default: one of the test images)")
    parser.add_argument("--device", type=check_device_name, default="auto", help=f"one of {DEVICES}")
    arguments = parser.parse_args(words)
    return exit_code(lambda: report(arguments))


@exact_arithmetic()
def report(arguments: argparse.Namespace) -> None:
    """Print the lines as they are found.

    Raises:
        InputError: there is no such network, task, scale, image or device, or they do not fit each other.
    """
    try:
        source = parse_model(arguments.network)
    except ValueError as error:
        raise InputError(str(error)) from error
    task = arguments.task or _task_of(source.label)
    degradation = Degradation(task, arguments.sr or (4 if task == "SR" else 1))
    device = pick_device(arguments.device)
    model = resolve(source, task, degradation.scale)
    if isinstance(source, ZooModel):
        print(_describe_zoo(source.label, task, degradation.scale, model))
    for line in diagnose(model.load(), degradation, arguments.image, device):
        print(one_line(line), flush=True)


def _task_of(label: str) -> str:
    """Find the first task that the zoo's model of this name serves."""
    name = label.partition("@")[0]
    return next((task for task in TASKS if any(entry.name == name for entry in entries(task))), "SR")


def _describe_zoo(label: str, task: str, scale: int, model: Model) -> str:
    entry = find(split_name(label)[0], task)
    own_scale = scale if entry.scale is None else entry.scale
    known = Known(model.load(), entry.name, Facts(3, own_scale, entry.size))
    return describe(label, known, scale, f"from {model.checkpoint}")


if __name__ == "__main__":
    sys.exit(main())
