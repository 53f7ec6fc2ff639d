"""From effects in dB to colors: the published scale, and scales that a figure chooses for itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.images import UInt8Image

# Effects (dB) at which the published colors saturate.
COLOUR_BOUND = {"SR": 2.5, "DN": 1.0, "DR": 2.0, "PAIR": 2.0}
GAMMA = 1 / 1.2
PUBLISHED_MAP = "seismic"
# The colors that help and hurt in each map; all but the published one are safe for color-blind readers.
COLOUR_MAPS = {PUBLISHED_MAP: ("red", "blue"), "RdBu_r": ("red", "blue"), "PuOr_r": ("orange", "purple")}


@dataclass(frozen=True)
class Scale:
    """How effects become colors.

    Attributes:
        bound: dB at which the colors saturate.
        colour_map: one of ``COLOUR_MAPS``.
    """

    bound: float
    colour_map: str = PUBLISHED_MAP

    def colours(self, effects: NDArray[np.float64]) -> UInt8Image:
        """Give the colors of effects (dB) of any shape, RGB in a last axis; see :func:`map_colours`."""
        return map_colours(effects, self.bound, self.colour_map)


def colour_position(effects: NDArray[np.float64], bound: float) -> NDArray[np.float64]:
    """Where effects (dB) fall on the colour scale: -1..1, zero in the middle, saturated at ``bound``."""
    clipped = effects.clip(-bound, bound)
    return np.sign(clipped) * np.abs(clipped / bound) ** GAMMA


def map_colours(effects: NDArray[np.float64], bound: float, colour_map: str = PUBLISHED_MAP) -> UInt8Image:
    """Effects (dB) in colours, RGB in a last axis: red helps, blue hurts, white does neither."""
    from matplotlib import colormaps  # where only numbers are wanted, it need not be loaded

    places = (colour_position(effects, bound) + 1) / 2
    return (colormaps[colour_map](places)[..., :3] * 255).astype(np.uint8)


def colour_table(colour_map: str = PUBLISHED_MAP) -> list[str]:
    """Give the colors of a map from what hurts most to what helps most, as HTML has them."""
    from matplotlib import colormaps

    levels = (colormaps[colour_map](np.arange(colormaps[colour_map].N))[:, :3] * 255).astype(np.uint8)
    return ["#" + bytes(level).hex() for level in levels]
