"""What filters do for an ROI: networks whose answer is known, and the engine against networks with edited weights."""

from __future__ import annotations

import copy
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo import Degradation, FilterDesign, explain_filters
from CEM_Demo.errors import InputError
from CEM_Demo.filters import command
from CEM_Demo.filters import record as filter_files
from CEM_Demo.filters.against import contrast_runs
from CEM_Demo.filters.command import explain_run, forecast_run
from CEM_Demo.filters.donors import Donor, make_donors, others_than
from CEM_Demo.filters.effects import Criteria, FilterLayer, effects_of, measure_effects, no_effects
from CEM_Demo.filters.experiment import FilterExperiment, make_experiment
from CEM_Demo.filters.explanation import FilterExplanation
from CEM_Demo.filters.first_order import first_order_effects
from CEM_Demo.filters.joint import alike, measure_sets
from CEM_Demo.filters.record import read_finished
from CEM_Demo.filters.replacements import Replacements
from CEM_Demo.geometry import ROI
from CEM_Demo.inference.roi_graph import graph_from_roi
from CEM_Demo.inference.sites import Layer
from CEM_Demo.inference.suffix import FilterInference
from CEM_Demo.ModelZoo import build_network, entries, load_denoise_model
from CEM_Demo.ModelZoo.NN.dncnn import DnCNN
from CEM_Demo.ModelZoo.NN.edsr import EDSR
from CEM_Demo.ModelZoo.NN.prenet import PReNet
from CEM_Demo.ModelZoo.NN.restormer import TransposedAttention
from CEM_Demo.ModelZoo.NN.swinir import SwinIR
from CEM_Demo.networks.adapting import PerChannel
from CEM_Demo.results.filters import filters_sentence
from CEM_Demo.results.mat_files import read_mat
from CEM_Demo.results.paths import result_paths
from CEM_Demo.tasks import make_scene
from CEM_Demo.tasks.scene import Scene, keep_patches
from conftest import Tiny, make_config, photograph
from random_networks import RandomNetwork
from shared_material import SHARED, needs

CPU = torch.device("cpu")
SIDE = 20
ROI_HERE = ROI.square(6, 8, 6)


class Double(nn.Module):
    """A network in double precision."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.double()

    def forward(self, image: Tensor) -> Tensor:
        return self.net(image.double())


class Two(nn.Module):
    """Two convolutions whose output lies within 0..1; ``uses`` of one in the middle share its weights."""

    def __init__(self, width: int = 4, activation: nn.Module | None = None, uses: int = 0) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.shared = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, 3, 3, padding=1)
        self.activation = activation or nn.Identity()
        self.uses = uses
        for weights in self.parameters():
            weights.data *= 0.5
        self.last.bias.data += 0.5  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        features = self.activation(self.first(x))
        for _ in range(self.uses):
            features = features + torch.tanh(self.shared(features))
        return self.last(features)


def network(**options: Any) -> Two:
    torch.manual_seed(0)
    return Two(**options).eval()


def picture(seed: int, side: int = SIDE) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 256, (side, side, 3)).astype(np.uint8)


def pose(
    net: nn.Module, truth: np.ndarray | None = None, roi: ROI = ROI_HERE, other: nn.Module | None = None
) -> FilterExperiment:
    inference = FilterInference(net, picture(0), roi, CPU, other)
    height, width = inference.restored().shape[1:]
    if truth is None:
        truth = picture(1, 8 * SIDE)
    scene = Scene(truth, picture(0), 1, keep_patches)
    assert (height, width) == (roi.height, roi.width)
    return make_experiment(inference, scene, roi, inference.layers)


def zeros(experiment: FilterExperiment) -> dict[int, Tensor]:
    values = Replacements(experiment.inference, ()).values("zero", 0)
    assert values is not None
    return dict(values)


def as_input(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255


def squared_error(net: nn.Module, truth: np.ndarray) -> float:
    """Of the ROI, after a dense pass."""
    with torch.no_grad():
        restored = net(as_input(picture(0)))[0].double().clamp(0, 1).permute(1, 2, 0).numpy()
    return float(((restored * 255 - truth[: restored.shape[0], : restored.shape[1]])[ROI_HERE.window] ** 2).sum())


def masks(layer: Layer, *channels: int) -> dict[int, Tensor]:
    """One untouched row, and one for each channel."""
    mask = torch.zeros(len(channels) + 1, layer.channels, dtype=torch.bool)
    for row, channel in enumerate(channels, 1):
        mask[row, channel] = True
    return {site.number: mask for site in layer.sites}


def weights_of(net: nn.Module, name: str) -> tuple[nn.Module, int]:
    """The module of a layer, and the dimension of its weight along which its filters lie."""
    module = net.get_submodule(name)
    return module, 1 if isinstance(module, nn.ConvTranspose2d) else 0


@torch.no_grad()
def delete(net: nn.Module, name: str, channel: int) -> nn.Module:
    """A copy with the weights and the bias of a filter set to zero."""
    without = copy.deepcopy(net)
    module, dimension = weights_of(without, name)
    per_group = module.weight.shape[dimension] if dimension else 1
    if dimension:  # groups lie along the inputs of a transposed convolution
        rows = module.weight.shape[0] // module.groups
        group = channel // per_group
        module.weight[group * rows : (group + 1) * rows, channel % per_group] = 0
    else:
        module.weight[channel] = 0
    if module.bias is not None:
        module.bias[channel] = 0
    return without


@torch.no_grad()
def delete_head(net: nn.Module, layer: Layer, head: int) -> nn.Module:
    """A copy whose values of a head have no weights and no bias; they are the last third of their layer's channels."""
    without = copy.deepcopy(net)
    name = layer.name.removesuffix(".heads")
    named = dict(without.named_parameters())
    weight = named.get(f"{name}.weight", named.get(name))
    assert weight is not None
    width = len(weight) // 3
    rows = slice(2 * width + head * width // layer.channels, 2 * width + (head + 1) * width // layer.channels)
    weight[rows] = 0
    for bias in (f"{name}.bias", name.replace("weight", "bias")):
        if bias in named:
            named[bias][rows] = 0
    return without


def assert_zeroing_deletes(net: nn.Module, roi: ROI, every: int = 1) -> int:
    """Compare zeroed filters with deleted ones; give how many layers there are."""
    inference = FilterInference(net, picture(0), roi, CPU)
    values = Replacements(inference, ()).values("zero", 0)
    image = as_input(picture(0))
    names = dict(net.named_parameters())
    heads = [layer for layer in inference.layers if layer.name.endswith(".heads")]
    for layer in dict.fromkeys([*inference.layers[::every], *heads]):
        is_heads = layer in heads
        if not layer.sites or not is_heads and f"{layer.name}.weight" not in names:
            continue
        channel = layer.channels // 2
        without = delete_head(net, layer, channel) if is_heads else delete(net, layer.name, channel)
        untouched, zeroed = inference.suffix([layer]).restore(masks(layer, channel), values)
        with torch.no_grad():
            for found, dense in ((untouched, net), (zeroed, without)):
                expected = dense(image)[0][(..., *roi.window)]
                # Outputs of random networks may be much larger than an image's.
                assert (found - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max())), layer.name
    return len(inference.layers)


