"""Write the page on which annotators mark what helps and what hurts; it works offline."""

from __future__ import annotations

import logging
from pathlib import Path

from CEM_Demo.config.schema import Config
from CEM_Demo.files import write_bytes
from CEM_Demo.images import png_bytes, read_image
from CEM_Demo.pages import render_page
from CEM_Demo.results.paths import table_path
from CEM_Demo.tasks import make_scene

log = logging.getLogger(__name__)

TEMPLATE = Path(__file__).parent / "templates" / "people.html"


def write_page(config: Config) -> Path:
    """Write the page for all images and ROIs of a config, and give its path.

    Raises:
        InputError: an image is missing, or the page cannot be written.
    """
    sheets = []
    for name in config.Imagelist:
        scene = make_scene(config.task_degradation, read_image(config.image_path(name)), name)
        height, width = scene.ground_truth.shape[:2]
        pictures = {"input": png_bytes(scene.degraded), "ground truth": png_bytes(scene.ground_truth)}
        for roi in config.rois_of(name):
            box = {"left": roi.left, "top": roi.top, "width": roi.width, "height": roi.height}
            sheets.append({"image": name, "roi": str(roi), "box": box, "width": width, "height": height} | pictures)
    page = render_page(TEMPLATE, {}, sheets=sheets, title=f"{config.task} {config.prefix}")
    path = table_path(config, "People", ".html")
    write_bytes(path, page.encode())
    log.info("page for annotators: %s", path)
    return path
