"""The restoration tasks: how an image is degraded, and how a patch enters the degraded image."""

from __future__ import annotations

from CEM_Demo.images import UInt8Image
from CEM_Demo.tasks import denoising, deraining, super_resolution
from CEM_Demo.tasks.scene import Scene

__all__ = ["DEGRADED_SUFFIX", "Scene", "make_scene"]

# What the file of a degraded image is called, behind the image's own name.
DEGRADED_SUFFIX = {"SR": "lr", "DN": "noise", "DR": "rain"}


def make_scene(task: str, image: UInt8Image, image_name: str, scale: int) -> Scene:
    """Pose ``image`` (H x W x 3 uint8 RGB) as a scene of the task SR, DN or DR."""
    if task == "SR":
        return super_resolution.make_scene(image, scale)
    if task == "DN":
        return denoising.make_scene(image)
    return deraining.make_scene(image, image_name)
