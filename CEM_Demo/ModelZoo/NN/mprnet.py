"""MPRNet: Zamir et al., "Multi-Stage Progressive Image Restoration", CVPR 2021."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from CEM_Demo.ModelZoo.NN.layers import ChannelAttention, SupervisedAttention, convolution

Levels = Sequence[Tensor]  # features at full, half and quarter size


class AttentionBlock(nn.Module):
    """Channel attention block (section 3.2); ``activation`` is one PReLU for the whole network."""

    def __init__(self, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.CA = ChannelAttention(width, reduction=4, bias=False)
        self.body = nn.Sequential(
            convolution(width, width, bias=False), activation, convolution(width, width, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.CA(self.body(x))


class Resize(nn.Module):
    """Bilinear resizing by ``factor``, then a 1 x 1 convolution, kept under ``name``."""

    def __init__(self, name: str, in_channels: int, out_channels: int, factor: float) -> None:
        super().__init__()
        self._name = name
        resize = nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False)
        setattr(self, name, nn.Sequential(resize, convolution(in_channels, out_channels, 1, bias=False)))

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self._name)(x)


def _down(in_channels: int, out_channels: int) -> Resize:
    return Resize("down", in_channels, out_channels, 0.5)


def _up(in_channels: int, out_channels: int) -> Resize:
    return Resize("up", in_channels, out_channels, 2)


class Encoder(nn.Module):
    """Three levels of two blocks; in the second stage they also get the first one's features (section 3.4)."""

    def __init__(self, widths: Sequence[int], activation: nn.Module, fusing: bool) -> None:
        super().__init__()
        for level, width in enumerate(widths, start=1):
            blocks = nn.Sequential(*(AttentionBlock(width, activation) for _ in range(2)))
            setattr(self, f"encoder_level{level}", blocks)
        self.down12 = _down(widths[0], widths[1])
        self.down23 = _down(widths[1], widths[2])
        if fusing:
            for side in ("enc", "dec"):
                for level, width in enumerate(widths, start=1):
                    setattr(self, f"csff_{side}{level}", convolution(width, width, 1, bias=False))

    def forward(self, x: Tensor, encoded: Levels = (), decoded: Levels = ()) -> list[Tensor]:
        levels: list[Tensor] = []
        for level in (1, 2, 3):
            if level > 1:
                x = (self.down12, self.down23)[level - 2](levels[-1])
            x = getattr(self, f"encoder_level{level}")(x)
            if encoded and decoded:
                x = x + getattr(self, f"csff_enc{level}")(encoded[level - 1])
                x = x + getattr(self, f"csff_dec{level}")(decoded[level - 1])
            levels.append(x)
        return levels


class Decoder(nn.Module):
    """From quarter size back to full size, each skip connection passing through an attention block."""

    decoder_level1: nn.Sequential
    decoder_level2: nn.Sequential
    decoder_level3: nn.Sequential

    def __init__(self, widths: Sequence[int], activation: nn.Module) -> None:
        super().__init__()
        for level, width in enumerate(widths, start=1):
            blocks = nn.Sequential(*(AttentionBlock(width, activation) for _ in range(2)))
            setattr(self, f"decoder_level{level}", blocks)
        self.skip_attn1 = AttentionBlock(widths[0], activation)
        self.skip_attn2 = AttentionBlock(widths[1], activation)
        self.up21 = _up(widths[1], widths[0])
        self.up32 = _up(widths[2], widths[1])

    def forward(self, encoded: Levels) -> list[Tensor]:
        quarter = self.decoder_level3(encoded[2])
        half = self.decoder_level2(self.up32(quarter) + self.skip_attn2(encoded[1]))
        full = self.decoder_level1(self.up21(half) + self.skip_attn1(encoded[0]))
        return [full, half, quarter]


