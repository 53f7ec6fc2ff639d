"""How blocks are tried: the types, ranges and meanings that configs and the Python API share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError

from CEM_Demo.config.complaints import first_complaint
from CEM_Demo.config.intervention_sources import InterventionSource, parse_intervention
from CEM_Demo.config.metric_sources import MetricSource, parse_metrics
from CEM_Demo.config.model_sources import CHECKPOINT_SUFFIXES
from CEM_Demo.device import DEVICES, check_device_name
from CEM_Demo.errors import InputError
from CEM_Demo.method.patch_bank import PatchBank

# What may stand in the place of a filter's output, beside what the filter of a checkpoint gives.
REPLACEMENTS = ("mean", "resample", "zero")

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]
# A plan lists every draw; more draws than this fill the memory and hardly move a mean.
Draws = Annotated[int, Field(gt=0, le=100_000)]

CoarseDraws = Annotated[Draws, Field(description="interventions on every block in the coarse stage")]
FineDraws = Annotated[Draws, Field(description="interventions on every block that passes to the fine stage")]
Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False, description="dB below which an effect counts as zero")]
Seed = Annotated[NotNegative, Field(description="seed of the draws of patches and of their noise (default 0)")]
AllowRandom = Annotated[
    Literal[0, 1] | bool,
    Field(description="1 allows networks that draw random numbers; every pass draws the same ones, from seed"),
]
Device = Annotated[
    str,
    AfterValidator(check_device_name),
    Field(description=f"one of {DEVICES} (default auto: the first that is available)"),
]
InferenceKind = Annotated[
    Literal["auto", "dense", "incremental"],
    Field(
        description="dense restores whole images, incremental only what an intervention changes and the ROI needs "
        "(default auto: the one predicted to be faster)"
    ),
]
BatchSize = Annotated[
    Positive | None,
    Field(description="interventions per forward pass (default: found from the model and the memory)"),
]
TestDraws = Annotated[
    int, Field(ge=2, le=100_000, description="faithfulness: fresh draws at every point of its curves (default 8)")
]
SubsetSizes = Annotated[
    list[Positive],
    Field(
        min_length=1,
        description="faithfulness: sizes of the random sets of blocks on which additivity is tested "
        "(default 2, 4, 8, 16)",
    ),
]


def _as_list(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


FilterLayers = Annotated[
    list[str],
    Field(min_length=1, description="filters: names of layers, in which * stands for anything (default all)"),
    BeforeValidator(_as_list),
]


def _known_replacements(given: list[str]) -> list[str]:
    """Take files for checkpoints; raise ValueError for anything else that is no replacement, or is there twice."""
    words = [name for name in given if Path(name).suffix.lower() not in CHECKPOINT_SUFFIXES]
    strangers = [word for word in words if word not in REPLACEMENTS]
    if strangers:
        known = ", ".join(REPLACEMENTS)
        raise ValueError(f"{strangers[0]!r} is not one of {known}, and no file ending in .pth, .pt or .safetensors")
    if len(given) - len(words) > 1 or len(set(given)) < len(given):
        raise ValueError(f"[{', '.join(given)}] names a replacement twice, or two checkpoints; name each once")
    return given


FilterReplacements = Annotated[
    list[str],
    Field(
        min_length=1,
        description="filters: what stands in a filter's place, some of mean, resample, zero, or a checkpoint of the "
        "same architecture; the first ranks the filters (default mean)",
    ),
    AfterValidator(_known_replacements),
    BeforeValidator(_as_list),
]
FilterDraws = Annotated[
    int, Field(gt=0, le=10_000, description="filters: donors that mean and resample draw (default 16)")
]


SamplingKind = Annotated[
    Literal["published", "adaptive"],
    Field(
        description="published draws coarse_num and fine_num times; adaptive stops where a block's effect is clear "
        "(default published)"
    ),
]
Precision = Annotated[
    Literal["coarse", "default", "fine"],
    Field(description="adaptive: how many draws; each step up draws about twice as often (default default)"),
]
RoiBlocks = Annotated[
    Literal[0, 1] | bool,
    Field(description="adaptive: 1 draws the ROI's own blocks too, which no map shows (default 0)"),
]


def _known_intervention(given: str | dict[str, Any]) -> str | dict[str, Any]:
    parse_intervention(given)
    return given


InterventionForm = Annotated[
    str | dict[str, Any],
    AfterValidator(_known_intervention),
    Field(
        description="what stands in a block's place: natural patches, blur, constant, noise, shuffle, clean, images, "
        "or my_do.py:FUNCTION; {kind: blur, sigma: 3} gives parameters (default natural)"
    ),
]


def _known_metrics(given: list[str | dict[str, Any]]) -> list[str | dict[str, Any]]:
    parse_metrics(given)
    return given


MetricNames = Annotated[
    list[str | dict[str, Any]],
    AfterValidator(_known_metrics),
    Field(
        description="what measures the ROI: psnr, and beside it psnr_unrounded, psnr_y, ssim, mae, lpips, pyiqa:NAME "
        "or my_metric.py:FUNCTION (default [psnr], which comes first and decides the draws in any case)"
    ),
]

Confidence = Annotated[
    float, Field(gt=0, lt=1, description="confidence of the interval of a block's effect (default 0.95)")
]
FalseDiscoveryRate = Annotated[
    float,
    Field(gt=0, lt=1, description="expected share of false ones among the certified blocks (default 0.05)"),
]
PathsKind = Annotated[
    Literal[0, 1] | bool,
    Field(
        description="1 measures each draw a second time with all frozen that the network gathers over the image, which "
        "tells what travels through its global operators (default 0)"
    ),
]


ChangeAsked = Annotated[
    float,
    Field(
        allow_inf_nan=False,
        description="counterfactual: dB that the ROI must lose (negative) or gain (positive) (default -1)",
    ),
]
EditKind = Literal["natural", "clean", "continuous"]
EditAsked = Annotated[
    EditKind,
    Field(
        description="counterfactual: natural patches, the clean block (DN, DR), or a continuous change of the pixels "
        "(default natural)"
    ),
]
Quantifier = Literal["mean", "witness"]
QuantifierAsked = Annotated[
    Quantifier,
    Field(
        description="counterfactual: on average over patches, or for one patch in each block, which is a witness "
        "(default mean)"
    ),
]
MostBlocks = Annotated[
    Positive, Field(description="counterfactual: how many blocks may be edited at most (default 64)")
]
MostLevels = Annotated[
    int,
    Field(gt=0, le=255, description="counterfactual: levels that a continuous change may move a value (default 8)"),
]


class Drawing(Protocol):
    """The keys that decide the draws, in a config and in Settings alike."""

    @property
    def coarse_num(self) -> int: ...
    @property
    def fine_num(self) -> int: ...
    @property
    def tol(self) -> float: ...
    @property
    def seed(self) -> int: ...
    @property
    def sampling(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def roi_blocks(self) -> bool | int: ...
    @property
    def intervention_source(self) -> InterventionSource: ...


class Settings(BaseModel):
    """How blocks are tried; the names and meanings are those of the config's keys.

    Attributes:
        block: side of a block in full-resolution pixels, a multiple of the scale.
        coarse_num, fine_num: interventions on every block of a stage.
        tol: smaller effects (dB) count as zero.
        seed: seed of the draws.
        allow_random: whether a network may draw random numbers; every pass draws the same ones, from ``seed``.
        bank: patches to intervene with; None takes the bundled ones.
        device: auto, cuda, cuda:1, mps or cpu.
        inference: auto, dense or incremental.
        batch_size: interventions per forward pass; None finds it from the network and the memory.
        sampling: published or adaptive.
        precision: coarse, default or fine; how many adaptive draws are made.
        roi_blocks: whether adaptive draws are made on the ROI's own blocks too.
        intervention: what stands in a block's place, as the config's key names it.
        metrics: what measures the ROI; PSNR does in any case, and decides the draws.
        paths: whether each draw is measured a second time, with all frozen that the network gathers over the image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    block: Positive = Field(default=8, description="side of a block, in full-resolution pixels")
    coarse_num: CoarseDraws = 3
    fine_num: FineDraws = 50
    tol: Tolerance = 0.01
    seed: Seed = 0
    allow_random: AllowRandom = 0
    bank: InstanceOf[PatchBank] | None = Field(default=None, description="patches, from load_bank(path)")
    device: Device = "auto"
    inference: InferenceKind = "auto"
    batch_size: BatchSize = None
    sampling: SamplingKind = "published"
    precision: Precision = "default"
    roi_blocks: RoiBlocks = 0
    intervention: InterventionForm = "natural"
    metrics: MetricNames = ["psnr"]
    paths: PathsKind = 0

    @property
    def intervention_source(self) -> InterventionSource:
        """What ``intervention`` names."""
        return parse_intervention(self.intervention)

    @property
    def further_metrics(self) -> list[MetricSource]:
        """The metrics beside PSNR."""
        return parse_metrics(self.metrics)

    def __init__(self, **values: Any) -> None:
        """Check the values; raise InputError for one that its key does not accept."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(first_complaint(error, type(self))) from error
