"""What a figure is made of: a section for each config, with columns and a color bar of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from CEM_Demo.figure.sheet import Sheet
from CEM_Demo.report.colours import Scale
from CEM_Demo.report.panels import Panel


@dataclass(frozen=True)
class Group:
    """The panels of one config.

    Attributes:
        label: tells the config from the others of the figure; empty where there is one alone.
        rows: for each ROI of each image, the panels of the models, in the same order.
    """

    label: str
    rows: Sequence[Sequence[Panel]]

    @property
    def panels(self) -> list[Panel]:
        """All panels, row by row."""
        return [panel for row in self.rows for panel in row]


@dataclass(frozen=True)
class Section:
    """What stands in a figure for one group.

    Attributes:
        name: sections of one name stand beneath each other in one figure; empty in layouts with a single figure.
        draw: draws on a sheet from a height (points) on, in its full width, and gives where it ends.
        opening: says what is shown.
        scale: of the colors.
        panels: whose numbers belong into the caption.
        remarks: further paragraphs of the caption.
    """

    name: str
    draw: Callable[[Sheet, float], float]
    opening: str
    scale: Scale
    panels: Sequence[Panel]
    remarks: Sequence[str] = ()
