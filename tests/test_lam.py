"""Local Attribution Maps equal closed forms, and what the authors' code computes if the records are at hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from CEM_Demo.attribution import ClassShare, LocalAttribution, block_sums, compare, lam
from CEM_Demo.attribution.blur_path import STEPS, blur, blur_sigmas, gaussian_kernel, path_step, steps_that_change
from CEM_Demo.attribution.diffusion import absolute_map, diffusion_index, gini_coefficient, pixels_involved, signed_map
from CEM_Demo.attribution.objective import Objective, sum_of_magnitudes
from CEM_Demo.attribution.pictures import (
    WINDOW_COLOR,
    blend,
    density_picture,
    enlarged_input,
    kernel_density,
    map_picture,
)
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI, Grid
from CEM_Demo.images import with_roi_box
from CEM_Demo.inference.lent_network import lent
from CEM_Demo.ModelZoo import checkpoints, load_network
from conftest import Tiny, photograph
from shared_material import SHARED, needs

GOLDEN = SHARED / "golden_lam"
WINDOW = ROI.square(6, 5, 8)

# These are the small networks and images; all cases together take minutes.
QUICK = {
    "DnCNN_kodim08_dn_1",
    "EDSR-Demo_woman_odd_0",
    "PAN_bird_wide_1",
    "PReNet_kodim08_dr_0",
    "RFDN_bird_wide_1",
    "RFDN_woman_odd_1",
    "SRResNet-Demo_woman_odd_1",
}
RECORDED = json.loads((GOLDEN / "INDEX.json").read_text())["cases"] if GOLDEN.exists() else []
CASES = [
    pytest.param(case, id=name, marks=() if name in QUICK else pytest.mark.slow)
    for case in RECORDED
    for name in [case["file"].removeprefix("case_").removesuffix(".npz")]
]


class Scaled(nn.Module):
    """Each pixel as ``scale`` x ``scale`` equal ones."""

    def __init__(self, scale: int = 1) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(self.scale, -2).repeat_interleave(self.scale, -1)


class Function(nn.Module):
    """A network that is any function of the image."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Shuffled(nn.Module):
    """Two convolutions with a pixel shuffle, as super-resolution networks have them."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 3 * scale**2, 3, padding=1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(self.last(torch.relu(self.first(x))), self.scale)


def ramp(height: int, width: int) -> np.ndarray:
    """Brighter from left to right, ever faster, and the same in all rows."""
    levels = (np.linspace(0.2, 1, width) ** 2 * 250).astype(np.uint8)
    return np.broadcast_to(levels[None, :, None], (height, width, 3)).copy()


def tiny() -> Tiny:
    torch.manual_seed(0)
    return Tiny()


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Norm of the difference over the norm of ``expected``."""
    return float(np.linalg.norm(found.astype(np.float64) - expected) / np.linalg.norm(expected.astype(np.float64)))


# The method, where the answer is known


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_on_a_ramp_the_attribution_is_what_the_blur_changed_at_the_sides_of_the_window(scale: int) -> None:
    """The magnitudes telescope: the objective is the level right of the window minus that of its first column."""
    image = ramp(11, 17)
    result = lam(Scaled(scale), image, ROI(4 * scale, 3 * scale, 6 * scale, 5 * scale), scale)
    unit = image.astype(np.float32) / 255
    change = unit.transpose(2, 0, 1) - blur(unit, gaussian_kernel(1.2))
    expected = np.zeros_like(change)
    # A block of equal pixels differs from the next one in its last column alone.
    expected[:, 3:8, 10] = scale * change[:, 3:8, 10]
    expected[:, 3:8, 4] = -scale * change[:, 3:8, 4]
    np.testing.assert_allclose(result.attribution, expected, atol=1e-6)
    assert result.objective[-1] == pytest.approx(scale * (unit[3:8, 10] - unit[3:8, 4]).sum(), rel=1e-5)


def test_the_attribution_sums_up_to_what_the_objective_gains_along_the_path() -> None:
    image = photograph(21, 26)
    result = lam(tiny(), image, WINDOW, 1)
    blurred = torch.from_numpy(blur(image.astype(np.float32) / 255, gaussian_kernel(1.2)))[None]
    with torch.no_grad():
        start = float(sum_of_magnitudes(tiny()(blurred), WINDOW))
    assert result.attribution.sum() == pytest.approx(result.objective[-1] - start, rel=0.06)  # a rule of right ends


