"""Operators on values that lie otherwise than in feature maps are followed as if these were feature maps."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.geometry import ROI
from CEM_Demo.inference.feature_maps import on_feature_maps
from CEM_Demo.inference.graph import export_graph
from CEM_Demo.inference.incremental import IncrementalInference
from CEM_Demo.inference.suffix import FilterInference
from CEM_Demo.networks.adapting import PerChannel
from conftest import photograph
from test_incremental import CPU, assert_equals_dense

WIDTH = 8
HEIGHT, ACROSS = 40, 48
ROI_HERE = ROI.square(20, 16, 6)


class Mixed(nn.Module):
    """Convolutions around what a function does to the features, on lists of pixels or with the channels last."""

    def __init__(self, mix: Callable[[Mixed, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, 3, 3, padding=1)
        self.norm, self.grow, self.shrink = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 20), nn.Linear(20, WIDTH)
        self.scale = nn.Parameter(torch.rand(WIDTH))
        self.positions = nn.Parameter(torch.rand(HEIGHT * ACROSS, WIDTH))
        self.mix = mix

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5 * self.last(self.mix(self, self.first(x)))


def channels_last(net: Mixed, x: Tensor) -> Tensor:
    y = net.norm(x.permute(0, 2, 3, 1))
    return x + (net.scale * net.shrink(F.gelu(net.grow(y)))).permute(0, 3, 1, 2)


def list_of_pixels(net: Mixed, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2)
    mean, variance = tokens.mean(-1, keepdim=True), tokens.var(-1, unbiased=False, keepdim=True)
    tokens = tokens + (tokens - mean) / torch.sqrt(variance + 1e-5) * net.scale
    return tokens.transpose(1, 2).reshape(x.shape)


def by_reshaping(net: Mixed, x: Tensor) -> Tensor:
    count, channels, height, width = x.shape
    tokens = x.permute(0, 2, 3, 1).reshape(count, height * width, channels)
    mean = tokens.mean(-1, keepdim=True)
    tokens = (tokens - mean) * torch.rsqrt((tokens - mean).square().mean(-1, keepdim=True) + 1e-5)
    gate, value = net.grow(tokens).chunk(2, dim=-1)
    tokens = torch.cat([gate.sigmoid() * value, value], dim=-1)
    return net.shrink(tokens).reshape(count, height, width, channels).permute(0, 3, 1, 2)


def along_flat_channels(net: Mixed, x: Tensor) -> Tensor:
    return (x.flatten(2).softmax(dim=1) * net.scale[:, None]).unflatten(2, x.shape[2:])


def with_positions(net: Mixed, x: Tensor) -> Tensor:
    tokens = x.flatten(2).transpose(1, 2) + net.positions
    return net.norm(tokens).transpose(1, 2).reshape(x.shape)


def turned_around(net: Mixed, x: Tensor) -> Tensor:
    y = torch.roll(net.norm(x.permute(0, 2, 3, 1)), (2, 3), dims=(1, 2))
    return y.permute(0, 3, 1, 2).contiguous()


def over_rows(net: Mixed, x: Tensor) -> Tensor:
    y = net.norm(x.permute(0, 2, 3, 1))
    return (y - y.mean(dim=2, keepdim=True)).permute(0, 3, 1, 2)


def wavelets(net: Mixed, x: Tensor) -> Tensor:
    """A Haar transform and its inverse, by slices, as wavelet networks write them."""
    rows = x[:, :, 0::2], x[:, :, 1::2]
    corners = [row[..., start::2] for row in rows for start in (0, 1)]
    mixed = [one * net.scale[0] + other for one, other in zip(corners, corners[1:] + corners[:1], strict=True)]
    whole = torch.zeros_like(x)
    for place, part in enumerate(mixed):
        whole[:, :, place // 2 :: 2, place % 2 :: 2] = part
    whole[:, 2:5] = whole[:, 1:4] * 0.5
    whole[..., 10:30, :] = whole[..., 11:31, :]
    return whole


LOCAL = [wavelets, channels_last, list_of_pixels, by_reshaping, along_flat_channels]


@pytest.mark.parametrize("mix", [*LOCAL, with_positions, turned_around, over_rows])
def test_rearranged_networks_equal_dense_ones(mix: Callable[[Mixed, Tensor], Tensor]) -> None:
    net = Mixed(mix).eval()
    image = photograph(HEIGHT, ACROSS)
    inference = IncrementalInference(net, image, ROI_HERE, 8, CPU)
    assert inference.roi_graph.is_local == (mix in LOCAL)
    if mix in LOCAL:
        # Two convolutions of three pixels, and a wavelet, reach three pixels beyond the ROI, into nine blocks of 30.
        assert inference.reached_blocks.sum() <= 9
    corners = torch.cartesian_prod(torch.arange(0, HEIGHT, 8), torch.arange(0, ACROSS, 8)).numpy()
    assert_equals_dense(net, image, ROI_HERE, 8, corners)


def test_a_graph_of_feature_maps_stays_as_it_is() -> None:
    graph = export_graph(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3)).eval(), 16, 16, CPU)
    assert on_feature_maps(graph) is graph


def test_a_gray_network_is_local_on_all_three_channels() -> None:
    torch.manual_seed(0)
    net = PerChannel(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))).eval()
    image = photograph(HEIGHT, ACROSS)
    assert IncrementalInference(net, image, ROI_HERE, 8, CPU).roi_graph.is_local
    corners = torch.cartesian_prod(torch.arange(0, HEIGHT, 8), torch.arange(0, ACROSS, 8)).numpy()
    assert_equals_dense(net, image, ROI_HERE, 8, corners)


@torch.no_grad()
def test_filters_of_linear_layers_on_pixels_are_replaced_in_windows() -> None:
    net, image = Mixed(channels_last).eval(), photograph(HEIGHT, ACROSS)
    inference = FilterInference(net, image, ROI_HERE, CPU)
    layers = {layer.name: layer for layer in inference.layers}
    assert list(layers) == ["first", "grow", "shrink", "last"]
    # The ROI depends on one pixel around it, through the last convolution.
    assert inference.window(layers["grow"].sites[0]).sides == (ROI_HERE.height + 2, ROI_HERE.width + 2)
    without = copy.deepcopy(net)
    without.grow.weight[5], without.grow.bias[5] = 0, 0
    mask = torch.zeros(2, 20, dtype=torch.bool)
    mask[1, 5] = True
    (site,) = layers["grow"].sites
    found = inference.suffix([layers["grow"]]).restore({site.number: mask}, {site.number: site.deleted})
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    for restored, dense in zip(found, (net, without), strict=True):
        torch.testing.assert_close(restored, dense(pixels)[0][(..., *ROI_HERE.window)], rtol=0, atol=1e-6)
