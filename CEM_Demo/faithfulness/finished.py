"""The finished maps of a run, each with what is needed to make more interventions on its image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from CEM_Demo.device import describe_device
from CEM_Demo.errors import InputError
from CEM_Demo.faithfulness.experiment import JointExperiment, make_joint_experiment
from CEM_Demo.geometry import image_with_rois
from CEM_Demo.method.intervention import Intervention
from CEM_Demo.networks.loading import Model
from CEM_Demo.report.panels import Panel, read_panels
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.paths import ResultPaths, result_paths
from CEM_Demo.results.provenance import changes_since, digest_of, of_config, versions
from CEM_Demo.run.experiment import Experiment
from CEM_Demo.run.preparation import PosedImage, Run, batch_size_for, inferences_for

# A network that restores the untouched ROI otherwise than it did is not the one that the map is of.
SAME_ORIGIN = 0.01


@dataclass(frozen=True)
class FinishedMap:
    """A model's finished map of one ROI."""

    run: Run
    model: Model
    posed: PosedImage
    panel: Panel

    @property
    def paths(self) -> ResultPaths:
        """Where its results lie."""
        return result_paths(self.run.config, self.panel.model, self.posed.name, self.panel.roi)

    @property
    def image(self) -> str:
        """The image, and its ROI where the run has several of it."""
        return image_with_rois(self.posed.name, [self.panel.roi], of=len(self.posed.rois))

    @property
    def title(self) -> str:
        """The model and the image."""
        return f"{self.panel.model} on {self.image}"

    @cached_property
    def decided_by(self) -> dict[str, Any]:
        """All that decides the map."""
        return {**of_config(self.run.config, self.panel.roi), **self.posed.provenance, **self.model.provenance()}

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """All that decides what more interventions on it give, apart from their own keys."""
        return {
            **self.decided_by,
            "effects_sha256": digest_of(self.panel.map.effect_map.effects),
            "device": describe_device(self.run.device),
            "versions": versions(),
        }

    def joint_experiment(self, net: nn.Module, draws: int, intervention: Intervention | None = None) -> JointExperiment:
        """Prepare joint interventions with fresh draws, by the inference that made the map.

        Args:
            net: the model's network, or another in its place.
            draws: how many there are of each block.
            intervention: what stands in the blocks; None pastes patches of the bank.
        """
        manifest = read_manifest(self.paths)
        kind = manifest.inference if manifest else None
        (group,) = inferences_for(self.run, net, self.posed, [self.panel.roi], kind)
        experiment = Experiment(
            net, group, self.posed.scene, self.posed.grid, self.run.bank, self.run.device, intervention=intervention
        )
        batch_size = batch_size_for(self.run, self.panel.model, group.inference)
        return make_joint_experiment(experiment, self.run.config.seed, self.posed.name, batch_size, draws)

    def check_origin(self, origin: float) -> None:
        """Raise InputError if the untouched ROI has another PSNR (dB) than when the map was made."""
        if abs(origin - self.panel.origin) > SAME_ORIGIN:
            raise InputError(
                f"{self.paths.origin} says {self.panel.origin:.2f} dB, {self.panel.model} restores the ROI with "
                f"{origin:.2f} dB here; compute the effects anew with load_previous: 0"
            )


def finished_maps(run: Run) -> list[FinishedMap]:
    """Give the maps of a finished run, model by model.

    Raises:
        InputError: results are missing, unfinished, or computed with another config, image, bank or network, or with
            another intervention than natural patches.
    """
    if run.config.intervention != "natural":
        raise InputError("intervention: only maps of natural patches are taken; leave the key out, or set natural")
    return [
        _checked(FinishedMap(run, model, posed, panel))
        for label, model in run.models.items()
        for posed in run.posed_images
        for (panel,) in read_panels(run.config, [posed.name], [label])
    ]


def _checked(found: FinishedMap) -> FinishedMap:
    """Give a map that is of the image, the bank and the network that there are now; raise InputError otherwise."""
    manifest = read_manifest(found.paths)
    if manifest is not None:
        changes = changes_since(manifest.provenance, found.decided_by)
        if changes:
            raise InputError(
                f"{found.paths.pair_folder} was computed differently: {'; '.join(changes)}; set that back, or compute "
                "the effects anew with load_previous: 0"
            )
    return found