def test_the_steps_left_out_add_nothing() -> None:
    image = photograph(21, 26)
    unit = image.astype(np.float32) / 255
    steps = [path_step(unit, number) for number in range(1, STEPS + 1)]
    objective = Objective(tiny().requires_grad_(False), torch.empty(0), WINDOW, 1)
    found = objective.evaluate(np.stack([step.image for step in steps]))
    everything = (found.gradients * np.stack([step.change for step in steps])).mean(axis=0)
    result = lam(tiny(), image, WINDOW, 1)
    assert len(result.objective) == steps_that_change() == 44
    assert relative(result.attribution, everything) < 1e-6
    np.testing.assert_allclose(found.values[44:], result.objective[-1], rtol=1e-6)


def test_a_flat_sky_outside_the_window_does_not_take_the_gradients_away() -> None:
    """As published, the root of the whole image makes all gradients of this network NaN, for its mean spreads them."""
    image = photograph(24, 24)
    image[:, 16:] = 255

    def brightened(x: Tensor) -> Tensor:
        return x * (1 + x.mean(dim=(1, 2, 3), keepdim=True))

    result = lam(Function(brightened), image, ROI.square(2, 5, 8), 1)
    assert np.isfinite(result.attribution).all() and result.map[5:13, 2:10].mean() > 0.1
    assert 0 < result.diffusion_index < 100


def test_a_window_partly_in_clipped_sky_attributes_nothing_to_the_sky() -> None:
    image = photograph(24, 24) // 3
    image[:, 12:] = 255
    result = lam(Function(lambda x: (2 * x).clamp(0, 1)), image, ROI.square(6, 6, 12), 1)
    assert result.map.max() == 1
    assert not result.map[:, 14:].any()


@pytest.mark.parametrize(("scale", "shape"), [(1, (13, 22)), (2, (9, 15)), (3, (3, 5)), (4, (1, 4))])
def test_any_scale_and_size(scale: int, shape: tuple[int, int]) -> None:
    """Images may be smaller than the kernel of the blur."""
    torch.manual_seed(1)
    result = lam(Shuffled(scale), photograph(*shape), ROI(0, 0, 3, 3), scale)
    assert result.attribution.shape == (3, *shape) and result.map.shape == result.signed.shape == result.size == shape
    assert result.restored.shape == (3, shape[0] * scale, shape[1] * scale)
    assert result.map.max() == np.abs(result.signed).max() == 1
    assert result.pixels == pytest.approx(shape[0] * shape[1] * result.diffusion_index / 100)


def test_a_window_that_touches_the_far_border_has_one_row_and_column_less() -> None:
    image = photograph(20, 24)
    at_the_border, shorter = (lam(tiny(), image, roi, 1) for roi in (ROI(14, 12, 10, 8), ROI(14, 12, 9, 7)))
    np.testing.assert_array_equal(at_the_border.attribution, shorter.attribution)


def test_the_map_is_the_magnitude_of_the_signed_sum_over_the_channels() -> None:
    attribution = np.array([[[1, -3, 0]], [[1, 1, 0]], [[-4, 1, 2]]], dtype=np.float32)
    np.testing.assert_array_equal(signed_map(attribution), np.float32([[-1, -0.5, 1]]))
    np.testing.assert_array_equal(absolute_map(attribution), np.float32([[1, 0.5, 1]]))


def test_diffusion_of_a_flat_map_and_of_one_pixel() -> None:
    spot = np.zeros((8, 10), dtype=np.float32)
    spot[3, 4] = 1
    assert diffusion_index(np.ones((8, 10), dtype=np.float32)) == pytest.approx(100)
    assert diffusion_index(spot) == pytest.approx(100 / 80, rel=1e-3)
    # The same map in an image twice as large: half the index, as many pixels.
    large = np.pad(spot, ((0, 8), (0, 0)))
    assert diffusion_index(large) == pytest.approx(diffusion_index(spot) / 2, rel=1e-2)
    assert pixels_involved(large) == pytest.approx(pixels_involved(spot), rel=1e-2)


# The caller's network


