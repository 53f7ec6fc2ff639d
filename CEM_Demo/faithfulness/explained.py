"""The tests of a map that was made in Python, without files."""

from __future__ import annotations

from torch import nn

from CEM_Demo.config.settings import Settings
from CEM_Demo.device import exact_arithmetic, pick_device
from CEM_Demo.explain import BUNDLED_BANK, Explanation
from CEM_Demo.faithfulness.assessment import Design, Faithfulness, assess
from CEM_Demo.faithfulness.experiment import make_joint_experiment
from CEM_Demo.faithfulness.reliability import split_half
from CEM_Demo.geometry import grid_of
from CEM_Demo.inference.choice import choose_inference
from CEM_Demo.method.patch_bank import load_bank
from CEM_Demo.run.experiment import Experiment

SETTINGS = Settings()
DESIGN = Design()


@exact_arithmetic()
def assess_explanation(
    explanation: Explanation,
    network: nn.Module,
    settings: Settings = SETTINGS,
    design: Design = DESIGN,
) -> Faithfulness:
    """Test whether the map of an explanation is faithful.

    Args:
        explanation: from :func:`~CEM_Demo.explain.explain`.
        network: the one that was explained.
        settings: those that it was explained with.
        design: how much is tried.
    """
    scene, measured = explanation.scene, explanation.measurements
    grid = grid_of(scene.degraded, explanation.block // scene.scale, scene.scale)
    bank = settings.bank if settings.bank is not None else load_bank(BUNDLED_BANK)
    device = pick_device(settings.device)
    (group,) = choose_inference(network, scene.degraded, [explanation.roi], grid.block, device, measured.inference)
    experiment = Experiment(network, group, scene, grid, bank, device)
    joint = make_joint_experiment(experiment, settings.seed, explanation.image, measured.batch_size, design.test_num)
    return assess(joint, explanation.effects, split_half(explanation.certainty), design)
