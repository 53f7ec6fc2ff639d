"""SwinIR: Liang et al., "SwinIR: Image Restoration Using Swin Transformer", ICCVW 2021."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import DIV2K_MEAN, convolution, named, upsampler
from CEM_Demo.ModelZoo.NN.window_attention import WindowAttention, feed_forward, relative_index, shift_mask
from CEM_Demo.ModelZoo.padding import padded_side, reflect_pad
from CEM_Demo.ModelZoo.registry import SizeRequirement

Reconstruction = Literal["sub-pixel", "nearest", "residual"]

# The published networks add this, not minus infinity, to the logits of pixels that a shifted window keeps apart.
HIDDEN = -100.0


def channels_last(features: Tensor) -> Tensor:
    """Turn B x C x H x W into B x H x W x C."""
    return features.permute(0, 2, 3, 1)


def channels_first(features: Tensor) -> Tensor:
    """Turn B x H x W x C into B x C x H x W."""
    return features.permute(0, 3, 1, 2)


class SwinBlock(nn.Module):
    """Swin transformer layer (section 3.2); odd blocks shift their windows, on every input size.

    ``attn_mask`` only exists for the published state dicts: it is the mask of images of ``image_side`` pixels. The
    network computes the mask of the image at hand.
    """

    def __init__(self, width: int, heads: int, side: int, shifted: bool, image_side: int) -> None:
        super().__init__()
        self.shifted = shifted
        if shifted:
            self.register_buffer("attn_mask", shift_mask(image_side, image_side, side, HIDDEN))
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, side, relative_index(side), stores_index=True)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = feed_forward(width, 2 * width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        features = features + self.attn(self.norm1(features), mask if self.shifted else None)
        return features + self.mlp(self.norm2(features))


class BlockSequence(nn.Module):
    """The blocks of a group, one after another."""

    def __init__(self, *blocks: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            features = block(features, mask)
        return features


class ResidualGroup(nn.Module):
    """Residual Swin transformer block (section 3.2): a sequence of blocks, a convolution, and the input on top."""

    def __init__(self, width: int, blocks: BlockSequence) -> None:
        super().__init__()
        self.residual_group = blocks
        self.conv = convolution(width, width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        restored = self.conv(channels_first(self.residual_group(features, mask)))
        return features + channels_last(restored)


class WindowTransformer(nn.Module):
    """What SwinIR and HAT have in common: convolution, groups of window attention, reconstruction.

    Images are extended by reflection at the bottom and right to whole windows, and cropped afterwards.

    Args:
        side: side of the attention windows, in pixels.
        scale: output side over input side; 4, or 1.
        reconstruction: ``sub-pixel`` for an image made of features alone, by sub-pixel convolution where the
            scale asks for it; ``nearest`` the same with nearest-neighbor upsampling; ``residual`` for one
            convolution whose result is added to the input.
    """

    mean: Tensor

    def __init__(
        self, groups: list[ResidualGroup], width: int, side: int, scale: int, reconstruction: Reconstruction
    ) -> None:
        super().__init__()
        self.side = side
        self.reconstruction = reconstruction
        self.register_buffer("mean", torch.tensor(DIV2K_MEAN).view(1, 3, 1, 1), persistent=False)
        self.conv_first = convolution(3, width)
        self.patch_embed = named(norm=nn.LayerNorm(width))
        self.layers = nn.ModuleList(groups)
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = convolution(width, width)
        if reconstruction == "residual":
            self.conv_last = convolution(width, 3)
            return
        self.conv_before_upsample = nn.Sequential(convolution(width, 64), nn.LeakyReLU(0.01))
        if reconstruction == "nearest":
            self.conv_up1 = convolution(64, 64)
            self.conv_up2 = convolution(64, 64)
            self.conv_hr = convolution(64, 64)
        else:
            self.upsample = upsampler(64, scale)
        self.conv_last = convolution(64, 3)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        whole = SizeRequirement(self.side)
        image = reflect_pad(image, padded_side(height, whole), padded_side(width, whole)) - self.mean
        restored = self._reconstruct(self._features(image), image) + self.mean
        scale = restored.shape[-1] // image.shape[-1]
        return restored[..., : height * scale, : width * scale]

    def _features(self, image: Tensor) -> Tensor:
        shallow = self.conv_first(image)
        mask = shift_mask(image.shape[-2], image.shape[-1], self.side, HIDDEN, like=shallow)
        features = self.patch_embed(channels_last(shallow))
        for group in self.layers:
            features = group(features, mask)
        return shallow + self.conv_after_body(channels_first(self.norm(features)))

    def _reconstruct(self, features: Tensor, image: Tensor) -> Tensor:
        if self.reconstruction == "residual":
            return image + self.conv_last(features)
        features = self.conv_before_upsample(features)
        if self.reconstruction == "sub-pixel":
            return self.conv_last(self.upsample(features))
        for convolve in (self.conv_up1, self.conv_up2):
            features = F.leaky_relu(convolve(F.interpolate(features, scale_factor=2, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(features), 0.2))


class SwinIR(WindowTransformer):
    """SwinIR-M: six groups of six blocks, windows of 8 x 8 pixels.

    Args:
        image_side: side (pixels) of the training images, for which the state dict carries masks.
    """

    def __init__(
        self,
        scale: int = 4,
        image_side: int = 64,
        reconstruction: Reconstruction = "sub-pixel",
        width: int = 180,
        heads: int = 6,
        side: int = 8,
        groups: int = 6,
        depth: int = 6,
    ) -> None:
        def group() -> ResidualGroup:
            blocks = [SwinBlock(width, heads, side, bool(number % 2), image_side) for number in range(depth)]
            return ResidualGroup(width, BlockSequence(*blocks))

        super().__init__([group() for _ in range(groups)], width, side, scale, reconstruction)
