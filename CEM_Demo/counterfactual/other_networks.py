"""Does an edit that was found for one network do the same to the others of its run?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from torch import nn

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
    networks = {question.found.panel.model: question.found.model for question in questions}
    weights = {model: network.provenance() for model, network in networks.items()}
    completed = [record.with_others(record.result.others, list(networks)) for record in records]
    for model, of_model in groupby(questions, lambda question: question.found.panel.model):
        net: nn.Module | None = None
        for other in of_model:
            missing = [
                number
                for number, record in enumerate(completed)
                if _is_asked_of(other, questions[number])
                and record.result.blocks
                and not _is_known(record, model, weights[model])
            ]
            if not missing:
                continue
            log.info("%s: measuring what was found for other networks", other.found.title)
            net = net or networks[model].load()
            with exact_arithmetic():
                joint = other.joint_experiment(net)
                for number in missing:
                    question, record = questions[number], completed[number]
                    measured = _measure(question, record, model, weights[model], joint)
                    completed[number] = record.with_others([*record.result.others, measured], list(networks))
                    with sole_writer(question.found.paths.pair_folder):
                        write_bytes(question.files.record, completed[number].to_bytes())
    return completed


def _is_asked_of(other: Question, question: Question) -> bool:
    """Whether another question is that of another network on the same ROI of the same image."""
    one, two = question.found, other.found
    return one.image == two.image and one.panel.model != two.panel.model


def _is_known(record: Record, model: str, weights: dict[str, Any]) -> bool:
    """Whether a record tells what the edit does to another network, with the weights that it has."""
    return any((known.model, known.provenance) == (model, weights) for known in record.result.others)


def _measure(
    question: Question, record: Record, model: str, weights: dict[str, Any], joint: JointExperiment
) -> OtherNetwork:
    """Measure an edit on another network: the same patches in the same blocks.

    Args:
        question: to which the edit was the answer.
        record: the answer.
        model, weights: name of the other network, and what decides its numbers.
        joint: makes edits on the other network.
    """
    fresh = None
    if question.is_of_places:
        fresh = interval_of(fresh_changes(question, joint, block_numbers(joint, record.result.blocks)))
        change = fresh.mean
    else:
        change = change_of(joint, read_image(question.files.edited_input))
    return OtherNetwork(
        model=model,
        provenance=weights,
        origin=joint.origin,
        change=change,
        fresh=fresh,
        is_met=question.is_reached(change, fresh),
    )
