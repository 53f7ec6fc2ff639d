"""What was said of a network's filters, read back for the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from CEM_Demo.results.paths import ResultPaths

# What a record and the effects beside it must have in common.
SHARED = ("roi", "image_sha256", "degraded_sha256", "checkpoint_sha256", "code_sha256", "weights_sha256")


def filters_sentence(paths: ResultPaths, provenance: Mapping[str, Any]) -> str | None:
    """Give what may be said of the filters; None where those of this very network on this ROI were not measured.

    Args:
        paths: of the network's results.
        provenance: of the effects beside them, see :class:`~CEM_Demo.results.manifest.Manifest`.
    """
    try:
        record = json.loads(paths.of_filters(".json").read_bytes())
        same = all(record["provenance"].get(key) == provenance.get(key) for key in SHARED)
        return str(record["sentence"]) if same else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
