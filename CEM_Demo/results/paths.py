"""Where results lie: the published layout, and what this project adds to it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.tasks import DEGRADED_SUFFIX


@dataclass(frozen=True)
class ResultPaths:
    """The paths of the results of one model on one ROI of an image, in the published layout."""

    run: Path
    task: str
    model: str
    image: str
    coarse_num: int
    fine_num: int

    @property
    def model_folder(self) -> Path:
        return self.run / self.model

    @property
    def pair_folder(self) -> Path:
        return self.model_folder / self.image

    @property
    def origin(self) -> Path:
        return self.of_round("origin")

    @property
    def coarse(self) -> Path:
        return self.of_round("coarse")

    @property
    def fine(self) -> Path:
        return self.of_round("fine")

    def of_round(self, name: str) -> Path:
        """The file of a round of draws, or of the origin; of another metric than PSNR, ``ssim coarse``."""
        published = {
            "origin": "-Origin",
            "coarse": f"_all_perturb-C{self.coarse_num}",
            "fine": f"_all_perturb-F{self.fine_num}",
        }
        kind = name.rpartition(" ")[2]
        return self.model_folder / f"{self.image}-{metric_label(name)}{published.get(kind, f'-{kind}')}.mat"

    def map_of(self, metric: str) -> Path:
        """The picture of the map of a metric beside PSNR."""
        return self.pair_folder / f"CEM_{metric.upper()}.png"

    def with_draws(self, draws: Mapping[str, int]) -> ResultPaths:
        """Give the paths of a run with other numbers of draws, which are given by the names of their rounds."""
        coarse, fine = draws.get("coarse", self.coarse_num), draws.get("fine", self.fine_num)
        return replace(self, coarse_num=coarse, fine_num=fine)

    @property
    def restored(self) -> Path:
        return self.model_folder / f"{self.task}_{self.image}-Origin.png"

    @property
    def restored_with_roi(self) -> Path:
        return self.pair_folder / "rectangle-result-origin.png"

    @property
    def manifest(self) -> Path:
        return self.pair_folder / "manifest.json"

    @property
    def overlay(self) -> Path:
        return self.pair_folder / "CEM_PSNR.png"

    @property
    def colour_bar(self) -> Path:
        return self.pair_folder / "Range_PSNR.png"

    @property
    def pie(self) -> Path:
        return self.pair_folder / "Pie_PSNR.png"

    @property
    def intervals(self) -> Path:
        return self.pair_folder / "intervals.csv"

    @property
    def faithfulness(self) -> Path:
        return self.pair_folder / "faithfulness.json"

    @property
    def faithfulness_figure(self) -> Path:
        return self.pair_folder / "faithfulness.png"

    def of_filters(self, suffix: str) -> Path:
        """A file of the filters' effects: ``.json`` vouches for the others, ``.npz`` holds all draws."""
        return self.pair_folder / f"filters{suffix}"

    @property
    def people_figure(self) -> Path:
        return self.pair_folder / "people.png"

    @property
    def mediation(self) -> Path:
        return self.pair_folder / "paths.json"

    @property
    def mediation_figure(self) -> Path:
        return self.pair_folder / "paths.png"

    def files_of_mediation(self) -> tuple[Path, ...]:
        """All that is written of the paths through the network, the numbers first."""
        return self.mediation, self.mediation_figure, self.mediation_figure.with_suffix(".pdf")

    @property
    def lam_manifest(self) -> Path:
        return self.pair_folder / "LAM.json"

    @property
    def lam_arrays(self) -> Path:
        return self.pair_folder / "LAM.npz"

    @property
    def lam_picture(self) -> Path:
        return self.pair_folder / "LAM.png"

    @property
    def lam_density(self) -> Path:
        return self.pair_folder / "LAM_density.png"

    @property
    def lam_comparison(self) -> Path:
        return self.pair_folder / "LAM_CEM.json"

    def files_of_lam(self) -> tuple[Path, ...]:
        """All files of the Local Attribution Map, that which vouches for the others first."""
        return self.lam_manifest, self.lam_arrays, self.lam_picture, self.lam_density, self.lam_comparison

    @property
    def degraded(self) -> Path:
        return self.run / f"{self.image}-{DEGRADED_SUFFIX[self.task]}.png"

    @property
    def ground_truth(self) -> Path:
        return self.run / f"{self.image}-truth.png"


def metric_label(name: str) -> str:
    """What files call the metric of a round: PSNR, or SSIM of ``ssim coarse``."""
    return name.rpartition(" ")[0].upper() or "PSNR"


def result_paths(config: Config, model: str, image: str, roi: ROI) -> ResultPaths:
    """Give the paths under ``./{task}-CEM/{prefix}-R{ROI}M{block}/``, with the block in input pixels, as published.

    The ROI is written as its side if the config gives one square, as published, and as ``32x24+96+64`` if it lists
    boxes.
    """
    name = f"{config.prefix}-R{roi if config.rois else config.ROI_size}M{config.block}"
    run = Path(config.output_dir) / f"{config.task}-CEM" / name
    return ResultPaths(run, config.task, model, image, config.coarse_num, config.fine_num)


def check_nothing_is_shared(config: Config) -> None:
    """Raise InputError if results of two models, or of two images, would lie in one file.

    To many file systems, names are the same if they differ only in case, or in the Unicode form of the same letters.
    """
    owners: dict[str, str] = {}
    for model in config.models:
        for image in config.Imagelist:
            for roi in config.rois_of(image):
                _claim(owners, result_paths(config, model, image, roi))


def _claim(owners: dict[str, str], paths: ResultPaths) -> None:
    """Note who owns the files; raise InputError if another one does already."""
    of_pair = (paths.pair_folder, paths.origin, paths.coarse, paths.fine, paths.restored)
    of_image = (*of_pair, paths.degraded, paths.ground_truth)
    for path, owner in ((paths.model_folder, paths.model), *((path, paths.image) for path in of_image)):
        other = owners.setdefault(_folded(path), owner)
        if other != owner:
            raise InputError(
                f"Modellist, Imagelist: results of {other} and {owner} would lie in one file, {path.name}, "
                "on systems that ignore case or Unicode form; rename one, or put it into a run of its own"
            )


def _folded(path: Path) -> str:
    """Give what remains of a path on the file system that distinguishes least."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", str(path)).casefold())


def report_path(config: Config) -> Path:
    return Path(config.output_dir) / f"{config.task}_{config.prefix}_Result.html"


def table_path(config: Config, kind: str, suffix: str) -> Path:
    """Where a table of all maps lies, beside the report; ``kind`` is such as ``Faithfulness``, ``suffix`` ``.csv``."""
    return Path(config.output_dir) / f"{config.task}_{config.prefix}_{kind}{suffix}"


def report_folder(config: Config) -> Path:
    """Where the pages of a report lie that is too large for one."""
    return report_path(config).with_suffix("")
