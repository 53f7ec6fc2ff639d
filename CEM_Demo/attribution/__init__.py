"""Local Attribution Maps (Gu and Dong, CVPR 2021), and how they compare with causal effect maps."""

from CEM_Demo.attribution.comparison import ClassShare, Comparison, block_sums, compare
from CEM_Demo.attribution.local_attribution import LocalAttribution, lam
from CEM_Demo.attribution.side_by_side import SideBySide, compare_with_effects

__all__ = [
    "ClassShare",
    "Comparison",
    "LocalAttribution",
    "SideBySide",
    "block_sums",
    "compare",
    "compare_with_effects",
    "lam",
]
