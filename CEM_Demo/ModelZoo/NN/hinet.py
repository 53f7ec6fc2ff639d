"""HINet: Chen et al., "HINet: Half Instance Normalization Network for Image Restoration", CVPRW 2021."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from CEM_Demo.ModelZoo.NN.layers import SupervisedAttention, convolution


class Block(nn.Module):
    """Two convolutions with LeakyReLU, and a 1 x 1 convolution of the input on top."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.identity = convolution(in_channels, width, 1)
        self.conv_1 = convolution(in_channels, width)
        self.conv_2 = convolution(width, width)

    def normalise(self, features: Tensor) -> Tensor:
        """Transform the features between the first convolution and its activation."""
        return features

    def forward(self, x: Tensor) -> Tensor:
        features = F.leaky_relu(self.normalise(self.conv_1(x)), 0.2)
        return F.leaky_relu(self.conv_2(features), 0.2) + self.identity(x)


class EncoderBlock(Block):
    """A half instance normalization block (section 3.2): the first half of the channels is normalized per image.

    Args:
        in_channels: channels of the input.
        width: channels of the output.
        last: whether it is the coarsest block, which neither fuses nor halves.
        fusing: whether the first stage's features are added (cross-stage feature fusion).
    """

    def __init__(self, in_channels: int, width: int, last: bool, fusing: bool) -> None:
        super().__init__(in_channels, width)
        if fusing and not last:
            self.csff_enc = convolution(width, width)
            self.csff_dec = convolution(width, width)
        self.norm = nn.InstanceNorm2d(width // 2, affine=True)
        if not last:
            self.downsample = nn.Conv2d(width, width, kernel_size=4, stride=2, padding=1, bias=False)

    def normalise(self, features: Tensor) -> Tensor:
        first, second = features.chunk(2, dim=1)
        return torch.cat((self.norm(first), second), dim=1)

    def forward(self, x: Tensor, *earlier: Tensor) -> Tensor:
        """Run the block; ``earlier`` holds this scale's encoder and decoder features of the first stage."""
        features = super().forward(x)
        if earlier:
            encoded, decoded = earlier
            features = features + self.csff_enc(encoded) + self.csff_dec(decoded)
        return features


class DecoderBlock(nn.Module):
    """Double the size, join the skip connection, merge."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(in_channels, width, kernel_size=2, stride=2)
        self.conv_block = Block(in_channels, width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv_block(torch.cat((self.up(x), skip), dim=1))


def _encoder(widths: Sequence[int], fusing: bool) -> nn.ModuleList:
    inputs = (widths[0], *widths[:-1])
    return nn.ModuleList(
        EncoderBlock(before, width, width == widths[-1], fusing) for before, width in zip(inputs, widths, strict=True)
    )


def encode(blocks: nn.ModuleList, x: Tensor, earlier: Sequence[tuple[Tensor, ...]] = ()) -> list[Tensor]:
    """Give one stage's features from full size down, fused with ``earlier`` ones at the scales that have them."""
    levels: list[Tensor] = []
    for level, block in enumerate(blocks):
        if level > 0:
            x = blocks[level - 1].get_submodule("downsample")(levels[-1])
        levels.append(block(x, *(earlier[level] if level < len(earlier) else ())))
    return levels


def decode(blocks: nn.ModuleList, skips: nn.ModuleList, levels: Sequence[Tensor]) -> list[Tensor]:
    """Give the features from the second coarsest size up to full size."""
    decoded = []
    x = levels[-1]
    for block, skip, level in zip(blocks, skips, reversed(levels[:-1]), strict=True):
        x = block(x, skip(level))
        decoded.append(x)
    return decoded


class HINet(nn.Module):
    """Two U-nets of five scales; sides are multiples of 16, and at least 32 to leave something to normalize."""

    def __init__(self, width: int = 64, depth: int = 5) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth)]
        decoding = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.down_path_1 = _encoder(widths, fusing=False)
        self.down_path_2 = _encoder(widths, fusing=True)
        self.conv_01 = convolution(3, width)
        self.conv_02 = convolution(3, width)
        self.up_path_1, self.up_path_2 = (
            nn.ModuleList(DecoderBlock(coarse, fine) for coarse, fine in decoding) for _ in range(2)
        )
        self.skip_conv_1, self.skip_conv_2 = (
            nn.ModuleList(convolution(fine, fine) for _, fine in decoding) for _ in range(2)
        )
        self.sam12 = SupervisedAttention(width, kernel=3, bias=True)
        self.cat12 = convolution(2 * width, width, 1)
        self.last = convolution(width, 3)

    def forward(self, image: Tensor) -> Tensor:
        encoded = encode(self.down_path_1, self.conv_01(image))
        decoded = decode(self.up_path_1, self.skip_conv_1, encoded)
        attended = self.sam12(decoded[-1], image)
        features = self.cat12(torch.cat((self.conv_02(image), attended), dim=1))
        levels = encode(self.down_path_2, features, list(zip(encoded[:-1], reversed(decoded), strict=True)))
        return self.last(decode(self.up_path_2, self.skip_conv_2, levels)[-1]) + image
