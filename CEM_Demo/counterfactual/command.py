"""From the finished maps of a run to counterfactuals: two pictures and a JSON file each, and one table of all."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from itertools import groupby

from torch import nn

from CEM_Demo.config.schema import Config
from CEM_Demo.counterfactual.answer import Answer, Question, answer, measure_again
from CEM_Demo.counterfactual.figure import draw
from CEM_Demo.counterfactual.files import answers_in
from CEM_Demo.counterfactual.other_networks import measure_on_others
from CEM_Demo.counterfactual.record import Counterfactual, Record, read_record
from CEM_Demo.device import exact_arithmetic
from CEM_Demo.errors import InputError
from CEM_Demo.faithfulness.finished import finished_maps
from CEM_Demo.files import remove, sole_writer, write_bytes
from CEM_Demo.images import figure_bytes, png_bytes, read_image
from CEM_Demo.report.row_tables import NONE, write_table
from CEM_Demo.results.provenance import changes_since
from CEM_Demo.run.preparation import prepare

log = logging.getLogger(__name__)

FIGURE_DPI = 150
# How far a measurement may lie from the recorded one, dB: the engines agree to this.
SAME_CHANGE = 0.002


def find_counterfactuals(config: Config, replay: bool = False) -> None:
    """Find, for all models and images of a finished run, few blocks whose edit changes the ROI by ``change_db``.

    What was found before, with the same config, is not searched again under ``load_previous: 1``. Answers to other
    questions stay.

    Args:
        config: of the run.
        replay: measure what was found before once more instead, and compare.

    Raises:
        InputError: results are missing, unfinished, or computed with another config, image, bank or network; or there
            is nothing to replay, or a replay gives another number.
    """
    questions = [Question(found) for found in finished_maps(prepare(config))]
    records = []
    for _, of_model in groupby(questions, lambda question: question.found.panel.model):
        net: nn.Module | None = None
        for question in of_model:
            found = question.found
            record = _known(question) if config.load_previous or replay else None
            if record is None or replay:
                net = net or found.model.load()
                record = _replay(question, record, net) if replay else _answer_and_write(question, net)
            records.append(record)
            log.info("%s: %s", found.title, record.result.sentence)
    _write_rows(config, questions, records if replay else measure_on_others(questions, records))


def _write_rows(config: Config, questions: Sequence[Question], records: Sequence[Record]) -> None:
    """Write the table, with all that was ever asked of these maps, and say what the edits do to other networks."""
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for question, record in zip(questions, records, strict=True):
        found, result = question.found, record.result
        for other in result.others:
            reached = "reached" if other.is_met else "not reached"
            log.info("%s: the same edit on %s dB; %+g dB is %s", found.title, other, result.asked, reached)
        for files in answers_in(question.files.folder):
            stored = read_record(files)
            if stored and not changes_since(stored.provenance, found.provenance):
                answered = stored.with_others(stored.result.others, list(config.models))
                rows[found.panel.model, found.image, files.question] = row(answered.result)
    write_table(config, questions[0].found.paths, "Counterfactual", rows, names=("model", "image", "question"))


def _known(question: Question) -> Record | None:
    """Give what was found before, if the question was the same and the pictures are there."""
    files = question.files
    record = read_record(files)
    drawn = files.edited_input.is_file() and files.figure.is_file()
    return record if record and drawn and record.provenance == question.provenance else None


def _answer_and_write(question: Question, net: nn.Module) -> Record:
    files, title = question.files, question.found.title
    log.info("%s: searching", title)
    with sole_writer(files.folder), exact_arithmetic():
        began = time.monotonic()
        joint = question.joint_experiment(net)
        found = answer(question, joint)
        seconds = round(time.monotonic() - began, 1)
        record = Record(provenance=question.provenance, result=found.result, seconds=seconds)
        figure = draw(joint.experiment, found.result, found.edited, title)
        # It vouches for the pictures as well, so that an earlier one goes first, and the new one comes last.
        remove(files.record)
        write_bytes(files.edited_input, png_bytes(found.edited))
        write_bytes(files.figure, figure_bytes(figure, FIGURE_DPI))
        write_bytes(files.record, record.to_bytes())
    return record


def _replay(question: Question, record: Record | None, net: nn.Module) -> Record:
    """Measure what was found before once more.

    Raises:
        InputError: there is nothing to replay, or the number is another.
    """
    files = question.files
    if record is None:
        raise InputError(f"{files.record} does not answer this config; run the command without --replay first")
    with exact_arithmetic():
        again = measure_again(
            question, question.joint_experiment(net), Answer(record.result, read_image(files.edited_input))
        )
    if abs(again - record.result.change) > SAME_CHANGE:
        raise InputError(
            f"{files.record} says {record.result.change:+.3f} dB, the same edit gives {again:+.3f} dB now; "
            "delete the file to search anew"
        )
    log.info("%s: the edit gives %+.3f dB again", question.found.title, again)
    return record


def row(result: Counterfactual) -> dict[str, str]:
    """The cells of one map by their headers."""
    places = ", ".join(f"({block.row}, {block.column})" for block in result.blocks)
    steps = [f"{block.change:+.2f} ({block.marginal:+.2f})" for block in result.blocks if block.change is not None]
    others = result.others
    return {
        "origin (dB)": f"{result.origin:.2f}",
        "asked (dB)": f"{result.asked:+g}",
        "edit": result.edit if result.edit != "natural" else f"natural, {result.quantifier}",
        "reached": "yes" if result.is_met else "no",
        "blocks": str(len(result.blocks)),
        "of": str(result.candidates),
        "certified": NONE if result.certified is None else str(result.certified),
        "area": f"{result.area:.1%}",
        "change (dB)": f"{result.change:+.2f}",
        "fresh draws (dB)": NONE if result.fresh is None else str(result.fresh),
        "robustness": NONE if result.robustness is None else f"{result.robustness:.0%}",
        "other networks (dB)": "; ".join(map(str, others)) or NONE,
        "others that reach it": f"{sum(other.is_met for other in others)} of {len(others)}" if others else NONE,
        "RMSE (levels)": f"{result.error:.1f}",
        "sum of norms (levels)": NONE if result.norm is None else f"{result.norm:.1f}",
        "seam": NONE if result.seam is None else f"{result.seam:.1f}",
        "rows and columns": places or NONE,
        "after each block, and by it (dB)": ", ".join(steps) or NONE,
    }
