"""What must hold exactly, whatever the network: a test of the machinery behind a map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from CEM_Demo.faithfulness.experiment import JointExperiment
from CEM_Demo.method.intervention import Pasted
from CEM_Demo.method.metric import error_growth

# Blocks among which a pair is looked for that changes no value of the ROI in common.
MOST_TRIED = 48
FIRST_DRAW = 0
# Of 0..1; what dense inference moves by batching alone is below.
SAME_VALUE = 3e-6


class Sanity(BaseModel):
    """Three quantities that must be zero up to the rounding of the network's arithmetic; None where none applies.

    Attributes:
        own_content: dB, the effect of pasting the image's own content.
        out_of_reach: dB, the effect of replacing all blocks that are said not to reach the ROI.
        disjoint: of two blocks that change different values of the ROI, their joint growth of the squared error less
            the sum of their single ones.

    All are measured on values that are not rounded, or a last digit could tip one of them to the next level.
    """

    model_config = ConfigDict(frozen=True)

    own_content: float
    out_of_reach: float | None
    disjoint: float | None


def check_exactness(joint: JointExperiment) -> Sanity:
    """Measure what must be zero; see :class:`Sanity`."""
    joint = joint.unrounded()
    unreached = ~joint.reached & ~joint.roi
    return Sanity(
        own_content=_own_content(joint),
        out_of_reach=float(joint.effects(unreached[None], np.array([FIRST_DRAW]))[0]) if unreached.any() else None,
        disjoint=_disjoint(joint),
    )


def _own_content(joint: JointExperiment) -> float:
    whole = Pasted(np.zeros((1, 2), dtype=np.int64), joint.experiment.scene.degraded[None].copy())
    return float(joint.origin - joint.experiment.measure_pasted(whole)[0][0])


def _disjoint(joint: JointExperiment) -> float | None:
    pair = _disjoint_pair(joint)
    if pair is None:
        return None
    draws = np.full(2, FIRST_DRAW)
    jointly = joint.effects(joint.mask(pair)[None], draws[:1])
    return float(error_growth(jointly)[0] - error_growth(joint.single_effects(pair, draws)).sum())


def _disjoint_pair(joint: JointExperiment) -> NDArray[np.int64] | None:
    """Find two blocks that change values of the ROI, but none in common."""
    candidates = joint.candidates
    if not len(candidates):
        return None
    tried = candidates[np.unique(np.linspace(0, len(candidates) - 1, MOST_TRIED).astype(np.int64))]
    changes = _changes(joint, tried)
    common = changes.astype(np.float32) @ changes.T.astype(np.float32)
    sizes = np.diagonal(common)
    worth = np.where((common == 0) & (sizes > 0) & (sizes > 0)[:, None], np.minimum(sizes, sizes[:, None]), 0)
    return tried[list(np.unravel_index(worth.argmax(), worth.shape))] if worth.any() else None


def _changes(joint: JointExperiment, blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
    """N blocks x values of the ROI, True where replacing the block changes the value."""
    inference, (roi,) = joint.experiment.group.inference, joint.experiment.group.rois
    untouched = inference.baseline()[(..., *roi.window)]
    found = []
    for start in range(0, len(blocks), joint.batch_size):
        part = blocks[start : start + joint.batch_size]
        pasted = joint.single(part, np.full(len(part), FIRST_DRAW))
        restored = inference.restore(pasted.corners, pasted.pixels)
        found.append(((restored - untouched).abs() > SAME_VALUE).flatten(1).cpu().numpy())
    return np.concatenate(found)
