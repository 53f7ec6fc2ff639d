"""Pictures of Local Attribution Maps, in the colors of the authors' demonstration.

White stands for no attribution, red for half of the largest, dark red for the largest.
"""

from __future__ import annotations

import warnings

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import gaussian_kde

from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image, with_roi_box

WINDOW_COLOR = (255, 0, 0)
# The cost of a density grows with the square of the pixels: 1.5 s at 128 x 128, 25 s at 256 x 256.
MOST_PIXELS_OF_DENSITY = 160 * 160


def map_colors(values: NDArray[np.floating]) -> UInt8Image:
    """Return the RGBA colors of H x W values in 0..1: H x W x 4."""
    return (colormaps["seismic"](0.5 + values / 2) * 255).astype(np.uint8)


def map_picture(values: NDArray[np.floating], scale: int) -> UInt8Image:
    """Draw a map of H x W values in 0..1 at the size of the output, pixel by pixel: sH x sW x 3."""
    return map_colors(values)[..., :3].repeat(scale, axis=0).repeat(scale, axis=1)


def density_picture(density: NDArray[np.floating], scale: int) -> UInt8Image:
    """Draw a density of H x W values in 0..1 at the size of the output, enlarged smoothly: sH x sW x 3."""
    return _enlarged(map_colors(density), scale)[..., :3]


def kernel_density(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the density of pixels weighted with a map, at every pixel, over its maximum: H x W, 0..1.

    It takes Gaussians with SciPy's default width, which grows with how widely the map is spread.

    Raises:
        InputError: the map has too many pixels, or all its weight is on one pixel or on one line.
    """
    height, width = values.shape
    if values.size > MOST_PIXELS_OF_DENSITY:
        raise InputError(f"a density of {width} x {height} pixels takes too long; show the map")
    rows, columns = np.mgrid[:height, :width]
    places = np.stack([columns.ravel(), rows.ravel()])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of what fails right after it
            density = gaussian_kde(places, weights=values.ravel())(places).reshape(values.shape)
    except (np.linalg.LinAlgError, ValueError) as error:
        raise InputError("all attribution is on one pixel or one line, which has no density; show the map") from error
    return np.asarray(density / density.max())


def blend(picture: UInt8Image, backdrop: UInt8Image) -> UInt8Image:
    """Mix two pictures of one size half and half."""
    return (0.5 * picture + 0.5 * backdrop).astype(np.uint8)


def enlarged_input(image: UInt8Image, scale: int) -> UInt8Image:
    """Enlarge the network's input bicubically to the size of its output."""
    return _enlarged(image, scale)


def map_row(
    image: UInt8Image,
    roi: ROI,
    scale: int,
    values: NDArray[np.float32],
    restored: NDArray[np.float32],
    caption: str,
    with_density: bool,
) -> Figure:
    """Draw what :meth:`CEM_Demo.attribution.LocalAttribution.figure` says, with a caption below.

    Raises:
        InputError: there is no density of the map.
    """
    backdrop = enlarged_input(image, scale)
    drawn = map_picture(values, scale)
    panels = {
        "input and window": with_roi_box(backdrop, roi, WINDOW_COLOR),
        "LAM": drawn,
        "LAM over the input": blend(drawn, backdrop),
    }
    if with_density:
        smooth = density_picture(kernel_density(values), scale)
        panels["its density over the input"] = blend(smooth, backdrop)
    panels["restored"] = np.rint(restored.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    height, width = backdrop.shape[:2]
    figure = Figure(figsize=(3 * len(panels), 3 * height / width + 0.5), layout="constrained")
    for axes, (title, picture) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        axes.imshow(picture)
        axes.set_title(title, fontsize=10)
        # Without a frame, a white map cannot be told from the page.
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("lightgray")
    figure.supxlabel(caption, fontsize=10)
    return figure


def _enlarged(picture: UInt8Image, scale: int) -> UInt8Image:
    height, width = picture.shape[:2]
    size = (width * scale, height * scale)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
