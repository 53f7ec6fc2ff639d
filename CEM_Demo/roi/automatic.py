"""Choose ROIs for a whole config: boxes with structure, the same for every model."""

from __future__ import annotations

from CEM_Demo.config.schema import AutomaticBoxes, Config
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.images import read_image
from CEM_Demo.roi.proposals import best_boxes, structure_map
from CEM_Demo.tasks.super_resolution import crop_to_multiple

# The ROI of the demos, where a config does not give ``ROI_size``.
SIDE = 32


def choose_rois(config: Config) -> dict[str, list[ROI]]:
    """Choose for each image as many ROIs as ``rois: {auto: N}`` asks for, or fewer if no more have structure.

    They are squares of ``ROI_size`` on the block grid. Only the ground truth counts, not what any model makes of it, so
    that no model is favored.

    Raises:
        InputError: an image is missing, or has no such square with structure.
    """
    assert isinstance(config.rois, AutomaticBoxes)
    side, chosen = config.ROI_size or SIDE, {}
    for name in config.Imagelist:
        image = crop_to_multiple(read_image(config.image_path(name)), config.sr)
        fits = min(image.shape[:2]) >= side
        rois = best_boxes(structure_map(image), side, config.mask_block_size, config.rois.auto) if fits else []
        if not rois:
            reason = "is flat" if fits else f"is {image.shape[1]} x {image.shape[0]} pixels"
            raise InputError(
                f"rois: auto finds no ROI of {side} x {side} pixels in {name}, which {reason}; "
                f"{'leave the image out' if fits else 'set a smaller ROI_size, or leave the image out'}"
            )
        chosen[name] = rois
    return chosen
