"""Local Attribution Maps (Gu and Dong, CVPR 2021), and how they compare with causal effect maps."""

from CEM_Demo.attribution.comparison import ClassShare, Comparison, block_sums, compare
from CEM_Demo.attribution.local_attribution import LocalAttribution, lam

__all__ = ["ClassShare", "Comparison", "LocalAttribution", "block_sums", "compare", "lam"]
