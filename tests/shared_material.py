"""Find the recorded material that some tests compare with, and skip those tests without it."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"
GOLDEN_PIPELINE = SHARED / "golden_pipeline"
GOLDEN_ZOO = SHARED / "golden_zoo"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skip where the recorded material is not beside the checkout."""
    return pytest.mark.skipif(not path.exists(), reason=f"needs ../shared/{path.name} beside the checkout")
