"""From effects on disk to maps and one self-contained HTML file."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from CEM_Demo.cache import StoredEffects, read_effects
from CEM_Demo.config import Config
from CEM_Demo.effect_map import EffectMap, make_effect_map
from CEM_Demo.errors import InputError
from CEM_Demo.figures import COLOUR_BOUND, colour_bar, overlay, pie
from CEM_Demo.files import write_bytes
from CEM_Demo.geometry import grid_of
from CEM_Demo.images import UInt8Image, png_bytes, read_image
from CEM_Demo.result_paths import ResultPaths, report_path, result_paths
from CEM_Demo.tasks import make_scene

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Panel:
    """One model on one image, as the report shows it; pictures are PNG bytes."""

    model: str
    restored: bytes | None
    overlay: bytes
    colour_bar: bytes
    pie: bytes
    origin: float
    effect_map: EffectMap
    manifest: dict[str, Any] | None


@dataclass(frozen=True)
class Section:
    """One image of the report with a panel for every model."""

    image: str
    ground_truth: bytes
    degraded: bytes
    height: int
    width: int
    panels: list[Panel]


def make_report(config: Config) -> Path:
    """Draw the maps of all models and images of a run and put them into one HTML file.

    Raises:
        InputError: results are missing, unfinished, damaged, or do not belong to the image.
    """
    sections = [_make_section(config, image) for image in config.Imagelist]
    path = report_path(config)
    write_bytes(path, render(config, sections).encode())
    return path


def _make_section(config: Config, image: str) -> Section:
    paths = {model: result_paths(config, model, image) for model in config.models}
    stored = {model: read_effects(pair) for model, pair in paths.items()}
    first = next(iter(paths))
    ground_truth, degraded = _pictures(config, paths[first], stored[first])
    panels = [_make_panel(config, model, paths[model], stored[model], ground_truth, degraded) for model in paths]
    height, width = ground_truth.shape[:2]
    return Section(image, png_bytes(ground_truth), png_bytes(degraded), height, width, panels)


def _pictures(config: Config, paths: ResultPaths, stored: StoredEffects) -> tuple[UInt8Image, UInt8Image]:
    """Ground truth and degraded image; those of a published cache are made again, it does not hold them."""
    if stored.manifest is not None:
        return read_image(paths.ground_truth), read_image(paths.degraded)
    scene = make_scene(config.task, read_image(config.image_path(paths.image)), paths.image, config.sr)
    return scene.ground_truth, scene.degraded


def _make_panel(
    config: Config,
    model: str,
    paths: ResultPaths,
    stored: StoredEffects,
    ground_truth: UInt8Image,
    degraded: UInt8Image,
) -> Panel:
    grid = grid_of(degraded, config.block, config.sr)
    if stored.coarse.shape[:2] != grid.shape:
        raise InputError(f"{paths.coarse} has {stored.coarse.shape[:2]} blocks, the image has {grid.shape}; recompute")
    effect_map = make_effect_map(stored.origin, stored.coarse, stored.fine, config.tol, grid.overlaps(config.roi))
    bound = COLOUR_BOUND[config.task]
    height, width = ground_truth.shape[:2]
    drawn = overlay(effect_map, degraded, config.roi, config.mask_block_size, (height, width), bound)
    panel = Panel(
        model=model,
        restored=paths.restored.read_bytes() if paths.restored.exists() else None,
        overlay=png_bytes(drawn),
        colour_bar=colour_bar(effect_map, bound),
        pie=pie(effect_map),
        origin=stored.origin,
        effect_map=effect_map,
        manifest=stored.manifest,
    )
    for path, content in ((paths.overlay, panel.overlay), (paths.colour_bar, panel.colour_bar), (paths.pie, panel.pie)):
        write_bytes(path, content)
    print(summary(panel, paths.image))
    return panel


def summary(panel: Panel, image: str) -> str:
    """The range of a map in one line."""
    lowest, highest = panel.effect_map.lowest, panel.effect_map.highest
    return (
        f"{panel.model} on {image}: effects from {highest.effect:.2f} dB (row {highest.row}, column {highest.column}) "
        f"to {lowest.effect:.2f} dB (row {lowest.row}, column {lowest.column})"
    )


def render(config: Config, sections: list[Section]) -> str:
    """The HTML text; everything from the config is escaped."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["blocks"] = _blocks
    return environment.get_template("report.html").render(
        config=config,
        sections=sections,
        config_text=yaml.safe_dump(config.model_dump(), sort_keys=False, allow_unicode=True),
        bound=COLOUR_BOUND[config.task],
    )


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _blocks(effect_map: EffectMap) -> dict[str, Any]:
    """What the page's script shows of each block."""
    return {
        "effects": effect_map.effects.round(4).tolist(),
        "interventions": effect_map.interventions.tolist(),
        "roi": effect_map.roi.astype(int).tolist(),
    }
