"""Causal Effect Maps for low-level vision networks (Hu et al., TPAMI 2025, arXiv 2407.19789)."""

from CEM_Demo.version import __version__ as __version__
