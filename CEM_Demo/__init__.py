"""Causal Effect Maps for low-level vision networks (Hu et al., TPAMI 2025, arXiv 2407.19789)."""

from CEM_Demo import quiet_end  # first, since the other imports take seconds
from CEM_Demo.config.settings import Settings
from CEM_Demo.explain import Explanation, compare_figure, explain, explain_rois
from CEM_Demo.filters.explained import FilterDesign, explain_filters
from CEM_Demo.geometry import ROI
from CEM_Demo.images import read_image
from CEM_Demo.ModelZoo import load_denoise_model, load_derain_model, load_model
from CEM_Demo.tasks import Degradation
from CEM_Demo.version import __version__

__all__ = [
    "ROI",
    "Degradation",
    "Explanation",
    "FilterDesign",
    "Settings",
    "__version__",
    "compare_figure",
    "explain",
    "explain_filters",
    "explain_rois",
    "load_denoise_model",
    "load_derain_model",
    "load_model",
    "read_image",
]

quiet_end.everything_is_imported()