class Attention(nn.Module):
    """A network that sees the whole image through pooled statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.squeeze = nn.Conv2d(4, 2, 1)
        self.excite = nn.Conv2d(2, 4, 1)
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = torch.relu(self.first(x))
        pooled = features.mean((2, 3), keepdim=True)
        return x + self.last(features * torch.sigmoid(self.excite(torch.relu(self.squeeze(pooled)))))


class Tokens(nn.Module):
    """Pixels as tokens: ``mix`` maps B x N x 4 to the same, and what it gives is added."""

    def __init__(self, mix: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.mix = mix
        self.last = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.first(x).flatten(2).mT
        return self.last((tokens + self.mix(tokens)).mT.unflatten(2, x.shape[-2:]))


class SelfAttention(nn.MultiheadAttention):
    """Two heads, whose weights PyTorch keeps in one parameter without a layer."""

    def __init__(self) -> None:
        super().__init__(4, 2, batch_first=True)
        nn.init.normal_(self.in_proj_bias)

    def forward(self, tokens: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(tokens, tokens, tokens, need_weights=False)[0]


def perceptron() -> nn.Module:
    return Tokens(nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 4, bias=False)))


def swin(heads: int = 2, width: int = 8) -> nn.Module:
    return SwinIR(width=width, heads=heads, groups=1, depth=2, side=4, reconstruction="residual")


class ChannelAttention(nn.Module):
    """Heads whose channels attend to channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)
        self.attn = TransposedAttention(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.attn(self.first(x)))


def gray() -> nn.Module:
    return PerChannel(nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 1, 3, padding=1)))


