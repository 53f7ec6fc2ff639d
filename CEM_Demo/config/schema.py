"""The keys of a config: their types, ranges and meanings, and how they must agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from CEM_Demo.config.intervention_sources import CLEAN_NEEDS, InterventionSource, parse_intervention
from CEM_Demo.config.metric_sources import FIRST, MetricSource, parse_metrics
from CEM_Demo.config.model_sources import ModelSource, ZooModel, parse_model
from CEM_Demo.config.safe_names import safe_file_name, safe_name
from CEM_Demo.config.settings import (
    AllowRandom,
    BatchSize,
    ChangeAsked,
    CoarseDraws,
    Confidence,
    Device,
    EditAsked,
    FalseDiscoveryRate,
    FilterDraws,
    FilterLayers,
    FilterReplacements,
    FineDraws,
    InferenceKind,
    InterventionForm,
    MetricNames,
    MostBlocks,
    MostLevels,
    NotNegative,
    PathsKind,
    Positive,
    Precision,
    QuantifierAsked,
    RoiBlocks,
    SamplingKind,
    Seed,
    SubsetSizes,
    TestDraws,
    Tolerance,
)
from CEM_Demo.geometry import ROI, SCALES
from CEM_Demo.tasks.degradation import Degradation, RainKind, TaskName
from CEM_Demo.wording import did_you_mean


class ConfigBox(BaseModel):
    """A rectangle in full-resolution pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    left: NotNegative
    top: NotNegative
    width: Positive
    height: Positive


