"""Read a YAML file into a validated config, or say in one line what is wrong with it."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from CEM_Demo.config.complaints import first_complaint
from CEM_Demo.config.image_patterns import list_images
from CEM_Demo.config.plain_yaml import PlainLoader
from CEM_Demo.config.schema import AutomaticBoxes, Config
from CEM_Demo.errors import InputError, naming
from CEM_Demo.geometry import ROI


def load_config(
    path: Path,
    overrides: Iterable[str] = (),
    scale_of_pairs: Callable[[Config], int] | None = None,
    choose_rois: Callable[[Config], Mapping[str, Sequence[ROI]]] | None = None,
) -> Config:
    """Read and check a YAML file; patterns in ``Imagelist`` become the names of the images that there are.

    Args:
        path: the YAML file.
        overrides: ``key=value`` words that replace values of the file; their values are YAML.
        scale_of_pairs: finds the scale of the images when task PAIR leaves out ``sr``; with None the key is required.
        choose_rois: chooses the ROIs of each image when ``rois`` is ``{auto: N}``; with None they are left open.

    Raises:
        InputError: names the file and the key, what is wrong with it, and the nearest fix.
    """
    values = _parse(path)
    for word in overrides:
        key, separator, text = word.partition("=")
        if not separator:
            raise InputError(f"--set {word}: write key=value")
        try:
            values[key.strip()] = yaml.load(text, PlainLoader)
        except yaml.YAMLError as error:
            reason = getattr(error, "problem", None) or "it holds a character that text cannot hold"
            raise InputError(f"--set {key}: {reprlib.repr(text)} is not a YAML value: {reason}") from error
    if "Imagelist" in values:
        with naming(str(path)):
            values["Imagelist"] = list_images(values["Imagelist"], values.get("TextImg_path"))
    if scale_of_pairs and values.get("task") == "PAIR" and "sr" not in values:
        values["sr"] = scale_of_pairs(_validated({**values, "sr": 1}, path))
    config = _validated(values, path)
    if choose_rois and isinstance(config.rois, AutomaticBoxes):
        with naming(str(path)):
            boxes = {image: [asdict(roi) for roi in rois] for image, rois in choose_rois(config).items()}
        return _validated({**values, "ROI_size": None, "rois": boxes}, path)
    return config


def _validated(values: dict[str, Any], path: Path) -> Config:
    try:
        return Config(**values)
    except ValidationError as error:
        raise InputError(f"{path}: {first_complaint(error, Config)}") from error


def _parse(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_bytes(), PlainLoader)
    except OSError as error:
        shipped = "demo-SR_CEM.yml, demo-DN_CEM.yml and demo-DR_CEM.yml are the shipped ones"
        raise InputError(f"{path}: cannot read this config file ({error.strerror}); {shipped}") from error
    except yaml.reader.ReaderError as error:
        raise InputError(f"{path}: not a text file; a config is a list of `key: value` lines in UTF-8") from error
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or error
        if str(problem).startswith("but "):
            problem = f"{getattr(error, 'context', '')}, {problem}"
        raise InputError(f"{path}: not valid YAML{line}: {problem}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(f"{path}: a config is a list of `key: value` lines, as in demo-SR_CEM.yml")
    return values


def keys_help() -> str:
    """Give one line for each key that says what it means."""
    width = max(map(len, Config.model_fields))
    return "\n".join(f"  {key:<{width}}  {field.description}" for key, field in Config.model_fields.items())
