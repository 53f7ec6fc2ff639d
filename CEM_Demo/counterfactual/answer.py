"""One finished map and one question: which few blocks must be edited, and how sure is that?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from CEM_Demo.config.schema import Config
from CEM_Demo.counterfactual.adversarial import change_of, find_perturbation
from CEM_Demo.counterfactual.edits import Edit, best_draw_of_each_block, same_draw_everywhere
from CEM_Demo.counterfactual.files import AnswerFiles, asked_of, name_of
from CEM_Demo.counterfactual.record import Counterfactual, EditedBlock
from CEM_Demo.counterfactual.search import Goal, search
from CEM_Demo.faithfulness.curves import Interval, interval_of
from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.faithfulness.finished import FinishedMap
from CEM_Demo.images import UInt8Image
from CEM_Demo.method.classes import BlockClass
from CEM_Demo.method.edited_blocks import BlocksOfImage
from CEM_Demo.method.naturalness import naturalness


@dataclass(frozen=True)
class Question:
    """What a config asks of one finished map."""

    found: FinishedMap

    @property
    def config(self) -> Config:
        """The config of the run."""
        return self.found.run.config

    @property
    def goal(self) -> Goal:
        """What must be reached, and with how many blocks."""
        return Goal(self.config.change_db, self.config.max_blocks)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """All that decides the answer."""
        return {**self.found.provenance, **asked_of(self.config)}

    @property
    def files(self) -> AnswerFiles:
        """Where its answer lies."""
        return AnswerFiles(self.found.paths.pair_folder, name_of(self.config))

    def joint_experiment(self, net: nn.Module) -> JointExperiment:
        """Prepare edits of several blocks at once, with draws that choose and as many fresh ones."""
        posed = self.found.posed
        clean = BlocksOfImage(posed.scene.ground_truth, posed.grid.block) if self.config.edit == "clean" else None
        joint = self.found.joint_experiment(net, 2 * self.config.test_num, clean)
        self.found.check_origin(joint.origin)
        return joint

    @property
    def is_of_places(self) -> bool:
        """Whether it asks for a mean over patches, which speaks of places, and not for one edited image."""
        return self.config.edit == "natural" and self.config.quantifier == "mean"

    def is_reached(self, change: float, fresh: Interval | None) -> bool:
        """Whether an edit reaches what is asked, on any network: a mean by fresh draws, one image by what it changes.

        The draws that chose the blocks flatter them, since among many the luckiest were taken; so they do not count.

        Args:
            change: dB, of the edit that was found.
            fresh: dB, over draws that chose nothing; None where nothing was edited, or where there are no draws.
        """
        return self.goal.is_met(fresh.mean if fresh and self.is_of_places else change)

    def is_certified(self, blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the map certifies each of N blocks to help, where the ROI is to lose, or to hurt, where to gain."""
        wanted = BlockClass.HELPS if self.config.change_db < 0 else BlockClass.HURTS
        return self.found.panel.map.codes.reshape(-1)[blocks] == wanted

    def pools(self, joint: JointExperiment) -> list[NDArray[np.int64]]:
        """Give the blocks to choose from; those of the second pool only count if the first does not reach the goal.

        On average over patches, these are the blocks that the map shows with an effect of the right sign, the largest
        first: those that it certifies, then all of them.
        """
        if not self.is_of_places:
            return [joint.candidates]
        effects = self.found.panel.map.values.reshape(-1)[joint.candidates]
        order = np.argsort(-np.abs(effects), kind="stable")
        shown = joint.candidates[order][effects[order] * self.config.change_db < 0]
        certified = shown[self.is_certified(shown)]
        return [certified, shown] if 0 < len(certified) < len(shown) else [shown]

    def edit(self, joint: JointExperiment) -> Edit:
        """What the edited blocks hold while they are chosen."""
        if self.config.edit == "clean":
            return same_draw_everywhere(joint, [0])
        numbers = range(self.config.test_num)
        if self.config.quantifier == "mean":
            return same_draw_everywhere(joint, numbers)
        return best_draw_of_each_block(joint, joint.candidates, numbers, 1 if self.config.change_db > 0 else -1)


@dataclass(frozen=True)
class Answer:
    """A counterfactual, and the edited input that shows it, H x W x 3 uint8."""

    result: Counterfactual
    edited: UInt8Image


