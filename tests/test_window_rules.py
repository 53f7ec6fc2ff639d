"""Windows and the rules that carry them through operators."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.inference.graph import export_graph
from CEM_Demo.inference.operators import rules_of
from CEM_Demo.inference.sliding import phase_kernels
from CEM_Demo.inference.windows import Window, block_windows, common, hull, no_windows, one_window, whole

CPU = torch.device("cpu")


def test_hull_ignores_empty_windows() -> None:
    box = Window(2, 5, 7, 9)
    assert hull((one_window(box), no_windows(1))).box(0) == box
    assert hull((one_window(box), one_window(Window(0, 1, 8, 12)))).box(0) == Window(0, 5, 7, 12)
    assert not hull((no_windows(2), no_windows(2))).filled.any()


def test_windows_are_cut_at_the_border() -> None:
    blocks = block_windows(np.array([[0, 0], [8, 16], [8, 24]]), (8, 8), (12, 20))
    assert [blocks.box(0), blocks.box(1)] == [Window(0, 8, 0, 8), Window(8, 12, 16, 20)]
    assert blocks.filled.tolist() == [True, True, False]
    assert blocks.areas.tolist() == [64, 16, 0]
    assert common(blocks, one_window(Window(4, 10, 0, 17))).areas.tolist() == [32, 2, 0]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    kernel=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    stride=st.integers(1, 4),
    groups=st.sampled_from([1, 2]),
)
def test_phase_kernels_are_the_transposed_convolution(kernel: tuple[int, int], stride: int, groups: int) -> None:
    torch.manual_seed(0)
    image, weight = torch.randn(2, 4, 5, 6), torch.randn(4, 3, *kernel)
    expected = F.conv_transpose2d(image, weight, stride=stride, groups=groups)
    phases = phase_kernels(weight, stride, groups)
    around = [side - 1 for side in phases.shape[2:]]
    found = F.pixel_shuffle(F.conv2d(image, phases, padding=around, groups=groups), stride)
    height, width = expected.shape[2:]
    torch.testing.assert_close(found[..., :height, :width], expected[..., : found.shape[2], : found.shape[3]])


class Once(nn.Module):
    """A network of one operator."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, image: Tensor) -> Tensor:
        return self.layer(image)


class Flip(nn.Module):
    """Mirrors the given axes, perhaps none."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, image: Tensor) -> Tensor:
        return image.flip(self.axes)


LAYERS = [
    nn.Conv2d(3, 3, 3),
    nn.Conv2d(3, 3, (5, 2), stride=(2, 3), padding=(1, 0), dilation=(1, 2)),
    nn.Conv2d(3, 3, 4, padding="same"),
    nn.ConvTranspose2d(3, 3, 4, stride=2, padding=1),
    nn.ConvTranspose2d(3, 3, 1, stride=3, output_padding=2),
    nn.AvgPool2d(3, 2, 1),
    nn.PixelUnshuffle(2),
    nn.ZeroPad2d((1, 2, -1, 3)),
    nn.ReflectionPad2d(2),
    nn.CircularPad2d(2),
    Flip(),
    Flip(2, -1),
    nn.Upsample(scale_factor=2, mode="nearest"),
    nn.Upsample(scale_factor=1.5, mode="bilinear"),
    nn.Upsample(scale_factor=2, mode="bicubic", align_corners=True),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_rules_bound_what_an_operator_reads(layer: nn.Module) -> None:
    """Check by derivatives that windows hold all that a pixel depends on, and that a single pixel has no larger one."""
    size = (12, 14)
    graph = export_graph(Once(layer).eval(), *size, CPU)
    number, rule = graph.output, rules_of(graph)[graph.output]
    assert rule is not None
    output_size = graph.nodes[number].size
    image = torch.rand(1, 3, *size, requires_grad=True)
    restored = layer(image).sum(1)[0]
    for row, column in np.random.default_rng(0).integers(0, output_size, (12, 2)).tolist():
        (gradient,) = torch.autograd.grad(restored[row, column], image, retain_graph=True)
        read = torch.nonzero(gradient[0].abs().sum(0))
        window = rule.needs(0, one_window(Window(row, row + 1, column, column + 1)))
        assert window is not None
        top, bottom, left, right = window.box(0)
        for source_row, source_column in read.tolist():
            assert top <= source_row < bottom and left <= source_column < right
            changed = rule.changes(0, one_window(Window(source_row, source_row + 1, source_column, source_column + 1)))
            top_changed, bottom_changed, left_changed, right_changed = changed.within(output_size).box(0)
            assert top_changed <= row < bottom_changed and left_changed <= column < right_changed


def test_operators_without_a_rule_change_everything() -> None:
    graph = export_graph(Once(nn.AdaptiveAvgPool2d(1)), 12, 12, CPU)
    assert rules_of(graph)[graph.output] is None
    assert whole((3, 4), 2).areas.tolist() == [12, 12]
