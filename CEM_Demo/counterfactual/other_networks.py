"""Does an edit that was found for one network do the same to the others of its run?"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from CEM_Demo.counterfactual.adversarial import change_of
from CEM_Demo.counterfactual.answer import Question, block_numbers, fresh_changes
from CEM_Demo.counterfactual.record import OtherNetwork, Record
from CEM_Demo.device import exact_arithmetic
from CEM_Demo.faithfulness.curves import interval_of
from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.files import sole_writer, write_bytes
from CEM_Demo.images import read_image

log = logging.getLogger(__name__)


def measure_on_others(questions: Sequence[Question], records: Sequence[Record]) -> list[Record]:
    """Measure each edit on the other networks of its run, and write what that gives into its record.

    One network is held at a time. What was measured before is not measured again.

    Args:
        questions: of all models and images of a run.
        records: their answers.

    Returns:
        The records, with the networks that the run has now.
    """
    models = [question.found.panel.model for question in questions]
    completed = [record.with_others(record.result.others, models) for record in records]
    for other in questions:
        missing = [
            number
            for number, record in enumerate(completed)
            if _is_asked_of(other, questions[number]) and record.result.blocks and not _is_known(record, other)
        ]
        if not missing:
            continue
        log.info("%s: measuring what was found for other networks", other.found.title)
        with exact_arithmetic():
            joint = other.joint_experiment(other.found.model.load())
            for number in missing:
                question, record = questions[number], completed[number]
                measured = _measure(question, record, other, joint)
                completed[number] = record.with_others([*record.result.others, measured], models)
                with sole_writer(question.found.paths.pair_folder):
                    write_bytes(question.found.paths.counterfactual, completed[number].to_bytes())
    return completed


def _is_asked_of(other: Question, question: Question) -> bool:
    """Whether another question is that of another network on the same ROI of the same image."""
    one, two = question.found, other.found
    return one.image == two.image and one.panel.model != two.panel.model


def _is_known(record: Record, other: Question) -> bool:
    """Whether a record tells what the edit does to the network of another question, with the weights that it has."""
    weights = other.found.model.provenance()
    return any(known.model == other.found.panel.model and known.provenance == weights for known in record.result.others)


def _measure(question: Question, record: Record, other: Question, joint: JointExperiment) -> OtherNetwork:
    """Measure an edit on another network: the same patches in the same blocks.

    Args:
        question: to which the edit was the answer.
        record: the answer.
        other: the question of the other network.
        joint: makes edits on the other network.
    """
    fresh = None
    if question.config.edit == "natural" and question.config.quantifier == "mean":
        fresh = interval_of(fresh_changes(question, joint, block_numbers(joint, record.result.blocks)))
        change = fresh.mean
    else:
        change = change_of(joint, read_image(question.found.paths.counterfactual_input))
    return OtherNetwork(
        model=other.found.panel.model,
        provenance=other.found.model.provenance(),
        origin=joint.origin,
        change=change,
        fresh=fresh,
        is_met=question.goal.is_met(change),
    )
