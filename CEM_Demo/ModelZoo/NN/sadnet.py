"""SADNet: Chang et al., "Spatial-Adaptive Network for Single Image Denoising", ECCV 2020."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from CEM_Demo.ModelZoo.NN.layers import convolution


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class ResidualBlock(nn.Module):
    """Two convolutions with the input on top; where the image enters, a 1 x 1 convolution comes first."""

    def __init__(self, width: int, in_channels: int | None = None) -> None:
        super().__init__()
        if in_channels is not None:
            self.conv0 = convolution(in_channels, width, 1)
        self.conv1 = convolution(width, width)
        self.conv2 = convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "conv0"):
            x = self.conv0(x)
        return x + self.conv2(_activate(self.conv1(x)))


class ContextBlock(nn.Module):
    """Four dilations side by side at the coarsest scale (section 3.3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        quarter = width // 4
        self.conv0 = convolution(width, quarter, 1)
        for dilation in (1, 2, 3, 4):
            setattr(self, f"conv{dilation}", convolution(quarter, quarter, dilation=dilation))
        self.fusion = convolution(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        reduced = self.conv0(x)
        views = [_activate(getattr(self, f"conv{dilation}")(reduced)) for dilation in (1, 2, 3, 4)]
        return x + self.fusion(torch.cat(views, dim=1))


class OffsetBlock(nn.Module):
    """Offset features of a scale, built on those of the next coarser scale (section 3.2)."""

    def __init__(self, width: int, offset_width: int, refining: bool) -> None:
        super().__init__()
        self.offset_conv1 = convolution(width, offset_width)
        if refining:
            self.offset_conv2 = convolution(2 * offset_width, offset_width)
        self.offset_conv3 = convolution(offset_width, offset_width)

    def forward(self, x: Tensor, coarser: Tensor | None = None) -> Tensor:
        offset = _activate(self.offset_conv1(x))
        if coarser is not None:
            # An offset of one coarse pixel is an offset of two fine pixels.
            enlarged = 2 * F.interpolate(coarser, scale_factor=2, mode="bilinear", align_corners=False)
            offset = _activate(self.offset_conv2(torch.cat((offset, enlarged), dim=1)))
        return _activate(self.offset_conv3(offset))


class DeformableConvolution(nn.Module):
    """A 3 x 3 modulated deformable convolution that takes its offsets and masks from other features."""

    def __init__(self, width: int, offset_width: int, groups: int = 8) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width, 3, 3))
        self.bias = nn.Parameter(torch.zeros(width))
        self.offsets = groups * 2 * 3 * 3
        self.conv_offset_mask = convolution(offset_width, self.offsets + groups * 3 * 3)
        self._start_as_a_plain_convolution()

    def _start_as_a_plain_convolution(self) -> None:
        # Offsets start at zero and masks are equal, as Zhu et al., "Deformable ConvNets v2", section 3.2, advise.
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        nn.init.zeros_(self.conv_offset_mask.weight)
        nn.init.zeros_(self.conv_offset_mask.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, offset_features: Tensor) -> Tensor:
        predicted = self.conv_offset_mask(offset_features)
        offset, mask = predicted[:, : self.offsets], torch.sigmoid(predicted[:, self.offsets :])
        return deform_conv2d(x, offset, self.weight, self.bias, padding=1, mask=mask)


class SpatialAdaptiveBlock(nn.Module):
    """A deformable and a plain convolution, with the input on top (section 3.1)."""

    def __init__(self, width: int, offset_width: int) -> None:
        super().__init__()
        self.dcnpack = DeformableConvolution(width, offset_width)
        self.conv1 = convolution(width, width)

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        return x + self.conv1(_activate(self.dcnpack(x, offset)))


class SADNet(nn.Module):
    """A U-net of four scales (sides are multiples of 8) whose decoder samples where its offsets say."""

    res1: ResidualBlock
    offset4: OffsetBlock
    dres4: SpatialAdaptiveBlock

    def __init__(self, width: int = 32, offset_width: int = 32) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(4)]
        for level in (1, 2, 3, 4):
            here = widths[level - 1]
            setattr(self, f"res{level}", ResidualBlock(here, in_channels=3 if level == 1 else None))
            if level < 4:
                setattr(self, f"down{level}", nn.Conv2d(here, widths[level], kernel_size=2, stride=2))
        self.context = ContextBlock(widths[3])
        for level in (4, 3, 2, 1):
            here = widths[level - 1]
            if level < 4:
                setattr(self, f"up{level}", nn.ConvTranspose2d(widths[level], here, kernel_size=2, stride=2))
                setattr(self, f"dconv{level}_1", convolution(2 * here, here, 1))
            setattr(self, f"offset{level}", OffsetBlock(here, offset_width, refining=level < 4))
            setattr(self, f"dres{level}", SpatialAdaptiveBlock(here, offset_width))
        self.out = convolution(width, 3)

    def forward(self, image: Tensor) -> Tensor:
        features = self.res1(image)
        encoded = [features]
        for level in (1, 2, 3):
            features = _activate(getattr(self, f"down{level}")(features))
            features = getattr(self, f"res{level + 1}")(features)
            encoded.append(features)
        features = self.context(features)
        offset = self.offset4(features)
        features = self.dres4(features, offset)
        for level in (3, 2, 1):
            enlarged = getattr(self, f"up{level}")(features)
            features = getattr(self, f"dconv{level}_1")(torch.cat((enlarged, encoded[level - 1]), dim=1))
            offset = getattr(self, f"offset{level}")(features, offset)
            features = getattr(self, f"dres{level}")(features, offset)
        return self.out(features) + image
