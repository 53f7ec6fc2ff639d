"""Is a signed map faithful? All tests of one finished map, and what they say in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from CEM_Demo.faithfulness.additivity import Additivity, paired_additivity
from CEM_Demo.faithfulness.curves import GREEDY, MAP, NEAREST, RANDOM, Family, Interval, delete, insert, interval_of
from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.faithfulness.orders import greedy, highest_first, nearest_first, random_orders
from CEM_Demo.faithfulness.randomization import Randomization
from CEM_Demo.faithfulness.relevance_gain import SymmetricGain, symmetric_gains
from CEM_Demo.faithfulness.reliability import Reliability, SecondRun
from CEM_Demo.faithfulness.sanity import Sanity, check_exactness

BLOCKS_IN_SENTENCE = 8
POOL = 16  # of the map's first blocks and of the nearest ones, what greedy search chooses from


@dataclass(frozen=True)
class Design:
    """How much is tried.

    Attributes:
        test_num: draws at every point of a curve, two or more.
        subset_sizes: of the random sets on which additivity is tested.
        random_orders: how many the random curves are the mean of.
        greedy_steps: blocks that the greedy search takes; 0 leaves it out.
    """

    test_num: int = 8
    subset_sizes: Sequence[int] = (2, 4, 8, 16)
    random_orders: int = 20
    greedy_steps: int = 8


class Faithfulness(BaseModel):
    """What the tests of one map gave.

    Attributes:
        origin: PSNR (dB) of the ROI without intervention.
        helping, hurting: how many blocks the map calls so, among those outside the ROI that can change it.
        candidates: how many blocks can change the ROI and lie outside it.
        deletion: helping blocks replaced, best first: the ROI must lose; None where there are none.
        summed: dB, at each point of the map's deletion, the sum of the map's effects on the blocks replaced.
        hurting_deletion: hurting blocks replaced, worst first: the ROI must gain; None where there are none.
        insertion: all candidates replaced, and put back best first; None where nothing helps.
        all_replaced: dB that the ROI loses then.
        without_hurting: dB that the ROI gains where the hurting blocks alone are replaced, which is where the
            insertion ends that puts back all others; None where there are none.
        symmetric: the symmetric relevance gain of the map's order of all candidates, and of each baseline that is one
            order; the map has none where it is zero everywhere.
        additivity: over random sets of blocks that the map shows, size by size.
        reliability: of the map's own draws; None where they do not tell.
        second_run: how the map agrees with that of another run; None where none was named.
        sanity: what must be zero.
        randomization: how much of the map is left in networks that forgot; None where that was not asked for.
    """

    model_config = ConfigDict(frozen=True)

    origin: float
    helping: int
    hurting: int
    candidates: int
    deletion: Family | None
    summed: list[float]
    hurting_deletion: Family | None
    insertion: Family | None
    all_replaced: Interval
    without_hurting: Interval | None
    symmetric: dict[str, SymmetricGain]
    additivity: list[Additivity]
    reliability: Reliability | None
    second_run: SecondRun | None = None
    sanity: Sanity
    randomization: Randomization | None = None

    @property
    def verdict(self) -> str:
        """``faithful`` where replacing what helps costs more than random and than nearest blocks, beyond doubt.

        Where it does so beyond random blocks only, or where the draws do not tell, that is said instead.
        """
        if self.deletion is None:
            return "nothing helps"
        over_random = self.deletion.advantage(RANDOM)
        if over_random.low <= 0:
            return "not faithful" if over_random.high < 0 else "not told from random order"
        return "faithful" if self.deletion.advantage(NEAREST).low > 0 else "not told from nearest first"

    @property
    def sentence(self) -> str:
        """The verdict with its numbers, for a report."""
        if self.deletion is None:
            return f"{self.verdict}: the map shows no helping block outside the ROI"
        count = blocks_shown(self.deletion)
        best, nearest, random = (self.deletion.curves[name].at(count) for name in (MAP, NEAREST, RANDOM))
        blocks = f"{count} best blocks" if count > 1 else "best block"
        return (
            f"{self.verdict}: replacing its {blocks} costs {best:.1f} dB, the {count} nearest {nearest:.1f}, "
            f"{count} random {random:.1f}"
        )

    @property
    def sum_of_best(self) -> float | None:
        """The sum (dB) of the map's effects on the blocks of the sentence; None where nothing helps."""
        if self.deletion is None:
            return None
        return self.summed[self.deletion.curves[MAP].points.index(blocks_shown(self.deletion))]


