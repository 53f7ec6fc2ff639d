"""What was found out about a map and written beside it, read back for the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from CEM_Demo.results.paths import ResultPaths
from CEM_Demo.results.provenance import digest_of


def faithfulness_sentence(paths: ResultPaths, effects: NDArray[np.float64]) -> str | None:
    """Give what may be said of a map, rows x columns in dB; None where this very map was not tested."""
    return _sentence(paths.faithfulness, effects)


def mediation_sentence(paths: ResultPaths, effects: NDArray[np.float64]) -> str | None:
    """Give what part of a map is mediated; None where the paths of this very map were not drawn."""
    return _sentence(paths.mediation, effects)


def _sentence(path: Path, effects: NDArray[np.float64]) -> str | None:
    try:
        record = json.loads(path.read_bytes())
        tested = record["provenance"]["effects_sha256"]
        return str(record["sentence"]) if tested == digest_of(effects) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
