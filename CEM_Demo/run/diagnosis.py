"""Diagnose a network: which inferences are possible, how far it sees, and how long a map takes on this machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI, grid_of
from CEM_Demo.images import UInt8Image, read_image
from CEM_Demo.inference.checks import check_network
from CEM_Demo.inference.choice import RoiGroup, choose_inference, is_cheaper
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.inference.interface import Inference
from CEM_Demo.inference.roi_graph import RoiGraph
from CEM_Demo.method.patch_bank import PatchBank, load_bank
from CEM_Demo.method.plan import make_plans
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.timing import predict_seconds, readable
from CEM_Demo.tasks import Degradation, Scene, make_scene

PACKAGE = Path(__file__).parents[1]
IMAGE = PACKAGE / "test_images" / "Test1" / "demo_2.png"
BANK = PACKAGE / "patches" / "patches.npz"

# The geometry of a default map is that of the demos, in full-resolution pixels.
IMAGE_SIDE = 256
ROI_SIDE = 32
BLOCK = 8
DRAWS = (3, 50)
TOL = 0.01


def diagnose(net: nn.Module, degradation: Degradation, image: Path, device: torch.device) -> Iterator[str]:
    """Say line by line what a network allows on the middle 256 x 256 pixels of an image.

    Args:
        net: maps N x 3 x H x W in 0..1 to N x 3 x sH x sW, s being the degradation's scale.
        degradation: the task.
        image: a clean image.
        device: where the network runs.

    Raises:
        InputError: the network does not restore the image, or the image is too small for the task.
    """
    side_of_block = -(-BLOCK // degradation.scale) * degradation.scale
    scene = make_scene(degradation, _middle(read_image(image), side_of_block), image.name)
    height, width = scene.ground_truth.shape[:2]
    check_network(net, scene.degraded, (height, width), device, "the network")
    side = min(ROI_SIDE, height, width)
    roi = ROI.square((width - side) // 2, (height - side) // 2, side)
    block = side_of_block // scene.scale
    dense = choose_inference(net, scene.degraded, [roi], block, device, "dense")
    try:
        incremental = choose_inference(net, scene.degraded, [roi], block, device, "incremental")
    except InputError as error:
        incremental = []
        yield f"incremental inference: not possible, so inference is dense ({error})"
    taken = "dense"
    for group in incremental:
        yield from _what_export_found(group.inference)
        taken = (
            "incremental" if group.inference.predicted_cost and is_cheaper(group.inference.predicted_cost) else taken
        )
    shape = f"{width} x {height} pixels, ROI {side}, block {side_of_block}, {DRAWS[0]} + {DRAWS[1]} draws"
    yield f"a map of {shape}, at the pace of {device} now:"
    bank = load_bank(BANK)
    for group in dense + incremental:
        yield _how_long(net, group, scene, block, bank, device)
    costs = [cost for group in incremental if (cost := group.inference.predicted_cost)]
    yield f"inference: auto takes {'incremental' if any(map(is_cheaper, costs)) else 'dense'}"


def _middle(image: UInt8Image, multiple: int) -> UInt8Image:
    """Cut out the middle of an image, at most 256 x 256 pixels, with sides that are multiples of ``multiple``."""
    height, width = (min(IMAGE_SIDE, side) // multiple * multiple for side in image.shape[:2])
    if not height or not width:
        raise InputError(f"--image: it has {image.shape[1]} x {image.shape[0]} pixels; give a larger one")
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _what_export_found(inference: Inference) -> Iterator[str]:
    assert isinstance(inference, IncrementalInference)
    cost = inference.predicted_cost
    yield "incremental inference: possible, torch.export flattens the network"
    yield f"reach: {reach_in_words(inference.roi_graph)}; {cost.reached} of {cost.blocks} blocks can change it"
    yield f"multiply-adds per intervention: {cost.dense / 1e9:.3g} G dense, {cost.incremental / 1e9:.3g} G incremental"


def reach_in_words(roi_graph: RoiGraph) -> str:
    """Say from how far away a pixel of the image can change the ROI, or which operators see the whole image."""
    graph = roi_graph.graph
    whole = Counter(
        node.name.removeprefix("aten::")
        for number, (node, rule) in enumerate(zip(graph.nodes, roi_graph.rules, strict=True))
        if rule is None and node.constant is None and number != graph.image
    )
    height, width = graph.nodes[graph.image].size
    scale = graph.nodes[graph.output].size[0] // height
    needed = roi_graph.needed[graph.image].box(0)
    far = max(roi_graph.roi.top // scale - needed.top, roi_graph.roi.left // scale - needed.left)
    seen = (needed.bottom - needed.top) * (needed.right - needed.left) / (height * width)
    if whole:
        operators = ", ".join(f"{name} ({count} times)" if count > 1 else name for name, count in whole.items())
        return f"the ROI sees {seen:.0%} of the image; computed on whole maps: {operators}"
    cut = needed.top == 0 or needed.left == 0
    return f"the ROI sees {'at least ' if cut else ''}{far} pixels of the input around it, {seen:.0%} of the image"


def _how_long(net: nn.Module, group: RoiGroup, scene: Scene, block: int, bank: PatchBank, device: torch.device) -> str:
    grid = grid_of(scene.degraded, block, scene.scale)
    plans = make_plans(0, "image", grid.shape, *DRAWS, len(bank))
    batch_size = group.inference.automatic_batch_size()
    experiment = Experiment(net, group, scene, grid, bank, device)
    duration = predict_seconds(experiment, plans["coarse"], plans["fine"], TOL, batch_size)
    memory = f"{group.inference.memory_bytes(batch_size) / 2**20:,.0f} MiB in batches of {batch_size}"
    pace = f"{readable(duration.intervention)} per intervention"
    return f"{group.inference.kind}: {pace}, {duration}; {memory}"