def test_the_network_is_left_as_it_was_found() -> None:
    network = nn.Sequential(tiny(), nn.BatchNorm2d(3), nn.Dropout(0.5), tiny()).train()
    network[1].eval()
    network[0].first.weight.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    asked = [weight.requires_grad for weight in network.parameters()]
    modes = [module.training for module in network.modules()]
    first, second = (lam(network, photograph(16, 16), ROI.square(4, 4, 6), 1) for _ in range(2))
    np.testing.assert_array_equal(first.attribution, second.attribution)  # no dropout: it ran in evaluation mode
    assert asked == [weight.requires_grad for weight in network.parameters()]
    assert modes == [module.training for module in network.modules()]
    assert all(weight.grad is None for weight in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_network_is_left_as_it_was_found_by_a_failure() -> None:
    network = nn.Sequential(tiny(), nn.Upsample(scale_factor=2)).train()
    with pytest.raises(InputError):
        lam(network, photograph(16, 16), ROI.square(4, 4, 6), 1)
    assert network[0].training and all(weight.requires_grad for weight in network.parameters())


def test_another_device_gets_a_copy() -> None:
    network = tiny()
    with lent(network, torch.device("meta")) as (copied, sample):
        assert {weight.device.type for weight in copied.parameters()} == {sample.device.type} == {"meta"}
        assert {weight.device.type for weight in network.parameters()} == {"cpu"}
    with lent(network, torch.device("cpu")) as (same, _):
        assert same is network


def test_inference_mode_is_in_nobodys_way() -> None:
    image, roi = photograph(16, 16), ROI.square(4, 4, 6)
    expected = lam(tiny(), image, roi, 1)
    network = tiny()
    with torch.inference_mode():
        made_within = tiny()
        called_within = lam(network, image, roi, 1)
    for found in (called_within, lam(made_within, image, roi, 1)):
        np.testing.assert_array_equal(found.attribution, expected.attribution)
    assert all(weight.requires_grad for weight in made_within.parameters())


def test_a_network_of_double_precision_agrees_with_one_of_single_precision() -> None:
    single, double = (lam(network, photograph(16, 16), WINDOW, 1) for network in (tiny(), tiny().double()))
    assert relative(single.attribution, double.attribution) < 1e-4


def test_a_network_may_write_into_its_input() -> None:
    written = lam(Function(lambda x: x.mul_(0.5)), photograph(16, 16), WINDOW, 1)
    read = lam(Function(lambda x: x * 0.5), photograph(16, 16), WINDOW, 1)
    np.testing.assert_array_equal(written.attribution, read.attribution)


def test_many_images_at_a_time_give_what_one_by_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = Objective(tiny().requires_grad_(False), torch.empty(0), WINDOW, 1)
    images = np.stack([path_step(photograph(16, 18).astype(np.float32) / 255, number).image for number in range(1, 6)])
    together, single = objective.evaluate(images), [objective.evaluate(image[None]) for image in images]
    np.testing.assert_allclose(together.values, [found.values[0] for found in single], rtol=1e-5)
    np.testing.assert_allclose(together.gradients, np.stack([found.gradients[0] for found in single]), atol=1e-5)


def test_what_does_not_fit_into_the_memory_goes_in_halves() -> None:
    seen = []

    def small(x: Tensor) -> Tensor:
        seen.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError("too many")
        return x * 2

    images = np.random.default_rng(0).random((5, 3, 16, 16), dtype=np.float32)
    found = Objective(Function(small), torch.empty(0), WINDOW, 1).evaluate(images)
    assert seen == [5, 3, 2, 1, 2]
    np.testing.assert_array_equal(found.output.numpy(), images[-1] * 2)
    assert len(found.values) == 5 and found.gradients.shape == images.shape


# What is refused


@pytest.mark.parametrize(
    ("roi", "message"),
    [
        (ROI.square(-1, 4, 8), "reaches out of the output of 32 x 32 pixels"),
        (ROI.square(4, -2, 8), "reaches out"),
        (ROI.square(25, 4, 8), "reaches out"),
        (ROI.square(4, 25, 8), "reaches out"),
        (ROI(4, 31, 8, 1), "no pixel with a neighbor"),
        (ROI(4, 4, 0, 8), "no pixel with a neighbor"),
    ],
)
def test_windows_that_leave_the_image_or_hold_nothing(roi: ROI, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lam(Scaled(2), photograph(16, 16), roi, 2)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.detach(), "detached from its input"),
        (lambda x: torch.ones_like(x), "detached from its input"),
        (lambda x: torch.from_numpy(x.numpy()), "LAM needs a network that a gradient passes through"),
        (lambda x: (x * 255).round() / 255, "zero everywhere"),
        (lambda x: 0 * x, "zero everywhere"),
        (lambda x: x / 0, "not finite"),
        (lambda x: x[..., ::2, ::2], "8 x 8 values, not 1 x 3 x 16 x 16: check the scale, which is 1"),
        (lambda x: (x, x), "returns a tuple"),
    ],
)
def test_networks_without_a_gradient_or_an_image_end_in_one_line(function: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        lam(Function(function), photograph(16, 16), WINDOW, 1)
    assert "\n" not in str(raised.value)


def test_an_error_of_the_network_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="expected input"):
        lam(nn.Conv2d(4, 3, 3), photograph(16, 16), WINDOW, 1)


