"""CSNLN: Mei et al., "Image Super-Resolution with Cross-Scale Non-Local Attention and Exhaustive Self-Exemplars
Mining", CVPR 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import DIV2K_MEAN, MeanShift, ResidualSequence, attend, convolution


def _with_prelu(layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(layer, nn.PReLU())


def _reduce(width: int, scale: int) -> nn.Sequential:
    return _with_prelu(nn.Conv2d(width, width, kernel_size=scale + 4, stride=scale, padding=2))


def _enlarge(width: int, scale: int) -> nn.Sequential:
    return _with_prelu(nn.ConvTranspose2d(width, width, kernel_size=scale + 4, stride=scale, padding=2))


class InScaleAttention(nn.Module):
    """Non-local attention between the positions of one map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_match1 = _with_prelu(convolution(width, width // 2, 1))
        self.conv_match2 = _with_prelu(convolution(width, width // 2, 1))
        self.conv_assembly = _with_prelu(convolution(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return attend(self.conv_match1(x), self.conv_match2(x), self.conv_assembly(x))


class CrossScaleAttention(nn.Module):
    """Double the size (section 3.1): find patches like each 3 x 3 one at half size, and paste their 6 x 6 originals.

    ``escape_NaN`` is the smallest norm that a patch is divided by.
    """

    escape_NaN: Tensor

    def __init__(self, width: int, sharpness: float = 10) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.register_buffer("escape_NaN", torch.tensor([1e-4]))
        self.conv_match_1 = _with_prelu(convolution(width, width // 2, 1))
        self.conv_match_2 = _with_prelu(convolution(width, width // 2, 1))
        self.conv_assembly = _with_prelu(convolution(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        half = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
        queries = F.unfold(self.conv_match_1(x), kernel_size=3, padding=1)
        keys = F.unfold(self.conv_match_2(half), kernel_size=3, padding=1)
        keys = keys / torch.maximum(keys.norm(dim=1, keepdim=True), self.escape_NaN)
        originals = F.unfold(self.conv_assembly(x), kernel_size=6, stride=2, padding=2)
        weights = torch.softmax(self.sharpness * keys.transpose(1, 2) @ queries, dim=1)  # N x keys x queries
        # Pasted patches overlap; the published divisor is 6, although 9 of them meet at a pixel.
        return F.fold(originals @ weights, (2 * height, 2 * width), kernel_size=6, stride=2, padding=2) / 6


class SourceFusion(nn.Module):
    """In-scale and cross-scale estimates at twice the size; their difference is encoded and added (section 3.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up_attention = CrossScaleAttention(width)
        self.down_attention = InScaleAttention(width)
        self.upsample = _enlarge(width, 2)
        self.encoder = ResidualSequence(convolution(width, width), nn.PReLU(), convolution(width, width))

    def forward(self, x: Tensor) -> Tensor:
        in_scale = self.upsample(self.down_attention(x))
        return in_scale + self.encoder(self.up_attention(x) - in_scale)


class MiningCell(nn.Module):
    """One recurrence of self-exemplars mining: two doublings, each corrected by its error at the input's size."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.multi_source_projection = SourceFusion(width)
        self.down_sample_1 = _reduce(width, 2)
        self.error_encode = _enlarge(width, 2)
        self.post_conv = _with_prelu(convolution(width, width))
        self.multi_source_projection_2 = SourceFusion(width)
        self.down_sample_3 = _reduce(width, 4)
        self.down_sample_4 = _reduce(width, 4)
        self.error_encode_2 = _enlarge(width, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the features for the next recurrence, and this one's features at four times the size."""
        double = self.multi_source_projection(x)
        double = double + self.error_encode(x - self.down_sample_1(double))
        quadruple = self.multi_source_projection_2(double)
        quadruple = quadruple + self.error_encode_2(x - self.down_sample_3(quadruple))
        return self.post_conv(self.down_sample_4(quadruple)), quadruple


class CSNLN(nn.Module):
    """Twelve recurrences of one cell (scale 4, even sides), whose estimates the tail merges."""

    def __init__(self, channels: int = 3, width: int = 128, recurrences: int = 12) -> None:
        super().__init__()
        self.recurrences = recurrences
        self.sub_mean = MeanShift(DIV2K_MEAN, sign=-1, channels=channels)
        self.SEM = MiningCell(width)
        self.add_mean = MeanShift(DIV2K_MEAN, sign=+1, channels=channels)
        self.head = nn.Sequential(_with_prelu(convolution(channels, width)), _with_prelu(convolution(width, width)))
        self.tail = nn.Sequential(convolution(recurrences * width, channels))

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(self.sub_mean(x))
        estimates = []
        for _ in range(self.recurrences):
            features, estimate = self.SEM(features)
            estimates.append(estimate)
        return self.add_mean(self.tail(torch.cat(estimates, dim=1)))