class OriginalResolutionBlock(nn.Module):
    """Attention blocks, a convolution, and the input on top (section 3.2)."""

    def __init__(self, width: int, activation: nn.Module, depth: int = 8) -> None:
        super().__init__()
        blocks = [AttentionBlock(width, activation) for _ in range(depth)]
        self.body = nn.Sequential(*blocks, convolution(width, width, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class OriginalResolutionNet(nn.Module):
    """The third stage: never downsampled, it takes in one level of the second stage after each block."""

    def __init__(self, width: int, widths: Sequence[int], activation: nn.Module) -> None:
        super().__init__()
        first, second, third = widths
        self.orb1, self.orb2, self.orb3 = (OriginalResolutionBlock(width, activation) for _ in range(3))
        self.up_enc1, self.up_dec1 = (_up(second, first) for _ in range(2))
        self.up_enc2, self.up_dec2 = (nn.Sequential(_up(third, second), _up(second, first)) for _ in range(2))
        for side in ("enc", "dec"):
            for level in (1, 2, 3):
                setattr(self, f"conv_{side}{level}", convolution(first, width, 1, bias=False))

    def forward(self, x: Tensor, encoded: Levels, decoded: Levels) -> Tensor:
        encoded = (encoded[0], self.up_enc1(encoded[1]), self.up_enc2(encoded[2]))
        decoded = (decoded[0], self.up_dec1(decoded[1]), self.up_dec2(decoded[2]))
        for level in (1, 2, 3):
            x = getattr(self, f"orb{level}")(x)
            x = x + getattr(self, f"conv_enc{level}")(encoded[level - 1])
            x = x + getattr(self, f"conv_dec{level}")(decoded[level - 1])
        return x


def split(x: Tensor, axis: int) -> Tensor:
    """Cut into two halves along ``axis``, and put one after the other along the batch."""
    return torch.cat(x.chunk(2, dim=axis), dim=0)


def join(x: Tensor, axis: int) -> Tensor:
    """Undo :func:`split`."""
    return torch.cat(x.chunk(2, dim=0), dim=axis)


class MPRNet(nn.Module):
    """Stage 1 sees quadrants, stage 2 top and bottom halves, stage 3 the whole image; sides are multiples of 8.

    The patches of an image lie along the batch, so every attention gate is computed per patch.

    Args:
        width: channels of the first two stages at full size.
        step: channels added at each halving.
        extra: channels that the third stage has in addition.
        clamp: clip the result to 0..1, as the deraining model does.
    """

    def __init__(self, width: int = 80, step: int = 48, extra: int = 32, clamp: bool = False) -> None:
        super().__init__()
        activation = nn.PReLU()
        widths = (width, width + step, width + 2 * step)
        self.clamp = clamp
        self.shallow_feat1, self.shallow_feat2, self.shallow_feat3 = (
            nn.Sequential(convolution(3, width, bias=False), AttentionBlock(width, activation)) for _ in range(3)
        )
        self.stage1_encoder = Encoder(widths, activation, fusing=False)
        self.stage1_decoder = Decoder(widths, activation)
        self.stage2_encoder = Encoder(widths, activation, fusing=True)
        self.stage2_decoder = Decoder(widths, activation)
        self.stage3_orsnet = OriginalResolutionNet(width + extra, widths, activation)
        self.sam12 = SupervisedAttention(width, kernel=1, bias=False)
        self.sam23 = SupervisedAttention(width, kernel=1, bias=False)
        self.concat12 = convolution(2 * width, width, bias=False)
        self.concat23 = convolution(2 * width, width + extra, bias=False)
        self.tail = convolution(width + extra, 3, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        rows, columns = -2, -1
        halves = split(image, rows)
        quadrants = split(halves, columns)
        encoded = [join(x, columns) for x in self.stage1_encoder(self.shallow_feat1(quadrants))]
        decoded = self.stage1_decoder(encoded)
        attended = self.sam12(decoded[0], halves)
        features = self.concat12(torch.cat((self.shallow_feat2(halves), attended), dim=1))
        encoded = [join(x, rows) for x in self.stage2_encoder(features, encoded, decoded)]
        decoded = self.stage2_decoder(encoded)
        attended = self.sam23(decoded[0], image)
        features = self.concat23(torch.cat((self.shallow_feat3(image), attended), dim=1))
        restored = self.tail(self.stage3_orsnet(features, encoded, decoded)) + image
        return restored.clamp(0, 1) if self.clamp else restored
