"""A counterfactual on disk: what was asked, what was found, and what it takes to measure it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from CEM_Demo.config.settings import EditKind, Quantifier
from CEM_Demo.counterfactual.files import AnswerFiles
from CEM_Demo.faithfulness.curves import Interval

EDITS = {
    "natural": "replaced by natural patches",
    "clean": "freed of their degradation",
    "continuous": "changed by an adversary",
}


class EditedBlock(BaseModel):
    """One block that is edited.

    Attributes:
        row, column: of the block.
        change: dB, what the blocks up to this one change together, by the draws that chose them; None where they were
            not edited one by one.
        marginal: dB, what this one adds to the change of those before it; None where they were not.
        draw: number of the draw that stands there; None where the mean over draws counts, or where there are none.
        norm: root of the sum of squares of what an adversary adds to its values, in levels of 255; None of others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    row: int
    column: int
    change: float | None = None
    marginal: float | None = None
    draw: int | None = None
    norm: float | None = None


class OtherNetwork(BaseModel):
    """What the same edit does to another network of the run.

    Attributes:
        model: its name in figures.
        provenance: all that decides its weights.
        origin: PSNR (dB) of the untouched ROI.
        change: dB, the mean over draws that chose nothing, or that of the one edited input.
        fresh: the same with its interval; None where there is one input.
        is_met: whether it reaches what was asked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    provenance: dict[str, Any]
    origin: float
    change: float
    fresh: Interval | None = None
    is_met: bool

    def __str__(self) -> str:
        return f"{self.model}: {self.fresh or f'{self.change:+.2f}'}"


class Counterfactual(BaseModel):
    """What was found for one model on one ROI.

    Attributes:
        asked: dB; the ROI must lose as much where it is negative, gain as much where it is positive.
        edit: what the edited blocks hold.
        quantifier: ``mean`` speaks of places, over patches; ``witness`` of one image, with one patch for each block.
        origin: PSNR (dB) of the untouched ROI.
        candidates: how many blocks there were to choose from.
        blocks: the edited ones, in the order in which they were taken.
        certified: how many of them the map certifies to help (of a break) or hurt (of a repair); None where all blocks
            may be edited, whatever the map shows.
        is_met: whether the edit reaches what was asked: a mean by the fresh draws, a single image by its change.
        change: dB, of a single image, or the mean over the draws that chose the blocks.
        fresh: dB, by as many draws that chose nothing; None where there are no draws.
        robustness: the share of the fresh draws that reach what was asked; None where there are none.
        area: the share of the image's blocks that is edited.
        error: root mean square size of the edit within its blocks, in levels of 255.
        seam: step across the borders of the edited blocks relative to that inside; see
            :class:`~CEM_Demo.method.naturalness.Naturalness`; None around flat blocks.
        norm: the sum of the blocks' norms, in levels, which an adversary keeps small; None of other edits.
        others: what the same edit does to the other networks of the run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    asked: float
    edit: EditKind
    quantifier: Quantifier
    origin: float
    candidates: int
    blocks: list[EditedBlock]
    certified: int | None = None
    is_met: bool
    change: float
    fresh: Interval | None = None
    robustness: float | None = None
    area: float
    error: float
    seam: float | None
    norm: float | None = None
    others: list[OtherNetwork] = []

    @property
    def sentence(self) -> str:
        """What was found, for a log, a table or a report."""
        count = len(self.blocks)
        if not count:
            return f"{self.asked:+g} dB is not reached; no block outside the ROI changes it in that direction"
        blocks = "1 block" if count == 1 else f"{count} blocks"
        kind = "one image, in which " if self.quantifier == "witness" and self.edit == "natural" else ""
        by = "" if self.norm is None else f" by {self.norm:.0f} levels (sum of norms)"
        change = f"{self.change:+.2f} dB"
        if self.fresh is not None and self.quantifier == "mean":
            change = f"{self.fresh} dB over fresh draws; the choosing draws gave {change}"
        verdict = "" if self.is_met else f"{self.asked:+g} dB is not reached; the search ends with "
        return f"{verdict}{kind}{blocks} outside the ROI, {EDITS[self.edit]}{by}: {change}"


class Record(BaseModel):
    """A counterfactual with what it was made from.

    Attributes:
        format: number of this layout.
        provenance: all that decides the numbers.
        result: what was found.
        seconds: computing time.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[3] = 3
    provenance: dict[str, Any]
    result: Counterfactual
    seconds: float

    def with_others(self, others: Sequence[OtherNetwork], models: Sequence[str]) -> Record:
        """Give the record with what the edit does to other networks, in the order of ``models``; no others stay."""
        latest = {other.model: other for other in others}
        ordered = [latest[model] for model in dict.fromkeys(models) if model in latest]
        return self.model_copy(update={"result": self.result.model_copy(update={"others": ordered})})

    def to_bytes(self) -> bytes:
        """The text of the file."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def read_record(files: AnswerFiles) -> Record | None:
    """Read what was found earlier; None where there is nothing that can be read. It can always be computed anew."""
    try:
        return Record.model_validate_json(files.record.read_bytes())
    except (OSError, ValidationError):
        return None