def answer(question: Question, joint: JointExperiment) -> Answer:
    """Search for the few blocks outside the ROI whose edit changes it as the config asks."""
    if question.config.edit == "continuous":
        return _answer_continuously(question, joint)
    edit = question.edit(joint)
    for pool in question.pools(joint):
        found = search(edit.mean_changes, pool, question.goal)
        if found.is_met:
            break
    fresh = robustness = None
    if question.config.edit == "natural" and len(found.blocks):
        changes = fresh_changes(question, joint, found.blocks)
        fresh, robustness = interval_of(changes), float(np.mean([question.goal.is_met(change) for change in changes]))
    witness = question.config.quantifier == "witness" and question.config.edit == "natural"
    blocks = [
        EditedBlock(
            row=int(block // joint.experiment.grid.shape[1]),
            column=int(block % joint.experiment.grid.shape[1]),
            change=float(change),
            marginal=float(marginal),
            draw=int(edit.draws[0, block]) if witness else None,
        )
        for block, change, marginal in zip(found.blocks, found.changes, np.diff(found.changes, prepend=0), strict=True)
    ]
    change = float(found.changes[-1]) if blocks else 0.0
    edited = edit.input_with(found.blocks)
    result = _describe(question, joint, blocks, change, edited, len(pool), fresh, robustness)
    return Answer(result, edited)


def fresh_changes(question: Question, joint: JointExperiment, blocks: NDArray[np.int64]) -> NDArray[np.float64]:
    """Measure what natural patches in a set of blocks change, by the draws that choose nothing: one each, dB."""
    draws = range(question.config.test_num, 2 * question.config.test_num)
    return same_draw_everywhere(joint, draws).changes([blocks])[0]


def block_numbers(joint: JointExperiment, blocks: Sequence[EditedBlock]) -> NDArray[np.int64]:
    """Give the numbers of blocks in the grid, row by row."""
    columns = joint.experiment.grid.shape[1]
    return np.array([block.row * columns + block.column for block in blocks], np.int64)


def measure_again(question: Question, joint: JointExperiment, found: Answer) -> float:
    """Make the edit of an answer once more: what it changes, dB."""
    blocks = found.result.blocks
    if question.config.edit == "continuous" or not blocks:
        return change_of(joint, found.edited)
    numbers = block_numbers(joint, blocks)
    draws = question.config.test_num if question.config.edit == "natural" else 1
    edit = same_draw_everywhere(joint, range(draws))
    own = {number: block.draw for number, block in zip(numbers, blocks, strict=True) if block.draw is not None}
    if own:
        edit = Edit(joint, edit.draws[:1].copy())
        edit.draws[0, list(own)] = list(own.values())
    return float(edit.mean_changes([numbers])[0])


def _answer_continuously(question: Question, joint: JointExperiment) -> Answer:
    found = find_perturbation(joint, question.goal, question.config.epsilon)
    columns = joint.experiment.grid.shape[1]
    blocks = [
        EditedBlock(row=int(block // columns), column=int(block % columns), norm=float(norm))
        for block, norm in zip(found.blocks, found.norms, strict=True)
    ]
    result = _describe(question, joint, blocks, found.change, found.edited, len(joint.candidates))
    return Answer(result, found.edited)


def _describe(
    question: Question,
    joint: JointExperiment,
    blocks: list[EditedBlock],
    change: float,
    edited: UInt8Image,
    candidates: int,
    fresh: Interval | None = None,
    robustness: float | None = None,
) -> Counterfactual:
    """Put into numbers what was found, and what fresh draws say of it, if there are any."""
    grid = joint.experiment.grid
    error, seam = 0.0, None
    if blocks:
        corners = np.array([(block.row, block.column) for block in blocks]) * grid.block
        far = naturalness(joint.experiment.scene.degraded, BlocksOfImage(edited, grid.block).at(corners))
        error, seam = far.error, far.seam if np.isfinite(far.seam) else None
    certified = int(question.is_certified(block_numbers(joint, blocks)).sum()) if question.is_of_places else None
    return Counterfactual(
        asked=question.config.change_db,
        edit=question.config.edit,
        quantifier=question.config.quantifier,
        origin=joint.origin,
        candidates=candidates,
        blocks=blocks,
        certified=certified,
        is_met=question.is_reached(change, fresh),
        change=change,
        fresh=fresh,
        robustness=robustness,
        area=len(blocks) / joint.roi.size,
        error=error,
        seam=seam,
        norm=sum(block.norm or 0.0 for block in blocks) if question.config.edit == "continuous" else None,
    )
