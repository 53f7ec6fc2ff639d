"""The map of the same model on the same ROI in another run, whose draws or patches are others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.method.certainty import Certainty
from CEM_Demo.report.panels import read_panels
from CEM_Demo.results.manifest import read_manifest
from CEM_Demo.results.paths import result_paths
from CEM_Demo.results.provenance import digest_of
from CEM_Demo.results.second_runs import check_has, check_same

# What two maps must share to be maps of one thing; the network's own keys come on top.
SHARED = ("task", "sr", "mask_block_size", "roi", "intervention", "image_sha256", "degraded_sha256")
# What follows from other keys, or decides no effect on PSNR.
FOLLOWS = ("plan_sha256", "metrics", "metrics_sha256")


@dataclass(frozen=True)
class SecondMap:
    """A map of another run.

    Attributes:
        certainty: of the map.
        differs: what decides the draws and is not the same, by its key: of this run, of the other.
        effects_sha256: digest of its effects.
    """

    certainty: Certainty
    differs: dict[str, list[Any]]
    effects_sha256: str


def read_second_map(
    against: Config, model: str, image: str, roi: ROI, decides: Mapping[str, Any], of_network: Mapping[str, Any]
) -> SecondMap:
    """Read the map of another finished run, and find in what its draws differ from those of this run.

    Args:
        against: the other run's config.
        model, image, roi: whose map.
        decides: all that decides the map of this run.
        of_network: the part of it that says which network it is.

    Raises:
        InputError: the other run has no such map, or one of another network, image or intervention, or of the same
            draws.
    """
    check_has(against, model, image, roi, "map")
    ((panel,),) = (panels for panels in read_panels(against, [image], [model]) if panels[0].roi == roi)
    paths = result_paths(against, model, image, roi)
    manifest = read_manifest(paths)
    if manifest is None:
        raise InputError(f"--against: {paths.pair_folder} has no manifest, so its draws are not known; compute it anew")
    theirs = manifest.provenance
    same = (*SHARED, *of_network)
    check_same(theirs, {key: decides.get(key) for key in same}, paths.pair_folder, "map")
    free = [key for key in decides if key not in (*same, *FOLLOWS)]
    differs = {key: [decides[key], theirs.get(key)] for key in free if decides[key] != theirs.get(key)}
    if not differs:
        raise InputError(f"--against: {paths.pair_folder} has the same draws; name a run of another seed or patch_path")
    return SecondMap(panel.map.certainty, differs, digest_of(panel.map.effect_map.effects))
