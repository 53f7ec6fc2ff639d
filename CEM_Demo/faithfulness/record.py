"""The tests of one map on disk: what they gave, and what they were made from."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from CEM_Demo.faithfulness.assessment import Faithfulness
from CEM_Demo.results.paths import ResultPaths


class Record(BaseModel):
    """What is kept of the tests of one model's map of an ROI.

    Attributes:
        format: number of this layout.
        provenance: all that decides the numbers, the map among it.
        result: what the tests gave.
        sentence: what the report may say of the map.
        seconds: computing time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    provenance: dict[str, Any]
    result: Faithfulness
    sentence: str
    seconds: float

    def to_bytes(self) -> bytes:
        """The text of the file."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def read_record(paths: ResultPaths) -> Record | None:
    """Read what earlier tests gave; None where there is nothing that can be read. It can always be computed anew."""
    try:
        return Record.model_validate_json(paths.faithfulness.read_bytes())
    except (OSError, ValidationError):
        return None
