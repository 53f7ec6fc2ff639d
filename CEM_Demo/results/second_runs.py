"""Check that another finished run, with which ``--against`` compares one, is of the same thing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.results.provenance import changes_since


def check_has(against: Config, model: str, image: str, roi: ROI, what: str) -> None:
    """Raise InputError if the other run does not concern the ROI; ``what`` it has of others is a map, for example."""
    if model not in against.models or image not in against.Imagelist or roi not in against.rois_of(image):
        raise InputError(f"--against: that run has no {what} of {model} on {image}, ROI {roi}")


def check_same(recorded: Mapping[str, Any], asked: Mapping[str, Any], folder: Path, what: str) -> None:
    """Raise InputError if what the other run recorded under the keys of ``asked`` is something else.

    Args:
        recorded: all that decides the other run's results.
        asked: what they must have in common with those of this run.
        folder: where they are.
        what: they are a map, for example.
    """
    if changes := changes_since(recorded, asked):
        raise InputError(f"--against: {folder} is a {what} of something else: {'; '.join(changes)}")
