"""The first-order estimate of filters' effects, from one gradient: for screening only.

It leaves out what a replacement costs in second order, which is never a gain where the network is linear, so it invents
filters that hurt. Attribution patching does the same in language models.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from CEM_Demo.filters.effects import FilterEffects
from CEM_Demo.filters.experiment import FilterExperiment
from CEM_Demo.filters.replacements import Replacements
from CEM_Demo.images import PEAK
from CEM_Demo.method.rank_correlation import rank_correlation


def first_order_effects(experiment: FilterExperiment, kind: str, replacements: Replacements) -> NDArray[np.float64]:
    """Estimate the mean effect of each filter under a replacement.

    The estimate is the derivative of the ROI's PSNR by what stands at the filter's sites, times what a replacement
    changes there.

    Returns:
        Filters float64, dB, positive where the filter seems to help.
    """
    gradients = experiment.inference.gradients(lambda roi: _decibels(roi, experiment.truth))
    draws = replacements.draws(kind)
    effects = np.zeros(experiment.filters)
    for draw in range(draws):
        values = replacements.values(kind, draw)
        for layer in experiment.layers:
            own = experiment.inference.own_values(layer.sites)
            instead = experiment.inference.other_values(layer.sites) if values is None else values
            for site in layer.sites:
                change = instead[site.number].double() - own[site.number].double()
                products = (gradients[site.number] * change).transpose(0, 1).unflatten(0, (layer.channels, -1))
                effects[experiment.slice_of(layer)] += products.flatten(1).sum(dim=1).cpu().numpy() / draws
    return effects


def rank_correlations(effects: FilterEffects, estimates: NDArray[np.float64]) -> list[float | None]:
    """Correlate the ranks of estimates with those of the exact effects, layer by layer; dead filters are left out."""
    exact, alive = effects.mean(), ~effects.dead
    within = [alive & (effects.layer_of == number) for number in range(len(effects.layers))]
    return [rank_correlation(estimates[one], exact[one]) for one in within]


def _decibels(roi: Tensor, truth: Tensor) -> Tensor:
    """Give the error of an ROI, dB; it grows as PSNR falls, and has the same least error."""
    error = roi.double().clamp(0, 1).mul(PEAK).sub(truth.double()).square().sum()
    return 10 * torch.log10(error.clamp_min(1))