@pytest.mark.parametrize("image", [photograph(16, 16) / 255, photograph(16, 16)[..., 0], photograph(16, 16)[:0]])
def test_images_of_another_kind(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="H x W x 3 uint8 RGB"):
        lam(tiny(), image, WINDOW, 1)


def test_gradients_that_a_network_makes_nan_are_reported() -> None:
    """The root of a black pixel has no finite derivative, and 0 times infinity is NaN."""
    image = photograph(16, 16)
    image[:8, 8:] = 0
    with pytest.warns(UserWarning, match="gradients are NaN and count as 0"):
        result = lam(Function(lambda x: x + 0 * x.sqrt()), image, ROI.square(2, 6, 8), 1)
    assert np.isfinite(result.attribution).all()


# Pictures and comparison


def test_the_figure_shows_input_map_blend_and_restored_image() -> None:
    result = lam(Scaled(2), photograph(16, 20), ROI.square(8, 8, 12), 2)
    figure = result.figure(with_density=True)
    pictures = [axes.images[0].get_array() for axes in figure.axes]
    assert [picture.shape for picture in pictures] == [(32, 40, 3)] * 5
    assert len(result.figure().axes) == 4
    assert tuple(pictures[0][8, 10]) == (255, 0, 0)
    assert re.fullmatch(r"DI \d+\.\d\d on 20 x 16 pixels \(\d+ pixels involved\)", str(result))


@pytest.mark.parametrize("place", [np.s_[3, 4], np.s_[3, :], np.s_[:, 4], np.s_[:0, :0]])
def test_a_map_on_one_pixel_or_line_has_no_density(place: Any) -> None:
    values = np.zeros((9, 11), dtype=np.float32)
    values[place] = 1
    with pytest.raises(InputError, match="which has no density"):
        kernel_density(values)


def test_a_density_of_many_pixels_is_refused() -> None:
    with pytest.raises(InputError, match="256 x 256 pixels takes too long"):
        kernel_density(np.ones((256, 256), dtype=np.float32))


def test_block_sums_hold_every_pixel_once() -> None:
    values = np.random.default_rng(0).random((11, 7)).astype(np.float32)
    sums = block_sums(values, Grid(height=11, width=7, block=4, scale=2))
    assert sums.shape == (3, 2)
    assert sums[1, 1] == pytest.approx(values[4:8, 4:].sum(dtype=np.float64))
    assert sums.sum() == pytest.approx(values.sum(dtype=np.float64))
    with pytest.raises(InputError, match="not 8 x 7 pixels"):
        block_sums(values, Grid(height=8, width=7, block=4, scale=2))


def test_the_comparison_ranks_magnitudes_and_shares_out_the_attribution() -> None:
    sums = np.array([[1.0, 2.0, 3.0], [4.0, 10.0, 0.0]])
    effects = np.array([[0.1, -0.2, 0.3], [-0.4, 99.0, 0.0]])
    outside = np.array([[True, True, True], [True, False, True]])
    classes = {"helping": effects > 0, "hurting": effects < 0, "none": np.zeros((2, 3), dtype=bool)}
    found = compare(sums, effects, classes, among=outside)
    assert found.rank_correlation == pytest.approx(1) and found.blocks == 5
    assert found.shares["helping"] == ClassShare(0.4, 0.4)
    assert found.shares["hurting"] == ClassShare(0.6, 0.4)
    assert found.shares["none"] == ClassShare(0, 0)
    assert compare(sums, effects, classes).shares["helping"].attribution == pytest.approx(14 / 20)
    assert np.isnan(compare(sums, np.zeros((2, 3)), {}).rank_correlation)


def test_the_comparison_refuses_arrays_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="helping"):
        compare(np.ones((2, 3)), np.ones((2, 3)), {"helping": np.ones((3, 2), dtype=bool)})
    with pytest.raises(InputError, match="no attribution"):
        compare(np.zeros((2, 3)), np.ones((2, 3)), {})


