"""Draw small random networks from all the operators that restoration networks are made of."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = 4
Layer = Callable[[random.Random], nn.Module]


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.layers)


def convolution(draw: random.Random) -> nn.Module:
    kernel = (draw.randint(1, 5), draw.randint(1, 5))
    mode = draw.choice(["zeros", "zeros", "reflect", "replicate", "circular"])
    stride = draw.choice([1, 1, 1, 2, (1, 2), 3])
    padding = draw.choice([0, 1, 2, (0, 3), "same"] if stride == 1 else [0, 1, 2, (2, 0)])
    options = {"dilation": draw.choice([1, 1, 2]), "groups": draw.choice([1, 2]), "bias": draw.random() < 0.7}
    return nn.Conv2d(CHANNELS, CHANNELS, kernel, stride, padding, padding_mode=mode, **options)  # type: ignore[arg-type]


def transposed_convolution(draw: random.Random) -> nn.Module:
    stride = draw.choice([1, 2, 2, 3])
    kernel = (draw.randint(1, 5), draw.randint(1, 5))
    padding = draw.randint(0, min(kernel) // 2)
    options = {"groups": draw.choice([1, 2]), "dilation": draw.choice([1, 1, 1, 2])}
    extra = draw.randint(0, stride - 1)
    return nn.ConvTranspose2d(CHANNELS, CHANNELS, kernel, stride, padding, extra, **options)  # type: ignore[arg-type]


def activation(draw: random.Random) -> nn.Module:
    in_place = draw.random() < 0.5
    kinds = [nn.ReLU(in_place), nn.LeakyReLU(0.1, in_place), nn.PReLU(CHANNELS), nn.Sigmoid(), nn.Tanh(), nn.GELU()]
    return draw.choice([*kinds, nn.SiLU(in_place), nn.Hardtanh(), nn.ELU(), nn.Softplus(), nn.Dropout()])


def normalisation(draw: random.Random) -> nn.Module:
    layer = nn.BatchNorm2d(CHANNELS)
    for buffer in (layer.running_mean, layer.running_var):
        buffer.data.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return layer


def resizing(draw: random.Random) -> nn.Module:
    factor: Any = draw.choice([2, 2, 0.5, 1.5, (2, 1)])
    mode = draw.choice(["nearest", "nearest-exact", "bilinear", "bicubic"])
    antialias = draw.random() < 0.3
    options: dict[str, bool] = {}
    if mode in ("bilinear", "bicubic"):
        options = {"antialias": antialias, "align_corners": not antialias and draw.random() < 0.3}
    return Apply(lambda x: F.interpolate(x, scale_factor=factor, mode=mode, **options))


def pooling(draw: random.Random) -> nn.Module:
    kernel = draw.randint(2, 4)
    stride, padding, ceil = draw.randint(1, 3), draw.randint(0, kernel // 2), draw.random() < 0.3
    if draw.random() < 0.5:
        return nn.MaxPool2d(kernel, stride, padding, draw.choice([1, 2]), ceil_mode=ceil)
    return nn.AvgPool2d(kernel, stride, padding, ceil, count_include_pad=draw.random() < 0.7)


def shuffling(draw: random.Random) -> nn.Module:
    if draw.random() < 0.5:
        return nn.Sequential(nn.Conv2d(CHANNELS, 4 * CHANNELS, 1), nn.PixelShuffle(2))
    return Apply(
        lambda x, mix: mix(F.pixel_unshuffle(x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2], 2)),
        nn.Conv2d(4 * CHANNELS, CHANNELS, 1),
    )


def padding(draw: random.Random) -> nn.Module:
    mode = draw.choice(["constant", "constant", "reflect", "replicate", "circular"])
    lowest = -2 if mode == "constant" else 0
    widths = [draw.randint(lowest, 3) for _ in range(4)]
    value = draw.choice([None, 0.5]) if mode == "constant" else None
    return Apply(lambda x: F.pad(x, widths, mode, value))


def cropping(draw: random.Random) -> nn.Module:
    return Apply(
        draw.choice(
            [
                lambda x: x[..., 1:-2, 2:],
                lambda x: x[..., ::2, :],
                lambda x: x[..., 1:, ::3],
                lambda x: x.flip(-1),
                lambda x: x.roll((2, -3), (-2, -1)),
                lambda x: torch.cat((x[:, 1:], x[:, :1]), dim=1),
            ]
        )
    )


def arithmetic(draw: random.Random) -> nn.Module:
    return Apply(
        draw.choice(
            [
                lambda x: 1 - 2 * x / 3,
                lambda x: x.clamp(-0.5, 0.7),
                lambda x: x * torch.arange(x.shape[-1]) / x.shape[-1],
                lambda x: x + torch.linspace(0, 1, x.shape[-2])[:, None],
                lambda x: torch.where(x > 0, x, x.square()),
                lambda x: torch.cat((x[:, :2], torch.full_like(x[:, :2], 0.3)), dim=1),
                lambda x: x + x.new_zeros(x.shape).sigmoid(),
                lambda x: (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 0.1).sqrt(),
                lambda x: torch.cat([half * 2 for half in reversed(x.chunk(2, dim=1))], dim=1),
                lambda x: torch.maximum(x, -x).sqrt(),
                lambda x: torch.cat([x.split((1, 3), dim=1)[1], x.split(3, dim=1)[1].tanh()], dim=1),
                lambda x: x.chunk(2, dim=-2)[1] * 2,
                lambda x: x.softmax(dim=1),
                lambda x: F.channel_shuffle(x, 2),
            ]
        )
    )


def seeing_everything(draw: random.Random) -> nn.Module:
    """Draw operators that are computed on whole maps; some of them have the batch among their arguments."""
    return Apply(
        draw.choice(
            [
                lambda x: x * x.mean((-2, -1), keepdim=True).sigmoid(),
                lambda x: F.instance_norm(x),
                lambda x: x + F.interpolate(F.adaptive_avg_pool2d(x, 2), x.shape[-2:], mode="nearest"),
                lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (CHANNELS,)).permute(0, 3, 1, 2),
                lambda x: x.view(x.shape[0], 2, -1, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
                lambda x: x + x.flatten(2).softmax(-1).unflatten(2, x.shape[2:]),
                lambda x: x + x.mean((2, 3))[:, :, None, None],
                lambda x: x.transpose(2, 3).cumsum(-1).transpose(2, 3) / x.shape[2],
            ]
        )
    )


def rearranging(draw: random.Random) -> nn.Module:
    """Draw operators on channels-last values and lists of pixels, and writing into parts of a map."""
    step, start = draw.choice([1, 2, 3]), draw.randint(0, 2)

    def wrote(x: Tensor) -> Tensor:
        written = x * 0.5
        written[:, 1:3, start::step] = x[:, :2, start::step].tanh()
        written[..., start::step] = x[..., start::step] + written[..., start::step].flip(1)
        return written

    linear = nn.Linear(CHANNELS, CHANNELS)
    return draw.choice(
        [
            Apply(lambda x, mix: mix(F.layer_norm(x.permute(0, 2, 3, 1), (CHANNELS,))).permute(0, 3, 1, 2), linear),
            Apply(lambda x, mix: mix(x.flatten(2).transpose(1, 2)).sigmoid().mT.reshape(x.shape), linear),
            Apply(lambda x: (x.movedim(1, -1) * torch.arange(4.0)).softmax(-1).movedim(-1, 1)),
            Apply(wrote),
        ]
    )


def residual(draw: random.Random) -> nn.Module:
    body = nn.Sequential(kept_size(draw), activation(draw), kept_size(draw))
    return Apply(
        draw.choice(
            [
                lambda x, body: x + body(x),
                lambda x, body: x * body(x).sigmoid(),
                lambda x, body: torch.cat((x, body(x)), dim=1)[:, ::2],
                lambda x, body: x - body(x) * 0.5 + x.square(),
            ]
        ),
        body,
    )


def kept_size(draw: random.Random) -> nn.Module:
    dilation = draw.choice([1, 2])
    return nn.Conv2d(CHANNELS, CHANNELS, 3, padding=dilation, dilation=dilation)


LAYERS: list[Layer] = [*[convolution] * 5, *[residual] * 3, *[activation, normalisation, transposed_convolution] * 2]
LAYERS += [resizing, pooling, shuffling, padding, cropping, arithmetic, rearranging] * 2


class RandomNetwork(nn.Module):
    """Draw a chain of layers by ``seed``, for images of ``height`` x ``width``; ``output_size`` may differ."""

    def __init__(self, seed: int, height: int, width: int, depth: int, whole: bool) -> None:
        super().__init__()
        self.seed, self.height, self.width = seed, height, width
        draw = random.Random(seed)
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Conv2d(3, CHANNELS, 3, padding=1)]
        kinds = [draw.choice(LAYERS) for _ in range(depth)]
        if whole:
            kinds.insert(draw.randint(0, depth), seeing_everything)
        features = layers[0](torch.zeros(1, 3, height, width))
        for kind in kinds:
            layer = kind(draw).eval()
            try:
                shaped = layer(features.clone())
            except RuntimeError:  # a kernel or padding too large for the map
                continue
            if min(shaped.shape[-2:]) >= 4 and max(shaped.shape[-2:]) <= 80:
                layers.append(layer)
                features = shaped
        layers.append(nn.Conv2d(CHANNELS, 3, 1))
        self.layers = nn.Sequential(*layers).eval()
        self.output_size = (features.shape[-2], features.shape[-1])

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


def networks() -> st.SearchStrategy[RandomNetwork]:
    """Draw random networks on random small images; a quarter of them see the whole image somewhere."""
    side = st.integers(9, 26)
    whole = st.sampled_from([False, False, False, True])
    return st.builds(RandomNetwork, st.integers(0, 2**32 - 1), side, side, st.integers(2, 7), whole)