def blocks_shown(deletion: Family) -> int:
    """How many blocks the sentence and the table speak of: 8, or all that help where these are fewer."""
    points = deletion.curves[MAP].points
    return BLOCKS_IN_SENTENCE if BLOCKS_IN_SENTENCE in points else points[-1]


def assess(
    joint: JointExperiment,
    effects: NDArray[np.float64],
    reliability: Reliability | None,
    design: Design,
    others: Mapping[str, NDArray[np.float64]] | None = None,
) -> Faithfulness:
    """Test a finished map with joint interventions, whose draws had no part in making it.

    Args:
        joint: the network on the ROI, with at least ``design.test_num`` draws.
        effects: rows x columns, dB, the map; what the ROI's own blocks have does not count.
        reliability: of the map's draws.
        design: how much is tried.
        others: by name, rows x columns: other scores of the blocks, such as the sums of a Local Attribution Map; the
            highest come first, in the place of the map's helping blocks.
    """
    ranked = highest_first(effects, joint.candidates)
    scores = effects.reshape(-1)[ranked]
    best, worst = ranked[scores > 0], ranked[scores < 0][::-1]
    baselines = _baselines(joint, design, others or {})
    draws = design.test_num
    deletion = insertion = hurting = None
    if len(best):
        orders = {MAP: [ranked], **baselines, **_greedy_order(joint, best, baselines[NEAREST][0], design)}
        deletion = delete(joint, orders, len(best), draws)
        insertion = insert(joint, {MAP: [ranked], **baselines}, len(best), draws)
    if len(worst):
        orders = {MAP: [worst], **baselines, **_greedy_order(joint, worst, baselines[NEAREST][0], design, sign=-1)}
        hurting = delete(joint, orders, len(worst), draws, sign=-1)
    return Faithfulness(
        origin=joint.origin,
        helping=len(best),
        hurting=len(worst),
        candidates=len(ranked),
        deletion=deletion,
        summed=_summed(scores, deletion) if deletion else [],
        hurting_deletion=hurting,
        insertion=insertion,
        all_replaced=_all_replaced(joint, draws),
        without_hurting=interval_of(-np.array(hurting.curves[MAP].effects[-1])) if hurting else None,
        symmetric=symmetric_gains(joint, {**({MAP: [ranked]} if scores.any() else {}), **baselines}, draws),
        additivity=paired_additivity(joint, ranked[scores != 0], design.subset_sizes, draws),
        reliability=reliability,
        sanity=check_exactness(joint),
    )


def _summed(scores: NDArray[np.float64], deletion: Family) -> list[float]:
    """The sums of sorted effects up to each point of the map's curve."""
    return [float(scores[:point].sum()) for point in deletion.curves[MAP].points]


def _baselines(
    joint: JointExperiment, design: Design, others: Mapping[str, NDArray[np.float64]]
) -> dict[str, Sequence[NDArray[np.int64]]]:
    (roi,) = joint.experiment.group.rois
    return {
        NEAREST: [nearest_first(joint.experiment.grid, roi, joint.candidates)],
        RANDOM: random_orders(joint, max(design.random_orders, design.test_num)),
        **{name: [highest_first(scores, joint.candidates)] for name, scores in others.items()},
    }


def _greedy_order(
    joint: JointExperiment, ranked: NDArray[np.int64], nearest: NDArray[np.int64], design: Design, sign: int = 1
) -> dict[str, Sequence[NDArray[np.int64]]]:
    steps = min(design.greedy_steps, len(ranked))
    if not steps:
        return {}
    pool = np.unique(np.concatenate([ranked[:POOL], nearest[:POOL]]))
    return {GREEDY: [greedy(joint, pool, steps, design.test_num, sign)]}


def _all_replaced(joint: JointExperiment, draws: int) -> Interval:
    sets = np.stack([joint.mask(joint.candidates)] * draws)
    return interval_of(joint.effects(sets, np.arange(draws)))