NETWORKS = {
    "DnCNN": (lambda: DnCNN(width=6, depth=4), 4),
    "EDSR": (lambda: EDSR(scale=2, width=4, depth=1), 8),
    "PReNet": (lambda: PReNet(width=4, iterations=2), 16),
    "attention": (Attention, 4),
    "gray": (gray, 2),
    "two uses": (lambda: Two(uses=2), 3),
    "linear layers": (perceptron, 4),
    "heads in windows": (swin, 14),
    "heads over channels": (ChannelAttention, 6),
    "heads of PyTorch": (lambda: Tokens(SelfAttention()), 5),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_zeroing_a_filter_equals_deleting_its_weights(name: str) -> None:
    torch.manual_seed(0)
    build, layers = NETWORKS[name]
    assert assert_zeroing_deletes(build().eval(), ROI_HERE, every=max(1, layers // 4)) == layers


@pytest.mark.parametrize("seed", range(3))
def test_zeroing_equals_deleting_in_random_networks(seed: int) -> None:
    net = RandomNetwork(seed, SIDE, SIDE, depth=4, whole=seed % 2 == 0)
    height, width = net.output_size
    assert_zeroing_deletes(net, ROI(width // 3, height // 3, max(1, width // 4), max(1, height // 4)), every=2)


# They compute on the enlarged image, or compare all its pixels with all others: 64 pixels would take 14 GB.
LARGE_INSIDE = {"XRestormer_SR", "CSNLN"}


@pytest.mark.slow
@pytest.mark.parametrize(("task", "name"), [(entry.tasks[0], entry.name) for entry in entries()])
def test_zeroing_equals_deleting_in_the_zoo(task: str, name: str) -> None:
    torch.manual_seed(0)
    net = build_network(name, task).eval()
    image = picture(0, 32 if name in LARGE_INSIDE else 64)
    inference = FilterInference(net, image, ROI.square(24, 24, 8), CPU)
    values = Replacements(inference, ()).values("zero", 0)
    sample = list(inference.layers[:: max(1, len(inference.layers) // 3)])
    named = dict(net.named_modules())
    linear = [layer for layer in inference.layers if isinstance(named.get(layer.name), nn.Linear)]
    heads = [layer for layer in inference.layers if layer.name.endswith(".heads")]
    for layer in [*sample, *linear[:2], *heads[-1:]]:
        if layer.sites:
            untouched, zeroed = inference.suffix([layer]).restore(masks(layer, 0), values)
            without = delete_head(net, layer, 0) if layer in heads else delete(net, layer.name, 0)
            with torch.no_grad():
                for found, dense in ((untouched, net), (zeroed, without)):
                    assert_equal_but_for_rounding(found, dense, image)


def assert_equal_but_for_rounding(found: Tensor, dense: nn.Module, image: np.ndarray) -> None:
    """The ROI is that of a run of the whole network, to 1e-5 or to what single precision can tell."""
    roi = (..., slice(24, 32), slice(24, 32))
    expected = dense(as_input(image))[0][roi]
    bound = 1e-5 * max(1.0, float(expected.abs().max()))
    if (found - expected).abs().max() > bound:
        # RNAN's attention over all pixels turns rounding into 1e-4; no order of sums is nearer to the exact value.
        exact = dense.double()(as_input(image).double())[0][roi]
        dense.float()
        assert (found - exact).abs().max() <= bound + 2 * (expected - exact).abs().max()


def test_effects_in_a_linear_network_have_a_closed_form() -> None:
    net = network()
    experiment = pose(Double(copy.deepcopy(net)))
    layer = experiment.layers[0]
    truth, image = picture(1, 8 * SIDE), as_input(picture(0)).double()
    net = net.double()
    with torch.no_grad():
        features = net.first(image)
        error = (net.last(features)[0].permute(1, 2, 0).numpy() * 255 - truth[:SIDE, :SIDE])[ROI_HERE.window]
        estimates = first_order_effects(experiment, "zero", Replacements(experiment.inference, ()))
        for channel, effect in enumerate(experiment.single_effects(layer, zeros(experiment))):
            change = torch.zeros_like(features)
            change[:, channel] = -features[:, channel]
            moved = F.conv2d(change, net.last.weight, padding=1)[0].permute(1, 2, 0).numpy()[ROI_HERE.window] * 255
            growth = (2 * (error * moved).sum() + (moved**2).sum()) / (error**2).sum()
            assert effect == pytest.approx(10 * np.log10(1 + growth), abs=1e-6)
            slope = 2 * (error * moved).sum() / (error**2).sum()
            assert estimates[channel] == pytest.approx(10 / np.log(10) * slope, abs=1e-6)


@torch.no_grad()
def heads_by_hand(net: nn.Module, image: np.ndarray) -> tuple[Tensor, Tensor]:
    """Tokens of a network of PyTorch's own heads, N x 4, and what each head gives, 2 x N x 2; in double precision."""
    tokens = net.first(as_input(image).double()).flatten(2)[0].T
    queries, keys, values = (
        F.linear(tokens, net.mix.in_proj_weight, net.mix.in_proj_bias).unflatten(1, (3, 2, 2)).permute(1, 2, 0, 3)
    )
    return tokens, (queries @ keys.mT / 2**0.5).softmax(dim=-1) @ values


@pytest.mark.parametrize("kind", ["zero", "mean"])
def test_effects_of_heads_have_a_closed_form(kind: str) -> None:
    torch.manual_seed(0)
    double = Double(Tokens(SelfAttention()).eval())
    net, truth = double.net, picture(1, 8 * SIDE)
    experiment = pose(double)
    (layer,) = (layer for layer in experiment.layers if layer.name.endswith(".heads"))
    donors = tuple(Donor(picture(seed), picture(seed)) for seed in (5, 6))
    effects = experiment.single_effects(layer, Replacements(experiment.inference, donors).values(kind, 0))
    tokens, heads = heads_by_hand(net, picture(0))
    mean = torch.stack([heads_by_hand(net, donor.degraded)[1] for donor in donors]).mean(dim=(0, 2))

    def restored(attended: Tensor) -> float:
        mixed = tokens + net.mix.out_proj(attended.transpose(0, 1).flatten(1))
        with torch.no_grad():
            image = net.last(mixed.T.unflatten(1, (SIDE, SIDE))[None])[0].clamp(0, 1).permute(1, 2, 0).numpy()
        return float(((image * 255 - truth[:SIDE, :SIDE])[ROI_HERE.window] ** 2).sum())

    for head, effect in enumerate(effects):
        changed = heads.clone()
        changed[head] = mean[head] if kind == "mean" else 0
        assert effect == pytest.approx(10 * np.log10(restored(changed) / restored(heads)), abs=1e-6)
        assert effect != 0


def test_a_single_head_is_no_layer_of_heads() -> None:
    layers = FilterInference(swin(heads=1).eval(), picture(0), ROI_HERE, CPU).layers
    assert not [layer.name for layer in layers if layer.name.endswith(".heads")]


class Nearly(Replacements):
    """What stands at every site is replaced by nearly the same."""

    def values(self, kind: str, draw: int) -> dict[int, Tensor]:
        torch.manual_seed(1)
        own = self.inference.own_values(self.inference.sites)
        return {number: value + 1e-4 * torch.randn_like(value) for number, value in own.items()}


def test_first_order_estimates_are_the_effects_of_small_changes_everywhere() -> None:
    torch.manual_seed(0)
    experiment = pose(Double(swin()))
    replacements = Nearly(experiment.inference, ())
    estimates, values = first_order_effects(experiment, "nearly", replacements), replacements.values("nearly", 0)
    for layer in [experiment.layers[number] for number in (2, 9)]:
        effects = experiment.single_effects(layer, values)
        assert estimates[experiment.slice_of(layer)] == pytest.approx(effects, abs=1e-3 * np.abs(effects).max())


class Gated(nn.Module):
    """A gate that has no gradient, and in the end more pixels than channels of features."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.gate, self.last = (nn.Conv2d(3, width, 3, padding=1) for width in (4, 4, 12))
        self.mix = nn.Conv2d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        gated = self.features(x) * (self.gate(x) > 0)
        return F.pixel_shuffle(self.last(self.mix(gated)), 2)


def test_a_filter_behind_which_no_gradient_is_has_an_estimate_of_zero() -> None:
    torch.manual_seed(0)
    experiment = pose(Gated().eval())
    estimates = first_order_effects(experiment, "zero", Replacements(experiment.inference, ()))
    layers = {layer.name: estimates[experiment.slice_of(layer)] for layer in experiment.layers}
    assert np.abs(layers["features"]).min() > 0 and not layers["gate"].any()


def test_colors_are_known_by_their_place_and_heads_are_none() -> None:
    torch.manual_seed(0)
    experiment = pose(Gated().eval())
    assert {layer.name for layer in experiment.layers if layer.gives_image} == {"mix", "last"}
    heads = FilterInference(swin(heads=3, width=6).eval(), picture(0), ROI_HERE, CPU).layers
    assert [layer.gives_image for layer in heads if layer.name.endswith(".heads")] == [False, False]


def test_work_and_memory_of_linear_layers() -> None:
    inference = FilterInference(perceptron().eval(), picture(0), ROI_HERE, CPU)
    works = {layer.name: inference.work(layer) for layer in inference.layers}
    pixels, convolved = SIDE**2, 9 * 4 * 3 * ROI_HERE.width * ROI_HERE.height
    assert works["mix.0"].bytes == 4 * 6 * pixels and works["mix.2"].bytes == 4 * 4 * pixels
    assert works["mix.0"].multiply_adds == 6 * 4 * pixels + convolved
    assert works["mix.2"].multiply_adds == convolved
    assert works["mix.0"].whole == 2 * 6 * 4 * pixels + 2 * 9 * 4 * 3 * pixels


def test_resampling_costs_what_the_mean_costs_and_the_variance_of_the_donors() -> None:
    experiment = pose(Double(network()))
    layer, inference = experiment.layers[0], experiment.inference
    of_donors = [inference.values_of(picture(seed)) for seed in (5, 6, 7)]
    number = layer.sites[0].number
    mean = {number: torch.stack([values[number] for values in of_donors]).mean(dim=0)}
    truth = experiment.truth.double() / 255

    def restored(values: Any) -> Tensor:
        return inference.suffix([layer]).restore(masks(layer, 2), values)[1]

    at_mean = restored(mean)
    resampled = [restored(values) for values in of_donors]
    errors = torch.stack([(one - truth).square().sum() for one in resampled]).mean()
    penalty = torch.stack([(one - at_mean).square().sum() for one in resampled]).mean()
    assert float(errors) == pytest.approx(float((at_mean - truth).square().sum() + penalty), rel=1e-8)
    assert penalty > 0


@torch.no_grad()
def with_pattern(strength: float) -> tuple[Two, Two]:
    """A network, and the same with a fifth filter that adds a constant to the image."""
    plain, planted = network(activation=nn.ReLU()), network(width=5, activation=nn.ReLU())
    for name in ("first", "last"):
        own, wider = getattr(plain, name), getattr(planted, name)
        for parameter, larger in zip(own.parameters(), wider.parameters(), strict=True):
            larger.zero_()
            larger[tuple(slice(side) for side in parameter.shape)] = parameter
    planted.first.bias[4] = 1.0  # type: ignore[index]
    planted.last.weight[:, 4, 1, 1] = strength
    return plain, planted


@pytest.mark.parametrize("helps", [True, False])
def test_a_planted_filter_has_the_effect_of_its_pattern_and_is_found(helps: bool) -> None:
    plain, planted = with_pattern(0.2)
    with torch.no_grad():
        target = (planted if helps else plain)(as_input(picture(0)))[0].clamp(0, 1).permute(1, 2, 0).numpy()
    noise = np.random.RandomState(2).randint(-25, 26, target.shape)
    truth = (target * 255 + noise).round().clip(0, 255).astype(np.uint8)
    experiment = pose(planted, truth)
    effects = experiment.single_effects(experiment.layers[0], zeros(experiment))
    expected = 10 * np.log10(squared_error(plain, truth) / squared_error(planted, truth))
    assert effects[4] == pytest.approx(expected, abs=1e-5)
    assert (effects.argmax() if helps else effects.argmin()) == 4
    assert (effects[4] > 0) == helps


@torch.no_grad()
def test_a_filter_that_nobody_reads_has_no_effect_at_all() -> None:
    net = network(activation=nn.LeakyReLU(0.1))
    net.last.weight[:, 1] = 0
    experiment = pose(net)
    effects = experiment.single_effects(experiment.layers[0], zeros(experiment))
    assert effects[1] == 0
    assert np.abs(np.delete(effects, 1)).min() > 0


@torch.no_grad()
def test_permuted_channels_have_permuted_effects() -> None:
    net, order = network(activation=nn.LeakyReLU(0.1)), [2, 0, 3, 1]
    other = copy.deepcopy(net)
    other.first.weight.copy_(net.first.weight[order])
    other.first.bias.copy_(net.first.bias[order])  # type: ignore[union-attr, index]
    other.last.weight.copy_(net.last.weight[:, order])
    effects = [one.single_effects(one.layers[0], zeros(one)) for one in (pose(net), pose(other))]
    assert effects[1] == pytest.approx(effects[0][order], abs=1e-5)


@torch.no_grad()
def test_two_halves_of_a_filter_have_its_effect_jointly() -> None:
    activation = nn.LeakyReLU(0.1)
    net, halves = network(activation=activation), network(width=5, activation=activation)
    for name in ("first", "last"):
        for parameter, larger in zip(getattr(net, name).parameters(), getattr(halves, name).parameters(), strict=True):
            larger[tuple(slice(side) for side in parameter.shape)] = parameter
    halves.first.weight[4], halves.first.bias[4] = net.first.weight[1], net.first.bias[1]  # type: ignore[index]
    halves.last.weight[:, 1] = halves.last.weight[:, 4] = net.last.weight[:, 1] / 2
    whole, split = pose(Double(net)), pose(Double(halves))
    sets = np.zeros((1, split.filters), dtype=bool)
    sets[0, [1, 4]] = True
    jointly = split.joint_effects(sets, zeros(split))[0]
    assert jointly == pytest.approx(whole.single_effects(whole.layers[0], zeros(whole))[1], abs=1e-6)


def test_sets_across_layers_equal_deleting_all_their_weights() -> None:
    net = network(uses=2)
    experiment = pose(net)
    sets = np.zeros((2, experiment.filters), dtype=bool)
    sets[0, [1, 6]] = sets[1, [0, 9]] = True
    names = [(layer.name, channel) for layer in experiment.layers for channel in range(layer.channels)]
    truth = picture(1, 8 * SIDE)
    for chosen, effect in zip(sets, experiment.joint_effects(sets, zeros(experiment)), strict=True):
        without: nn.Module = net
        for number in np.flatnonzero(chosen):
            without = delete(without, *names[number])
        expected = 10 * np.log10(squared_error(without, truth) / squared_error(net, truth))
        assert effect == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["PReNet", "attention", "two uses", "heads in windows", "heads over channels"])
def test_sets_need_no_more_of_the_untouched_image_than_is_kept(name: str) -> None:
    torch.manual_seed(0)
    net = NETWORKS[name][0]().eval()
    inference, keeping = (FilterInference(net, picture(0, 16), ROI_HERE, CPU) for _ in range(2))
    keeping.roi_graph = graph_from_roi(keeping.roi_graph.graph, keeping.roi_graph.roi)
    assert inference.bytes <= keeping.bytes
    assert inference.bytes < 0.7 * keeping.bytes or "heads" not in name
    random = torch.Generator().manual_seed(1)
    for _ in range(8):
        layers = [layer for layer in inference.layers if layer.sites and torch.rand((), generator=random) < 0.3]
        chosen = {
            site.number: torch.rand(3, layer.channels, generator=random) < 0.3
            for layer in layers
            for site in layer.sites
        }
        if chosen:
            values = Replacements(inference, ()).values("zero", 0)
            found, expected = (one.suffix(layers).restore(chosen, values) for one in (inference, keeping))
            assert torch.equal(found, expected)


def test_a_donor_that_is_the_test_image_changes_nothing() -> None:
    experiment = pose(network(activation=nn.ReLU(), uses=1))
    values = experiment.inference.values_of(picture(0))
    for layer in experiment.layers:
        assert not experiment.single_effects(layer, values).any()


@torch.no_grad()
def test_filters_of_another_checkpoint_replace_weights_at_all_uses() -> None:
    net, other = network(activation=nn.ReLU(), uses=2), network(activation=nn.ReLU(), uses=2)
    for weights in other.parameters():
        weights += 0.1 * torch.randn_like(weights)
    experiment = pose(net, other=other)
    truth = picture(1, 8 * SIDE)
    for layer in experiment.layers:
        mixed = copy.deepcopy(net)
        own, foreign = mixed.get_submodule(layer.name), other.get_submodule(layer.name)
        own.weight[1], own.bias[1] = foreign.weight[1], foreign.bias[1]  # type: ignore[index]
        expected = 10 * np.log10(squared_error(mixed, truth) / squared_error(net, truth))
        assert experiment.single_effects(layer, None)[1] == pytest.approx(expected, abs=1e-4)
    everything = np.ones((1, experiment.filters), dtype=bool)
    expected = 10 * np.log10(squared_error(other, truth) / squared_error(net, truth))
    assert experiment.joint_effects(everything, None)[0] == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_heads_of_another_checkpoint_have_its_values_and_the_own_attention() -> None:
    torch.manual_seed(0)
    net, other = Tokens(SelfAttention()).eval(), Tokens(SelfAttention()).eval()
    experiment = pose(net, other=other)
    truth = picture(1, 8 * SIDE)
    (layer,) = (layer for layer in experiment.layers if layer.name.endswith(".heads"))
    for head, effect in enumerate(experiment.single_effects(layer, None)):
        mixed, rows = copy.deepcopy(net), slice(8 + 2 * head, 10 + 2 * head)
        mixed.mix.in_proj_weight[rows] = other.mix.in_proj_weight[rows]
        mixed.mix.in_proj_bias[rows] = other.mix.in_proj_bias[rows]
        assert effect == pytest.approx(10 * np.log10(squared_error(mixed, truth) / squared_error(net, truth)), abs=1e-4)


def test_networks_of_other_architectures_do_not_exchange_filters() -> None:
    with pytest.raises(InputError, match="not of the same architecture"):
        FilterInference(network(), picture(0), ROI_HERE, CPU, network(width=5))


def test_donors_have_noise_of_their_own_and_are_never_the_test_image() -> None:
    image, other = photograph(32, 40), photograph(24, 50)[:, ::-1].copy()
    assert len(others_than([image], [image, image[::-1], np.rot90(image), other])) == 1
    scene = make_scene(Degradation("DN"), image, "a.png")
    donors = make_donors([other], scene, Degradation("DN"), 0, "a.png", 5)
    noises = [donor.degraded.astype(int) - donor.image for donor in donors]
    noises.append(scene.degraded.astype(int) - image)
    assert all(noise.shape == image.shape for noise in noises)
    correlations = np.corrcoef([noise.ravel() for noise in noises])
    assert np.abs(correlations[~np.eye(6, dtype=bool)]).max() < 0.4
    again = make_donors([other], scene, Degradation("DN"), 0, "a.png", 5)
    assert all(np.array_equal(one.degraded, two.degraded) for one, two in zip(donors, again, strict=True))


def test_explain_filters_from_python() -> None:
    torch.manual_seed(0)
    net = Tiny().train()
    donors = [photograph(40, 40), *(picture(seed, 40) for seed in (3, 4, 5))]
    design = FilterDesign(("resample", "mean", "zero"), ("fir*", "last"), 4, donors, first_order=True)
    found = explain_filters(net, picture(9, 32), ROI.square(8, 8, 16), Degradation("DN"), design)
    assert net.training
    assert found.effects.layers == (FilterLayer("first", 4), FilterLayer("last", 3, gives_image=True))
    assert found.effects.draws["resample"].shape == (4, 7)
    estimates = found.effects.estimates("resample")
    assert (estimates.low <= estimates.mean).all() and (estimates.mean <= estimates.high).all()
    # The odd draws choose, and the even ones measure.
    odd, even = (draws[:, :4].mean(axis=0) for draws in np.split(found.effects.draws["resample"][[0, 2, 1, 3]], 2))
    assert found.joint["bottom"].means[0] == pytest.approx(even[odd.argmin()], abs=1e-5)
    assert {card.number for card in found.cards} <= set(range(4))  # the colors of the last layer are not ranked
    assert found.figure().axes
    assert found.first_order is not None and len(found.first_order) == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": ("frist",)}, "filter_layers: frist matches no layer; did you mean first"),
        ({"replacements": ("median",)}, "replacements: median is not among"),
        ({"replacements": ("weights",)}, "other: weights takes filters"),
        ({"replacements": "mean"}, "replacements: 'mean' is a single word; give a list"),
        ({"donors": ()}, "donors: mean and resample need photographs"),
        ({"donors": [picture(9, 32)]}, "donors: mean and resample need photographs"),
        ({"donors": [np.zeros((40, 40))]}, r"donors: photograph 0: it is float64 \(40, 40\), not RGB of 8 bits"),
        (
            {"replacements": ("resample",)},
            "donors: resample needs 16 photographs .* finds 1; give more, or set draws: 1",
        ),
    ],
)
def test_mistakes_get_one_line(changes: dict[str, Any], message: str) -> None:
    design = replace(FilterDesign(donors=[photograph(40, 40)]), **changes)
    with pytest.raises(InputError, match=message):
        explain_filters(Tiny(), picture(9, 32), ROI.square(8, 8, 16), Degradation("DN"), design)


@pytest.fixture
def of_filters(settings: dict[str, Any]) -> dict[str, Any]:
    for number in (2, 3, 4):
        Image.fromarray(picture(number, 48)).save(Path(settings["TextImg_path"]) / f"photo_{number}.png")
    return {**settings, "filter_draws": 3, "load_previous": 1}


def test_a_killed_run_ends_with_the_same_bytes(
    tmp_path: Path, of_filters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    once = make_config(tmp_path, of_filters, output_dir=str(tmp_path / "once"))
    explain_run(once)
    config = make_config(tmp_path, of_filters)
    folder = result_paths(config, "Tiny", "photo_1.png", config.rois_of("photo_1.png")[0]).pair_folder
    measure = FilterExperiment.single_effects

    def killed(self: FilterExperiment, layer: Layer, values: Any) -> np.ndarray:
        if layer.name == "last":
            raise KeyboardInterrupt
        return measure(self, layer, values)

    with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
        context.setattr(FilterExperiment, "single_effects", killed)
        explain_run(config)
    assert not (folder / "filters.json").exists()
    measured: list[str] = []
    with monkeypatch.context() as context:
        context.setattr(
            FilterExperiment,
            "single_effects",
            lambda self, layer, values: measured.append(layer.name) or measure(self, layer, values),
        )
        explain_run(config)
    assert measured == ["last"]
    original = result_paths(once, "Tiny", "photo_1.png", once.rois_of("photo_1.png")[0]).pair_folder
    for suffix in (".csv", ".json", ".mat", ".png"):
        assert (folder / f"filters{suffix}").read_bytes() == (original / f"filters{suffix}").read_bytes()
    with (folder / "filters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["layer"], row["channel"]) for row in rows][3:5] == [("first", "3"), ("last", "0")]
    record = json.loads((folder / "filters.json").read_bytes())
    assert record["layers"][1]["effects"]["mean"][0] == pytest.approx(float(rows[4]["mean effect (dB)"]), abs=1e-6)
    paths = result_paths(config, "Tiny", "photo_1.png", config.rois_of("photo_1.png")[0])
    assert filters_sentence(paths, record["provenance"]) == record["sentence"]
    assert filters_sentence(paths, record["provenance"] | {"image_sha256": "another"}) is None
    with monkeypatch.context() as context:
        context.setattr(command, "_experiment", lambda *_: pytest.fail("nothing is left to measure"))
        explain_run(config)
        with pytest.raises(InputError, match="seed was 0, is now 1"):
            explain_run(make_config(tmp_path, of_filters, seed=1))


@pytest.mark.usefixtures("no_figures")
def test_other_criteria_class_the_same_draws_anew(
    tmp_path: Path, of_filters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**of_filters, "filter_replacement": "resample"}
    config = make_config(tmp_path, settings)
    explain_run(config)
    paths = result_paths(config, "Tiny", "photo_1.png", config.rois_of("photo_1.png")[0])
    before, table = json.loads(paths.of_filters(".json").read_bytes()), paths.of_filters(".csv").read_text()
    paths.of_filters("-against.md").write_text("of what was there before")
    monkeypatch.setattr(FilterExperiment, "single_effects", lambda *_: pytest.fail("effects are there"))
    explain_run(make_config(tmp_path, settings, tol=1.0, confidence=0.5, fdr=0.5))
    after = json.loads(paths.of_filters(".json").read_bytes())
    assert after["provenance"] == before["provenance"] and after["draws_sha256"] == before["draws_sha256"]
    assert after["criteria"] == {"tol": 1.0, "confidence": 0.5, "fdr": 0.5}
    assert set(after["layers"][0]["classes"]["resample"]) <= {"negligible", "dead", "undecided"}
    widths = [
        record["layers"][0]["high"]["resample"][0] - record["layers"][0]["low"]["resample"][0]
        for record in (before, after)
    ]
    assert widths[0] / widths[1] == pytest.approx(stats.t.ppf(0.975, 2) / stats.t.ppf(0.75, 2))
    assert paths.of_filters(".csv").read_text() != table
    assert not paths.of_filters("-against.md").exists()


def test_all_networks_are_checked_before_the_first_is_measured(
    tmp_path: Path, of_filters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FilterExperiment, "single_effects", lambda *_: pytest.fail("measured too early"))
    code = tmp_path / "mine.py"
    code.write_text("from torch import nn\n\ndef mine():\n    return nn.Conv2d(3, 3, 1)\n")
    models = [*of_filters["Modellist"], f"{code}:mine"]
    with pytest.raises(InputError, match="mine: filter_layers: first matches no layer"):
        explain_run(make_config(tmp_path, of_filters, Modellist=models, filter_layers=["first"]))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take longer to draw than these effects to measure."""
    monkeypatch.setattr(FilterExplanation, "figure", lambda self: None)
    monkeypatch.setattr(filter_files, "figure_bytes", lambda *_: b"")


@pytest.mark.usefixtures("no_figures")
def test_first_order_estimates_are_added_to_a_finished_measurement(
    tmp_path: Path, of_filters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path, of_filters)
    explain_run(config)
    folder = result_paths(config, "Tiny", "photo_1.png", config.rois_of("photo_1.png")[0]).pair_folder
    before = json.loads((folder / "filters.json").read_bytes())
    monkeypatch.setattr(FilterExperiment, "single_effects", lambda *_: pytest.fail("effects are there"))
    explain_run(make_config(tmp_path, of_filters, filter_first_order=True))
    record = json.loads((folder / "filters.json").read_bytes())
    estimates = [value for layer in record["layers"] for value in layer["first_order"]]
    assert -1 <= record["layers"][0]["first_order_correlation"] <= 1
    assert record["provenance"] == before["provenance"] and before["layers"][0]["first_order"] is None
    with (folder / "filters.csv").open() as file:
        column = [float(row["first order (dB)"]) for row in csv.DictReader(file)]
    assert column == pytest.approx(estimates, abs=1e-6)
    assert read_mat(folder / "filters.mat", "first_order")[0] == pytest.approx(estimates[:4])


@pytest.mark.usefixtures("no_figures")
def test_effects_under_two_degradations_are_compared_with_paired_donors(
    tmp_path: Path, of_filters: dict[str, Any]
) -> None:
    changes = {"filter_replacement": ["mean", "resample"], "filter_layers": ["first"]}
    strong = make_config(tmp_path, of_filters, **changes)
    weak = make_config(tmp_path, of_filters, **changes, sigma=25, prefix="WEAK")
    explain_run(strong)
    with pytest.raises(InputError, match="has no finished measurement of filters"):
        contrast_runs(strong, weak)
    explain_run(weak)
    contrast_runs(strong, weak)
    paths = [result_paths(one, "Tiny", "photo_1.png", one.rois_of("photo_1.png")[0]) for one in (strong, weak)]
    (_, first), (_, second) = (read_finished(one) for one in paths)  # type: ignore[misc]
    with paths[0].of_filters("-against.csv").open() as file:
        rows = list(csv.DictReader(file))
    differences = [float(row["mean E_A - E_B (dB)"]) for row in rows]
    assert np.abs(differences).tolist() == sorted(np.abs(differences), reverse=True)
    draws = first.draws["resample"] - second.draws["resample"]
    for row in rows:
        channel = int(row["channel"])
        assert float(row["mean E_A - E_B (dB)"]) == pytest.approx(
            first.mean()[channel] - second.mean()[channel], abs=1e-6
        )
        half = stats.t.ppf(0.975, 2) * draws[:, channel].std(ddof=1) / 3**0.5
        assert float(row["resample high (dB)"]) == pytest.approx(draws[:, channel].mean() + half, abs=1e-6)
        assert row["mean low (dB)"] == ""
    text = paths[0].of_filters("-against.md").read_text()
    assert "A: DN sigma 50.0" in text and "B: DN sigma 25.0" in text and "of 4 filters (mean)" in text
    with pytest.raises(InputError, match="has the same degradation"):
        contrast_runs(strong, strong)
    record = json.loads(paths[1].of_filters(".json").read_bytes())
    record["provenance"]["donor_images_sha256"] = "another"
    paths[1].of_filters(".json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="--against: .* is a measurement of something else: donor_images_sha256"):
        contrast_runs(strong, weak)


def test_a_dry_run_says_what_each_layer_takes(
    tmp_path: Path, of_filters: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "CEM_Demo"):
        forecast_run(make_config(tmp_path, of_filters, filter_replacement=["mean", "resample"]))
    assert "first: 4 filters x 4 draws" in caplog.text
    assert "last: 3 filters x 4 draws" in caplog.text
    assert "0.0 GiB of the untouched image are kept" in caplog.text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filter_replacement": "median"}, "'median' is not one of mean, resample, zero"),
        ({"filter_replacement": "missing.pth"}, "missing.pth"),
        ({"filter_images": "nowhere"}, "filter_images: the folder nowhere does not exist"),
        (
            {"filter_replacement": "resample", "filter_draws": 4},
            "filter_images: resample needs 4 photographs .* finds 3; give more, or set filter_draws: 3",
        ),
        ({"filter_layers": ["head"]}, "filter_layers: head matches no layer"),
    ],
)
def test_mistakes_in_a_config_get_one_line(
    tmp_path: Path, of_filters: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        explain_run(make_config(tmp_path, of_filters, **changes))


@pytest.mark.slow
@needs(SHARED / "images")
def test_the_best_filters_of_one_image_cost_more_than_random_ones_on_another() -> None:
    from CEM_Demo.images import read_image

    folder = SHARED / "images" / "eval" / "kodak24"
    names = [f"kodim{number:02}.png" for number in (1, 2, 3)]
    images = [np.ascontiguousarray(read_image(folder / name)[128:224, 128:224]) for name in names]
    net, roi, degradation = load_denoise_model("DnCNN@Demo"), ROI.square(32, 32, 32), Degradation("DN")
    posed = []
    for name, image in zip(names[:2], images[:2], strict=True):
        scene = make_scene(degradation, image, name)
        inference = FilterInference(net, scene.degraded, roi, CPU)
        experiment = make_experiment(inference, scene, roi, inference.layers)
        donors = make_donors(images[2:], scene, degradation, 0, name, 4)
        posed.append((experiment, Replacements(inference, donors)))
    chosen_on, replacements = posed[0]
    found = no_effects(chosen_on, ["mean"], replacements)
    measure_effects(chosen_on, replacements, found)
    effects = effects_of(chosen_on, found, Criteria(tol=0.01))
    count = chosen_on.filters // 100
    best = np.zeros(chosen_on.filters, dtype=bool)
    best[effects.strongest(1, count)] = True
    random = np.random.RandomState(0)
    sets = np.stack([best, *(alike(best, effects, random) for _ in range(8))])
    costs = measure_sets(posed[1][0], sets, "mean", posed[1][1], [0])[:, 0]
    assert costs[0] > costs[1:].max()