# What the authors' code computes


@pytest.fixture(scope="module")
def units() -> Mapping[str, np.ndarray]:
    return np.load(GOLDEN / "units.npz")


@needs(GOLDEN)
def test_kernels_and_schedule_are_the_published_ones(units: Mapping[str, np.ndarray]) -> None:
    np.testing.assert_allclose(blur_sigmas(), units["sigmas_50"], atol=1e-12)
    for name in (name for name in units if name.startswith("kernel_")):
        side, sigma = re.fullmatch(r"kernel_l(\d+)_s(.+)", name).groups()
        np.testing.assert_allclose(gaussian_kernel(float(sigma), int(side)), units[name], atol=1e-12)


@needs(GOLDEN)
@pytest.mark.parametrize("name", ["p12x15", "p3x5", "p1x4"])
@pytest.mark.parametrize(("steps", "side"), [(4, 9), (3, 5)])
def test_paths_of_tiny_images_are_the_published_ones(
    units: Mapping[str, np.ndarray], name: str, steps: int, side: int
) -> None:
    found = [path_step(units[f"{name}_image"], number, steps, side) for number in range(1, steps + 1)]
    for array, recorded in (("image", "images"), ("change", "deltas")):
        expected = units[f"{name}_blur_f{steps}_l{side}_{recorded}"]
        np.testing.assert_allclose(np.stack([getattr(step, array) for step in found]), expected, rtol=0, atol=2e-6)


@needs(GOLDEN)
@pytest.mark.parametrize(
    "image", ["urban092", "urban062", "butterfly", "bird_wide", "woman_odd", "kodim08_dn", "kodim08_dr"]
)
def test_paths_of_photographs_are_the_published_ones(image: str) -> None:
    golden = np.load(GOLDEN / f"image_{image}.npz")
    unit = golden["lr_uint8"].astype(np.float32) / 255
    np.testing.assert_allclose(blur(unit, gaussian_kernel(1.2)), golden["baseline"], rtol=0, atol=2e-6)
    for number, name in ((1, "first"), (25, "25th"), (50, "last")):
        step = path_step(unit, number)
        np.testing.assert_allclose(step.image, golden[f"path_{name}"], rtol=0, atol=2e-6)
        np.testing.assert_allclose(step.change, golden[f"delta_{name}"], rtol=0, atol=2e-6)
    np.testing.assert_allclose(path_step(unit, steps_that_change()).image, golden["path_last"], rtol=0, atol=1e-9)


@needs(GOLDEN)
def test_objectives_of_windows_cut_and_empty_are_the_published_ones(units: Mapping[str, np.ndarray]) -> None:
    for name in (name for name in units if re.fullmatch(r"grad_h\d+_w\d+_n\d+_value", name)):
        top, left, side = map(int, re.findall(r"\d+", name))
        output = torch.from_numpy(units["tensor"]).requires_grad_()
        value = sum_of_magnitudes(output, ROI.square(left, top, side))
        (gradient,) = torch.autograd.grad(value.sum(), output)
        assert float(value.detach()) == pytest.approx(float(units[name]), rel=1e-6)
        expected = units[name.replace("value", "gradient")]
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=0, atol=1e-6)


@needs(GOLDEN)
@pytest.mark.parametrize("roi", [ROI.square(4, 3, 8), ROI.square(12, 12, 6)], ids=["inside", "outside"])
def test_a_flat_square_has_a_gradient_everywhere(units: Mapping[str, np.ndarray], roi: ROI) -> None:
    output = torch.from_numpy(units["tensor_with_flat"]).requires_grad_()
    (gradient,) = torch.autograd.grad(sum_of_magnitudes(output, roi).sum(), output)
    assert units["flat_inside_window_nan_count"] == units["flat_outside_window_nan_count"] == 24
    assert gradient.isfinite().all()


@needs(GOLDEN)
def test_gini_and_maps_are_the_published_ones(units: Mapping[str, np.ndarray]) -> None:
    for name in (name for name in units if name.startswith("gini_") and name.endswith("_array")):
        value = float(units[name.replace("array", "value")])
        assert gini_coefficient(units[name]) == pytest.approx(value, rel=1e-6, abs=1e-9)
    np.testing.assert_allclose(absolute_map(units["signed3"]), units["abs_norm"], rtol=1e-6)
    np.testing.assert_allclose(signed_map(units["signed3"]), units["signed_norm"], rtol=1e-6)


