"""All that is known of the filters of one network on one ROI."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.errors import InputError
from CEM_Demo.filters.cards import Card, make_cards
from CEM_Demo.filters.effects import FilterEffects
from CEM_Demo.filters.experiment import FilterExperiment
from CEM_Demo.filters.first_order import first_order_effects
from CEM_Demo.filters.joint import RANDOM, TOP, JointCurve, joint_curves, layer_effects
from CEM_Demo.filters.replacements import Replacements
from CEM_Demo.geometry import ROI
from CEM_Demo.inference.sites import Layer
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.wording import did_you_mean, first_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALL = "all"
# The size of the set that the sentence speaks of.
IN_SENTENCE = 8


@dataclass(frozen=True)
class Subject:
    """A network on one ROI.

    Attributes:
        task: SR, DN, DR or PAIR.
        model, image: their names.
        roi: in full-resolution pixels.
    """

    task: str
    model: str
    image: str
    roi: ROI


@dataclass(frozen=True)
class FilterExplanation:
    """What the filters of a network do for an ROI.

    Attributes:
        effects: of single filters, with their classes.
        origin: PSNR (dB, of values that are not rounded) of the ROI without intervention.
        of_layers: for each layer, dB that the ROI loses where all its filters are replaced at once.
        joint: what sets of filters cost at once: those that help most (``top``), random ones of the same layers
            (``random``), and those that hurt most (``bottom``).
        cards: of the strongest filters.
        first_order: for each filter, the first-order estimate (dB) of its effect under the first replacement; None
            where nobody asked for it.
        subject: what it is about.
    """

    effects: FilterEffects
    origin: float
    of_layers: NDArray[np.float64]
    joint: dict[str, JointCurve]
    cards: tuple[Card, ...]
    first_order: NDArray[np.float64] | None
    subject: Subject

    def count(self, kind: BlockClass) -> int:
        """Count the filters of a class under the first replacement."""
        return int((self.effects.classes() == kind).sum())

    @property
    def sentence(self) -> str:
        """What the report may say."""
        effects = self.effects
        parts = [
            f"of {len(effects.layer_of):,} filters {self.count(BlockClass.HELPS):,} help, "
            f"{self.count(BlockClass.HURTS):,} hurt and {int(effects.dead.sum()):,} are dead"
        ]
        if top := self.joint[TOP].points:
            size = IN_SENTENCE if IN_SENTENCE in top else top[-1]
            costs = [self.joint[name].means[top.index(size)] for name in (TOP, RANDOM)]
            parts.append(
                f"replacing the {size} best at once ({effects.first}) costs {costs[0]:.2f} dB, "
                f"{size} random ones of the same layers {costs[1]:.2f} dB"
            )
        return "; ".join(parts)

    def figure(self) -> Figure:
        """Draw the effects, the joint curves and the cards; needs Matplotlib."""
        from CEM_Demo.filters.figure import draw  # Users who only want numbers need not load Matplotlib.

        title = f"{self.subject.model} on {self.subject.image}\n{self.sentence}"
        return draw(self.effects, self.joint, self.cards, self.subject.task, title)


def explain_effects(
    experiment: FilterExperiment,
    effects: FilterEffects,
    replacements: Replacements,
    subject: Subject,
    seed: int,
    first_order: bool,
) -> FilterExplanation:
    """Measure joint effects and make cards, once all single effects are known; see :class:`FilterExplanation`.

    Args:
        experiment: of all filters.
        effects: of single filters.
        replacements: of the network.
        subject: what it is about.
        seed: of the random sets.
        first_order: whether effects are estimated from a gradient as well.
    """
    return FilterExplanation(
        effects=effects,
        origin=experiment.origin,
        of_layers=layer_effects(experiment, effects.first, replacements),
        joint=joint_curves(experiment, effects, replacements, seed),
        cards=make_cards(experiment, effects, replacements.donors),
        first_order=first_order_effects(experiment, effects.first, replacements) if first_order else None,
        subject=subject,
    )


def choose_layers(layers: Sequence[Layer], patterns: Sequence[str], prefix: str = "") -> tuple[Layer, ...]:
    """Choose the layers whose names match one of the patterns, in which ``*`` stands for anything.

    Args:
        layers: of the network as it is run.
        patterns: names, or all.
        prefix: what the names lose first.

    Raises:
        InputError: there is no layer with filters, or a pattern matches none.
    """
    if not layers:
        raise InputError("the network has no convolution and no linear layer whose filters could be replaced")
    layers = [replace(layer, name=layer.name.removeprefix(prefix)) for layer in layers]
    names = [layer.name for layer in layers]
    for pattern in patterns:
        if pattern != ALL and not any(fnmatchcase(name, pattern) for name in names):
            hint = did_you_mean(pattern, names) or f"there are {first_of(names, 5)}"
            raise InputError(f"filter_layers: {pattern} matches no layer; {hint}")
    return tuple(
        layer for layer in layers if any(pattern == ALL or fnmatchcase(layer.name, pattern) for pattern in patterns)
    )
