"""Small networks in the styles found in the wild; each is a stranger to the project."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torchvision.ops import deform_conv2d

WIDTH = 4


class Stranger(nn.Module):
    """The image plus a residual that two convolutions make of it, and whatever stands between them."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, WIDTH, 3, padding=1)
        self.last = nn.Conv2d(WIDTH, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Any:
        return x + 0.3 * self.last(self.between(torch.relu(self.first(x))))

    def between(self, features: Tensor) -> Tensor:
        return features


class TensorAttribute(Stranger):
    """SwinIR's mean: a tensor that is not a buffer, moved to the image's device in every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        self.mean = self.mean.type_as(x)
        return super().forward(x - self.mean) + self.mean


class ItemOfBatch(Stranger):
    def between(self, features: Tensor) -> Tensor:
        return features / (features.max().item() + 0.1)


class Branching(Stranger):
    """Decides for the whole batch."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) if x.mean() > 0.5 else 0.9 * super().forward(x)


class PaddingToEight(Stranger):
    """Pads by reflection to whole windows of 8, as far as the image needs it, and crops."""

    def between(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        padded = F.pad(features, (0, -width % 8, 0, -height % 8), mode="reflect")
        windows = padded.unflatten(3, (-1, 8)).unflatten(2, (-1, 8))
        return (windows - windows.mean((3, 5), keepdim=True)).flatten(4, 5).flatten(2, 3)[..., :height, :width]


class WholeWindows(Stranger):
    """Takes sides of multiples of 8 only."""

    def between(self, features: Tensor) -> Tensor:
        count, channels, height, width = features.shape
        windows = features.view(count, channels, height // 8, 8, width // 8, 8)
        return (windows * windows.softmax(5)).view(count, channels, height, width)


class LayerNormFunction(torch.autograd.Function):
    """NAFNet's layer norm, with a backward pass of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        mean = x.mean(1, keepdim=True)
        normal = (x - mean) / ((x - mean).pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
        ctx.save_for_backward(normal, weight)
        return normal * weight

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        raise NotImplementedError


class CustomFunction(Stranger):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, WIDTH, 1, 1))

    def between(self, features: Tensor) -> Tensor:
        return LayerNormFunction.apply(features, self.weight)


class InPlace(Stranger):
    def between(self, features: Tensor) -> Tensor:
        features += 0.1
        features[:, 0] *= 0.5
        features[:, 1:, ::2].sub_(0.05)
        return features.clamp_(0, 1)


class WithEinops(Stranger):
    def between(self, features: Tensor) -> Tensor:
        windows = rearrange(features, "n c (h a) (w b) -> n h w (a b) c", a=2, b=2)
        mixed = (windows @ windows.transpose(-1, -2)).softmax(-1) @ windows
        return rearrange(mixed, "n h w (a b) c -> n c (h a) (w b)", a=2, b=2)


class Fourier(Stranger):
    def between(self, features: Tensor) -> Tensor:
        spectrum = torch.fft.rfft2(features, norm="ortho")
        return torch.fft.irfft2(spectrum * torch.sigmoid(spectrum.abs()), s=features.shape[-2:], norm="ortho")


class Deformable(Stranger):
    def __init__(self) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(WIDTH, 18, 3, padding=1)
        self.kernel = nn.Parameter(0.1 * torch.randn(WIDTH, WIDTH, 3, 3))

    def between(self, features: Tensor) -> Tensor:
        return deform_conv2d(features, self.offsets(features), self.kernel, padding=1)


class WithNumPy(Stranger):
    def between(self, features: Tensor) -> Tensor:
        sharpened = features.detach().cpu().numpy() ** 2
        return torch.from_numpy(sharpened).to(features)


class BuffersInForward(Stranger):
    def between(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        if not hasattr(self, "ramp") or self.ramp.shape[-1] != width:
            self.register_buffer("ramp", torch.linspace(0, 1, width, device=features.device), persistent=False)
        return features * self.ramp + torch.arange(height, device=features.device)[:, None] / height


class MasksBySize(Stranger):
    def __init__(self) -> None:
        super().__init__()
        self.masks: dict[tuple[int, int], Tensor] = {}

    def between(self, features: Tensor) -> Tensor:
        size = features.shape[-2], features.shape[-1]
        if size not in self.masks:
            self.masks[size] = checkerboard(*size).to(features)
        return features * self.masks[size]


def checkerboard(height: int, width: int) -> Tensor:
    return ((torch.arange(height)[:, None] + torch.arange(width)) % 2).float()


@lru_cache(maxsize=8)
def cached_checkerboard(height: int, width: int) -> Tensor:
    return checkerboard(height, width)


class MasksInACache(Stranger):
    def between(self, features: Tensor) -> Tensor:
        return features * cached_checkerboard(*features.shape[-2:])


class BatchStatistics(Stranger):
    """Batch norm without running statistics normalizes by the batch in evaluation mode, too."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(WIDTH, track_running_stats=False)

    def between(self, features: Tensor) -> Tensor:
        return self.norm(features)


class TrainingBatchNorm(Stranger):
    """Puts its batch norm into training mode in every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(WIDTH)

    def between(self, features: Tensor) -> Tensor:
        self.norm.train()
        return self.norm(features)


class MeanOfBatch(Stranger):
    def between(self, features: Tensor) -> Tensor:
        return features - features.mean((0, 2, 3), keepdim=True)


class FirstImageOnly(Stranger):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[0][None])


class ReturnsList(Stranger):
    def forward(self, x: Tensor) -> Any:
        return [x / 2, super().forward(x)]


class ReturnsDictionary(Stranger):
    def forward(self, x: Tensor) -> Any:
        return {"features": self.first(x), "image": super().forward(x)}


class ReturnsNested(Stranger):
    def forward(self, x: Tensor) -> Any:
        return (self.first(x), [x / 2, super().forward(x)])


class OnBytes(Stranger):
    """Works on 0..255, and rounds as official codes do."""

    def forward(self, x: Tensor) -> Tensor:
        return (x + 0.01 * self.last(torch.relu(self.first(x)))).round().clamp(0, 255)


class OnSigned(Stranger):
    """Works on -1..1: black is -1."""

    def forward(self, x: Tensor) -> Tensor:
        stretched = x - (x.amin((1, 2, 3), keepdim=True) + 0.8)  # a picture has something dark in it
        return (stretched + 0.03 * self.last(torch.relu(self.first(x)))).clamp(-1, 1)


class Grey(Stranger):
    def __init__(self) -> None:
        super().__init__(channels=1)


class OnCuda(Stranger):
    def between(self, features: Tensor) -> Tensor:
        return features * torch.full((1,), 0.5).cuda()


class TimeSteps(Stranger):
    """A gated state over four steps, each fed back into the next."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2 * WIDTH, WIDTH, 3, padding=1)

    def between(self, features: Tensor) -> Tensor:
        state = torch.zeros_like(features)
        for _ in range(4):
            gate = torch.sigmoid(self.gate(torch.cat((features, state), dim=1)))
            state = gate * state + (1 - gate) * features
        return state


class Half(Stranger):
    def __init__(self) -> None:
        super().__init__()
        self.half()


class Squares(Stranger):
    """Turns its features by a quarter and adds them, which takes a square."""

    def between(self, features: Tensor) -> Tensor:
        return features + features.transpose(2, 3)


class OneSize(Stranger):
    """Adds an embedding of the 64 x 64 positions."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.1 * torch.randn(1, WIDTH, 64, 64))

    def between(self, features: Tensor) -> Tensor:
        return features + self.positions


class WideReflection(Stranger):
    """Reflects 20 pixels, which takes more than 20."""

    def between(self, features: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(features, (20, 20, 20, 20), mode="reflect"), 41, stride=1)


class Noisy(Stranger):
    def between(self, features: Tensor) -> Tensor:
        return features + 0.3 * torch.randn_like(features)


class ActiveDropout(Stranger):
    def between(self, features: Tensor) -> Tensor:
        return F.dropout(features, 0.5, training=True)


class Counting(Stranger):
    """Keeps what the image does not depend on."""

    passes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros(1))
        self.seen: list[Tensor] = []

    def between(self, features: Tensor) -> Tensor:
        self.passes += 1
        self.seen = [*self.seen[-1:], features]
        return features


class Remembering(Stranger):
    """Mixes in what it saw the pass before."""

    before: Tensor | None = None

    def between(self, features: Tensor) -> Tensor:
        before, self.before = self.before, features
        return features if before is None or before.shape != features.shape else features + before


class SortedTokens(Stranger):
    """ATD's way: positions sorted into categories, worked on there, and gathered back."""

    def between(self, features: Tensor) -> Tensor:
        tokens = features.flatten(2).transpose(1, 2)
        order = tokens.sum(2).argsort(dim=1, stable=True)[..., None].expand_as(tokens)
        ordered = torch.gather(tokens, 1, order).cumsum(1) / tokens.shape[1]
        restored = torch.zeros_like(ordered).scatter(1, order, ordered)
        return restored.transpose(1, 2).unflatten(2, features.shape[-2:])


class RelativePositions(Stranger):
    """GRL's way: a table looked up by an index tensor."""

    index: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(0.1 * torch.randn(15, WIDTH))
        self.register_buffer("index", torch.arange(8)[:, None] - torch.arange(8) + 7)

    def between(self, features: Tensor) -> Tensor:
        bias = self.table[self.index.view(-1)].view(8, 8, WIDTH).permute(2, 0, 1)
        return (
            features
            + bias.repeat(1, math.ceil(features.shape[2] / 8), math.ceil(features.shape[3] / 8))[
                :, : features.shape[2], : features.shape[3]
            ]
        )


class Unfolding(Stranger):
    def between(self, features: Tensor) -> Tensor:
        patches = F.unfold(features, 4, stride=4)
        return F.fold(patches - patches.mean(1, keepdim=True), features.shape[-2:], 4, stride=4)


class Warping(Stranger):
    def between(self, features: Tensor) -> Tensor:
        turn = features.new_tensor([[0.98, 0.02, 0.01], [-0.02, 0.98, 0.0]]).expand(len(features), -1, -1)
        grid = F.affine_grid(turn, list(features.shape), align_corners=False)
        return F.grid_sample(features, grid, align_corners=False, padding_mode="border")


class WithCheckpoints(Stranger):
    def between(self, features: Tensor) -> Tensor:
        return checkpoint(torch.tanh, features, use_reentrant=False)


class NoGradient(Stranger):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Any:
        with torch.autocast("cpu", enabled=False):
            return super().forward(x)


class InDouble(Stranger):
    """Computes in float64, and returns that."""

    def between(self, features: Tensor) -> Tensor:
        return features.double().exp().log1p().float()

    def forward(self, x: Tensor) -> Any:
        return super().forward(x).double()


class ScriptedPart(Stranger):
    def __init__(self) -> None:
        super().__init__()
        self.part = torch.jit.script(nn.Sequential(nn.Conv2d(WIDTH, WIDTH, 1), nn.ReLU()))

    def between(self, features: Tensor) -> Tensor:
        return self.part(features)


class WithHooks(Stranger):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Tensor] = {}
        self.first.register_forward_hook(self.keep)

    def keep(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        self.kept["first"] = output

    def between(self, features: Tensor) -> Tensor:
        return features * torch.sigmoid(self.kept["first"])


class MoreArguments(Stranger):
    def forward(self, x: Tensor, noise_level: float = 0.1, *, debug: bool = False) -> Any:
        return super().forward(x) * (1 + noise_level)


class Numbers(Stranger):
    """Arithmetic on numbers that come from the image, in Python."""

    def between(self, features: Tensor) -> Tensor:
        top = features.flatten(1).max().item()
        return features * round(math.sqrt(abs(top) + 1), 3)


def plain_function(image: Tensor) -> Tensor:
    """An unsharp mask, which is not a module at all."""
    return image + 0.5 * (image - F.avg_pool2d(image, 5, 1, 2))


def makes_function(strength: float = 0.5) -> Callable[[Tensor], Tensor]:
    return lambda image: image + strength * (image - F.avg_pool2d(image, 3, 1, 1))


MAPPED: list[type[Stranger]] = [
    *(TensorAttribute, ItemOfBatch, Branching, PaddingToEight, WholeWindows, CustomFunction, InPlace, WithEinops),
    *(Fourier, Deformable, WithNumPy, BuffersInForward, MasksBySize, MasksInACache, BatchStatistics),
    *(TrainingBatchNorm, MeanOfBatch, FirstImageOnly, ReturnsList, ReturnsDictionary, ReturnsNested, TimeSteps),
    *(Half, Squares, OneSize, WideReflection, Counting, SortedTokens, RelativePositions, Unfolding, Warping),
    *(WithCheckpoints, NoGradient, InDouble, ScriptedPart, WithHooks, MoreArguments, Numbers, OnBytes, OnSigned, Grey),
]
