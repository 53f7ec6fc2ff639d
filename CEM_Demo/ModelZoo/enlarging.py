"""Let networks of scale 1 do super-resolution: they restore the bicubically enlarged image, as in their training."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class EnlargeFirst(nn.Module):
    """A bicubic enlargement with Pillow's kernel, followed by ``net``."""

    def __init__(self, net: nn.Module, scale: int) -> None:
        super().__init__()
        self.net = net
        self.scale = scale

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        size = (height * self.scale, width * self.scale)
        # Without antialias the kernel is a sharper one (a = -0.75) than Pillow's (a = -0.5).
        return self.net(F.interpolate(image, size=size, mode="bicubic", antialias=True))
