"""What tests of a map said of it, read back for the report."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.results.paths import ResultPaths
from CEM_Demo.results.provenance import digest_of


def faithfulness_sentence(paths: ResultPaths, effects: NDArray[np.float64]) -> str | None:
    """Give what may be said of a map, rows x columns in dB; None where this very map was not tested."""
    try:
        record = json.loads(paths.faithfulness.read_bytes())
        tested = record["provenance"]["effects_sha256"]
        return str(record["sentence"]) if tested == digest_of(effects) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