class AutomaticBoxes(BaseModel):
    """Boxes that are chosen in every image when the config is read: at most ``auto`` of them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    auto: Annotated[int, Field(gt=0, le=100)]


def _form_of_boxes(value: Any) -> str:
    """Say which form of ``rois`` is meant; an image called ``auto`` has a list of boxes."""
    if isinstance(value, AutomaticBoxes) or (isinstance(value, dict) and not isinstance(value.get("auto", []), list)):
        return "automatic"
    return "mapping" if isinstance(value, dict) else "list"


# The tag keeps pydantic's complaints to the form that was meant.
ConfigBoxes = Annotated[
    Annotated[list[ConfigBox], Tag("list")]
    | Annotated[dict[str, list[ConfigBox]], Tag("mapping")]
    | Annotated[AutomaticBoxes, Tag("automatic")],
    Discriminator(_form_of_boxes),
]


# Keys that only one task has.
TASK_OF_KEY = {"sigma": "DN", "rain": "DR", "input_path": "PAIR", "degradation": "PAIR"}


class Config(BaseModel):
    """The config of a run: its models, its images, its ROIs, and how blocks are tried."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    task: TaskName = Field(
        description="SR super-resolution, DN denoising, DR deraining, PAIR degraded inputs from files"
    )
    sr: Positive = Field(
        description="scale of the networks: 1, 2, 3, 4 or 8 for SR, 1 for DN and DR; "
        "for PAIR found from the sizes of the images if left out"
    )
    sigma: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="DN: strength of the noise, in 8-bit levels (default 50)"
    )
    rain: RainKind | None = Field(default=None, description="DR: small, medium, large or random rain (default medium)")
    Modellist: list[str | dict[str, Any]] = Field(
        min_length=1,
        description="models, each Model (published weights), Model@Training, a checkpoint file, my_net.py:MyNet, "
        "or {code, weights, model, kwargs, output, name}",
    )
    batch_size_dict: dict[str, Positive] = Field(
        default={}, description="model: interventions per forward pass, for models that should not use batch_size"
    )
    TextImg_path: str = Field(description="folder of the test images")
    input_path: str | None = Field(
        default=None, description="PAIR: folder of the degraded inputs; TextImg_path holds their ground truths"
    )
    degradation: str | None = Field(
        default=None,
        description="PAIR: FILE.py:FUNCTION that degrades each patch (default: patches are pasted as they are)",
    )
    Imagelist: list[str] = Field(
        min_length=1, description="file names of the test images, patterns such as street_*.png, or all"
    )
    patch_path: str = Field(description="bank of patches: a folder of PNG files or a packed .npz")
    prefix: str = Field(description="name of the run, part of the names of its results")
    w: NotNegative | None = Field(default=None, description="column of the ROI's left edge, in full-resolution pixels")
    h: NotNegative | None = Field(default=None, description="row of the ROI's top edge, in full-resolution pixels")
    ROI_size: Positive | None = Field(default=None, description="side of the square ROI, in full-resolution pixels")
    rois: ConfigBoxes | None = Field(
        default=None,
        description="instead of w, h, ROI_size: a list of boxes {left, top, width, height} for all images, "
        "such a list for each image, or {auto: N} for at most N of side ROI_size (default 32) with structure",
    )
    mask_block_size: Positive = Field(description="side of a block, in full-resolution pixels; a multiple of sr")
    coarse_num: CoarseDraws
    fine_num: FineDraws
    load_previous: Literal[0, 1] | bool = Field(description="1 continues an earlier run, 0 starts anew")
    tol: Tolerance
    seed: Seed = 0
    allow_random: AllowRandom = 0
    device: Device = "auto"
    inference: InferenceKind = "auto"
    output_dir: str = Field(default=".", description="folder for all results (default: the current one)")
    batch_size: BatchSize = None
    sampling: SamplingKind = "published"
    precision: Precision = "default"
    roi_blocks: RoiBlocks = 0
    intervention: InterventionForm = "natural"
    metrics: MetricNames = [FIRST]
    paths: PathsKind = 0
    confidence: Confidence = 0.95
    fdr: FalseDiscoveryRate = 0.05
    test_num: TestDraws = 8
    subset_sizes: SubsetSizes = [2, 4, 8, 16]
    change_db: ChangeAsked = -1.0
    edit: EditAsked = "natural"
    quantifier: QuantifierAsked = "mean"
    max_blocks: MostBlocks = 64
    epsilon: MostLevels = 8
    filter_layers: FilterLayers = ["all"]
    filter_replacement: FilterReplacements = ["mean"]
    filter_draws: FilterDraws = 16
    filter_images: str | None = Field(
        default=None,
        description="filters: folder of donors, photographs, as many as filter_draws for resample; of PAIR, degraded "
        "inputs (default: the other images of the test image's folder)",
    )
    filter_first_order: Literal[0, 1] | bool = Field(
        default=0, description="filters: 1 estimates effects from a gradient as well, for screening only (default 0)"
    )
    maps: list[Literal["CEM", "LAM"]] = Field(
        default=["CEM"], description="[CEM], or [CEM, LAM] to compute Local Attribution Maps beside it (default [CEM])"
    )
    lam_density: Literal[0, 1] | bool = Field(
        default=0, description="LAM: 1 draws the kernel density of the map too, which takes seconds (default 0)"
    )

    @field_validator("batch_size_dict", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("sr")
    @classmethod
    def _known_scale(cls, value: int) -> int:
        if value not in SCALES:
            raise ValueError(f"must be {', '.join(map(str, SCALES[:-1]))} or {SCALES[-1]}, not {value}")
        return value

    @field_validator("prefix")
    @classmethod
    def _safe_prefix(cls, value: str) -> str:
        return safe_name(value)

    @field_validator("TextImg_path", "input_path", "degradation", "patch_path", "output_dir", "filter_images")
    @classmethod
    def _possible_path(cls, value: str | None) -> str | None:
        if value and "\0" in value:
            raise ValueError(f"{value!r} holds a NUL character, which no path may hold")
        return value

    @field_validator("Imagelist")
    @classmethod
    def _safe_and_distinct(cls, names: list[str]) -> list[str]:
        for name in names:
            safe_file_name(name)
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} is listed more than once")
        return names

    @field_validator("maps")
    @classmethod
    def _known_maps(cls, names: list[str]) -> list[str]:
        if "CEM" not in names or len(set(names)) < len(names):
            raise ValueError(f"[{', '.join(names)}] is not [CEM] or [CEM, LAM]")
        return names

    @field_validator("Modellist")
    @classmethod
    def _known_forms(cls, given: list[str | dict[str, Any]]) -> list[str | dict[str, Any]]:
        sources = [parse_model(entry) for entry in given]
        labels = [safe_file_name(source.label) for source in sources]
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            own = any(source.label in repeated and not isinstance(source, ZooModel) for source in sources)
            hint = "; tell them apart by a name, as in {weights: mine.pth, name: Mine}" if own else ""
            raise ValueError(f"{', '.join(repeated)} is listed more than once{hint}")
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.task in ("DN", "DR") and self.sr != 1:
            raise ValueError(f"sr must be 1 for task {self.task}, not {self.sr}")
        for key, task in TASK_OF_KEY.items():
            if getattr(self, key) is not None and self.task != task:
                raise ValueError(f"{key} is a key of task {task}, not of {self.task}; leave it out")
        if self.task == "PAIR" and self.input_path is None:
            raise ValueError("the key input_path is missing; task PAIR needs the folder of the degraded inputs")
        if self.input_path is not None and Path(self.input_path).resolve() == Path(self.TextImg_path).resolve():
            raise ValueError("input_path is the folder TextImg_path, so every image would be its own input")
        if self.lam_density and "LAM" not in self.maps:
            raise ValueError("lam_density: 1 draws the density of a map that is not computed; set maps: [CEM, LAM]")
        if self.mask_block_size % self.sr:
            below = self.mask_block_size // self.sr * self.sr or self.sr
            raise ValueError(f"mask_block_size {self.mask_block_size} is not a multiple of sr {self.sr}; try {below}")
        if self.intervention_source.kind == "clean" and (self.task == "SR" or self.sr != 1):
            raise ValueError(CLEAN_NEEDS)
        if self.edit == "clean" and (self.task == "SR" or self.sr != 1):
            raise ValueError(f"edit: {CLEAN_NEEDS}")
        if not self.change_db:
            raise ValueError("change_db: 0 dB asks for no change; give a loss as in -1 or a gain as in 0.3")
        self._check_rois()
        labels = list(self.models)
        strangers = [name for name in self.batch_size_dict if name not in labels]
        mistyped = [f"{name} ({hint})" for name in strangers if (hint := did_you_mean(name, labels))]
        if mistyped:
            raise ValueError(f"batch_size_dict names a model that Modellist does not: {', '.join(mistyped)}")
        return self

    @property
    def models(self) -> dict[str, ModelSource]:
        """The models by their labels, which name folders and panels, in the order of ``Modellist``."""
        sources = [parse_model(entry) for entry in self.Modellist]
        return {source.label: source for source in sources}

    def _check_rois(self) -> None:
        square = {"w": self.w, "h": self.h, "ROI_size": self.ROI_size}
        if self.rois is None:
            missing = next((key for key, value in square.items() if value is None), None)
            if missing:
                raise ValueError(f"the key {missing} is missing ({Config.model_fields[missing].description}), or rois")
            return
        automatic = isinstance(self.rois, AutomaticBoxes)
        given = [key for key, value in square.items() if value is not None and not (automatic and key == "ROI_size")]
        if given:
            raise ValueError(f"rois takes the place of {', '.join(given)}; remove one or the other")
        if automatic:
            return  # there are no boxes yet
        if isinstance(self.rois, dict) and set(self.rois) != set(self.Imagelist):
            image = min(set(self.rois) ^ set(self.Imagelist))
            raise ValueError(f"rois: {image} is in {'rois' if image in self.rois else 'Imagelist'} only")
        for image in self.Imagelist:
            rois = self.rois_of(image)
            if not rois:
                raise ValueError(f"rois: no box is given for {image}")
            if len(set(rois)) < len(rois):
                raise ValueError(f"rois: {image} has the same box twice")

    def rois_of(self, image: str) -> list[ROI]:
        """Give the regions of interest of an image; where they are to be chosen, this was done."""
        if self.rois is None:
            return [ROI.square(self.w or 0, self.h or 0, self.ROI_size or 0)]
        assert not isinstance(self.rois, AutomaticBoxes)
        boxes = self.rois.get(image, []) if isinstance(self.rois, dict) else self.rois
        return [ROI(box.left, box.top, box.width, box.height) for box in boxes]

    @property
    def block(self) -> int:
        """Side of a block in pixels of the network's input."""
        return self.mask_block_size // self.sr

    @property
    def intervention_source(self) -> InterventionSource:
        """What ``intervention`` names."""
        return parse_intervention(self.intervention)

    @property
    def further_metrics(self) -> list[MetricSource]:
        """The metrics beside PSNR."""
        return parse_metrics(self.metrics)

    @property
    def task_degradation(self) -> Degradation:
        """The task and its parameters; those that the config leaves out have the published values."""
        strengths = {key: getattr(self, key) for key in ("sigma", "rain") if getattr(self, key) is not None}
        inputs = None if self.input_path is None else Path(self.input_path)
        return Degradation(self.task, self.sr, inputs=inputs, function=self.degradation, **strengths)

    def image_path(self, name: str) -> Path:
        return Path(self.TextImg_path) / name