@needs(GOLDEN)
@pytest.mark.parametrize("case", ["EDSR-Demo_butterfly_0", "RFDN_bird_wide_1", "RFDN_urban092_0"])
def test_pictures_are_the_published_ones(case: str) -> None:
    figures, recorded = np.load(GOLDEN / f"figures_{case}.npz"), np.load(GOLDEN / f"case_{case}.npz")
    image = np.load(GOLDEN / f"image_{case.partition('_')[2][:-2]}.npz")
    left, top, side = map(int, recorded["window"])
    backdrop = enlarged_input(image["lr_uint8"], 4)
    drawn, smooth = map_picture(recorded["map"], 4), density_picture(recorded["kde"], 4)
    found = {
        "position": with_roi_box(image["hr_uint8"], ROI.square(left, top, side), WINDOW_COLOR),
        "abs": drawn,
        "blend_abs": blend(drawn, backdrop),
        "blend_kde": blend(smooth, backdrop),
    }
    for name, picture in found.items():
        np.testing.assert_allclose(picture.astype(int), figures[name].astype(int), atol=1, err_msg=name)
    np.testing.assert_allclose(kernel_density(recorded["map"]), recorded["kde"], rtol=0, atol=1e-3)


def recorded_network(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[nn.Module, int]:
    """The network of a recorded case and its scale: bundled, or with the authors' weights."""
    task = {"DnCNN": "DN", "PReNet": "DR"}.get(name, "SR")
    if "@" not in name:
        monkeypatch.setattr(checkpoints, "MODEL_DIR", SHARED / "weights")
    scale = 4 if task == "SR" else 1
    return load_network(name, task, scale), scale


def assert_is_recorded(found: LocalAttribution, attribution: np.ndarray, values: np.ndarray, index: float) -> None:
    """What other processors than the recording one may differ by is what they have been seen to differ by."""
    assert relative(found.attribution, attribution) <= 2e-2
    assert relative(found.map, values) <= 1e-3
    assert abs(found.diffusion_index - index) <= min(3e-4 * index + 2e-4, 0.01)


@needs(GOLDEN)
@pytest.mark.parametrize("case", CASES)
def test_published_attributions(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    golden, image = np.load(GOLDEN / case["file"]), np.load(GOLDEN / f"image_{case['image']}.npz")
    network, scale = recorded_network(case["network"], monkeypatch)
    found = lam(network, image["lr_uint8"], ROI.square(case["w"], case["h"], case["n"]), scale)
    assert_is_recorded(found, golden["attribution"], golden["map"], float(golden["di"]))
    if "@Demo" in case["network"]:
        assert relative(found.attribution, golden["attribution"]) <= 5e-4
    assert relative(found.signed, golden["signed_map"]) <= 1e-3
    np.testing.assert_allclose(found.objective, golden["objective"][: len(found.objective)], rtol=2e-5)
    np.testing.assert_allclose(golden["objective"][len(found.objective) :], found.objective[-1], rtol=2e-5)
    restored = found.restored[:, case["h"] : case["h"] + case["n"] + 1, case["w"] : case["w"] + case["n"] + 1]
    np.testing.assert_allclose(restored, golden["result_window"], rtol=0, atol=1e-5)


@needs(GOLDEN)
@pytest.mark.parametrize("window", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_white_sky_leaves_a_map(window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = np.load(GOLDEN / "defect_PAN_whitesky.npz")
    assert golden[f"published_nan_share_{window}"] == 1
    network, scale = recorded_network("PAN", monkeypatch)
    left, top, side = map(int, golden[f"window_{window}"])
    found = lam(network, golden["lr_uint8"], ROI.square(left, top, side), scale)
    expected = (golden[f"mended_{name}_{window}"] for name in ("attribution", "map"))
    assert_is_recorded(found, *expected, float(golden[f"mended_di_{window}"]))


@needs(GOLDEN)
@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(GOLDEN.glob("float64_*.npz")), ids=lambda path: path.stem)
def test_networks_of_double_precision(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = file.stem.removeprefix("float64_")
    case = next(case for case in RECORDED if case["file"] == f"case_{name}.npz")
    golden, image = np.load(file), np.load(GOLDEN / f"image_{case['image']}.npz")
    network, scale = recorded_network(case["network"], monkeypatch)
    found = lam(network.double(), image["lr_uint8"], ROI.square(case["w"], case["h"], case["n"]), scale)
    assert_is_recorded(found, golden["attribution"], golden["map"], float(golden["di"]))
