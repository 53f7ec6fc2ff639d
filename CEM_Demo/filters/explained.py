"""Filter effects from Python, without files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from CEM_Demo.config.settings import Settings
from CEM_Demo.device import exact_arithmetic, pick_device
from CEM_Demo.errors import InputError, naming
from CEM_Demo.explain import DEFAULT, check_image, check_rois
from CEM_Demo.filters.donors import check_enough, make_donors, others_than
from CEM_Demo.filters.effects import Criteria, effects_of, measure_effects, no_effects
from CEM_Demo.filters.experiment import make_experiment
from CEM_Demo.filters.explanation import ALL, FilterExplanation, Subject, choose_layers, explain_effects
from CEM_Demo.filters.replacements import MEAN, OF_DONORS, RESAMPLE, WEIGHTS, ZERO, Replacements
from CEM_Demo.geometry import ROI
from CEM_Demo.images import UInt8Image
from CEM_Demo.inference.lent_network import left_as_found
from CEM_Demo.inference.suffix import FilterInference
from CEM_Demo.networks.fitting import innermost, prepare_network
from CEM_Demo.tasks import Degradation, make_scene


@dataclass(frozen=True)
class FilterDesign:
    """How filters are tried.

    Attributes:
        replacements: mean, resample, zero or weights; the first ranks the filters.
        layers: names of layers, in which ``*`` stands for anything, or all.
        draws: donors that are drawn.
        donors: other photographs, H x W x 3 uint8 RGB, that mean and resample need; of PAIR, degraded inputs.
        other: the same network with other weights, whose filters ``weights`` takes.
        first_order: whether effects are estimated from a gradient as well.
    """

    replacements: Sequence[str] = (MEAN,)
    layers: Sequence[str] = (ALL,)
    draws: int = 16
    donors: Sequence[UInt8Image] = field(default=(), repr=False)
    other: nn.Module | None = None
    first_order: bool = False


@exact_arithmetic()
def explain_filters(
    network: Callable[[Tensor], Any],
    image: UInt8Image,
    roi: ROI,
    degradation: Degradation,
    design: FilterDesign,
    settings: Settings = DEFAULT,
    image_name: str = "image",
) -> FilterExplanation:
    """Measure what each filter of a network does for an ROI, by replacing its output.

    The network is left as it was found, on its device and with its modules in their modes.

    Args:
        network: as of :func:`~CEM_Demo.explain.explain`.
        image: ground truth, H x W x 3 uint8 RGB; it is degraded as ``degradation`` says.
        roi: in pixels of ``image``.
        degradation: the task and its strength.
        design: how filters are tried.
        settings: of these, ``tol``, ``seed``, ``device`` and ``allow_random`` count.
        image_name: the draws and the rain depend on it.

    Raises:
        InputError: an argument is of the wrong kind, donors are missing, or torch.export cannot flatten the network.
    """
    check_image(image)
    scene = make_scene(degradation, image, image_name)
    check_rois([roi], *scene.ground_truth.shape[:2])
    for number, donor in enumerate(design.donors):
        check_image(donor, f"donors: photograph {number}")
    photographs = others_than((image, scene.ground_truth, scene.degraded), design.donors)
    _check_design(design, len(photographs))
    seed = settings.seed if settings.allow_random else None
    donors = make_donors(photographs, scene, degradation, settings.seed, image_name, design.draws if photographs else 0)
    with left_as_found(network), left_as_found(design.other):
        prepared = prepare_network(network, degradation.task, scene.scale, seed)
        other = design.other and prepare_network(design.other, degradation.task, scene.scale, seed)
        inference = FilterInference(prepared, scene.degraded, roi, pick_device(settings.device), other)
        layers = choose_layers(inference.layers, design.layers, innermost(prepared)[1])
        experiment = make_experiment(inference, scene, roi, layers)
        replacements = Replacements(inference, donors)
        found = no_effects(experiment, design.replacements, replacements)
        measure_effects(experiment, replacements, found)
        effects = effects_of(experiment, found, Criteria(tol=settings.tol))
        subject = Subject(degradation.task, type(network).__name__, image_name, roi)
        return explain_effects(experiment, effects, replacements, subject, settings.seed, design.first_order)


def _check_design(design: FilterDesign, photographs: int) -> None:
    for name, given in (("replacements", design.replacements), ("layers", design.layers)):
        if isinstance(given, str):
            raise InputError(f"{name}: {given!r} is a single word; give a list, as in [{given!r}]")
    known = (MEAN, RESAMPLE, ZERO, WEIGHTS)
    strangers = [kind for kind in design.replacements if kind not in known]
    if strangers or not design.replacements:
        raise InputError(f"replacements: {', '.join(strangers) or 'none'} is not among {', '.join(known)}")
    if WEIGHTS in design.replacements and design.other is None:
        raise InputError("other: weights takes filters of another network; give it as other")
    if design.draws < 1:
        raise InputError(f"draws: {design.draws} is no number of draws; give 16")
    if any(kind in OF_DONORS for kind in design.replacements) and not photographs:
        raise InputError("donors: mean and resample need photographs other than the image; give at least one")
    if RESAMPLE in design.replacements:
        with naming("donors"):
            check_enough(photographs, design.draws, "draws")
