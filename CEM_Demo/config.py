"""From a YAML file to one frozen, validated configuration."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from CEM_Demo.device import DEVICES
from CEM_Demo.errors import InputError
from CEM_Demo.geometry import ROI
from CEM_Demo.model_sources import ModelSource, ZooModel, parse_model

Positive = Annotated[int, Field(gt=0)]
NotNegative = Annotated[int, Field(ge=0)]

# What some file system cannot have in a name, and what would lead out of the folder.
UNSAFE_IN_NAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f]|^\.{1,2}$|^$')
LONGEST_NAME = 100


class Config(BaseModel):
    """A run: which models on which images, where the ROI is, how blocks are tried."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    task: Literal["SR", "DN", "DR"] = Field(description="SR super-resolution, DN denoising, DR deraining")
    sr: Positive = Field(description="scale of the networks: the factor for SR, 1 for DN and DR")
    Modellist: list[str | dict[str, Any]] = Field(
        min_length=1,
        description="models, each Model (published weights), Model@Training, a checkpoint file, my_net.py:MyNet, "
        "or {code, weights, model, kwargs, output, name}",
    )
    batch_size_dict: dict[str, Positive] = Field(
        default={}, description="model: interventions per forward pass, for models that should not use batch_size"
    )
    TextImg_path: str = Field(description="folder of the test images")
    Imagelist: list[str] = Field(min_length=1, description="file names of the test images")
    patch_path: str = Field(description="bank of patches: a folder of PNG files or a packed .npz")
    prefix: str = Field(description="name of the run, part of the names of its results")
    w: NotNegative = Field(description="column of the ROI's left edge, in full-resolution pixels")
    h: NotNegative = Field(description="row of the ROI's top edge, in full-resolution pixels")
    ROI_size: Positive = Field(description="side of the square ROI, in full-resolution pixels")
    mask_block_size: Positive = Field(description="side of a block, in full-resolution pixels; a multiple of sr")
    coarse_num: Positive = Field(description="interventions on every block in the coarse stage")
    fine_num: Positive = Field(description="interventions on every block that passes to the fine stage")
    load_previous: Literal[0, 1] | bool = Field(description="1 goes on from what an earlier run left, 0 starts anew")
    tol: float = Field(ge=0, allow_inf_nan=False, description="dB below which an effect counts as none")
    seed: NotNegative = Field(default=0, description="of the draws of patches and of their noise (default 0)")
    device: Literal["auto", "cuda", "mps", "cpu"] = Field(
        default="auto", description=f"one of {', '.join(DEVICES)} (default auto: the first there is)"
    )
    inference: Literal["auto", "dense", "incremental"] = Field(
        default="auto",
        description="dense restores whole images, incremental only what an intervention changes and the ROI needs "
        "(default auto: the one predicted to be faster)",
    )
    output_dir: str = Field(default=".", description="folder for all results (default: the current one)")
    batch_size: Positive | None = Field(
        default=None, description="interventions per forward pass (default: found from the model and the memory)"
    )

    @field_validator("batch_size_dict", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("prefix")
    @classmethod
    def _safe_prefix(cls, value: str) -> str:
        return _safe_name(value)

    @field_validator("Imagelist")
    @classmethod
    def _safe_and_distinct(cls, names: list[str]) -> list[str]:
        for name in names:
            _safe_name(name)
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} is listed more than once")
        return names

    @field_validator("Modellist")
    @classmethod
    def _known_forms(cls, given: list[str | dict[str, Any]]) -> list[str | dict[str, Any]]:
        sources = [parse_model(entry) for entry in given]
        labels = [_safe_name(source.label) for source in sources]
        repeated = sorted({label for label in labels if labels.count(label) > 1})
        if repeated:
            own = any(source.label in repeated and not isinstance(source, ZooModel) for source in sources)
            hint = "; tell them apart by a name, as in {weights: mine.pth, name: Mine}" if own else ""
            raise ValueError(f"{', '.join(repeated)} is listed more than once{hint}")
        return given

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.task != "SR" and self.sr != 1:
            raise ValueError(f"sr must be 1 for task {self.task}, not {self.sr}")
        if self.mask_block_size % self.sr:
            below = self.mask_block_size // self.sr * self.sr or self.sr
            raise ValueError(f"mask_block_size {self.mask_block_size} is no multiple of sr {self.sr}; try {below}")
        labels = list(self.models)
        strangers = [name for name in self.batch_size_dict if name not in labels]
        close = {name: difflib.get_close_matches(name, labels, n=1) for name in strangers}
        mistyped = [f"{name} (did you mean {match[0]}?)" for name, match in close.items() if match]
        if mistyped:
            raise ValueError(f"batch_size_dict names a model that Modellist does not: {', '.join(mistyped)}")
        return self

    @property
    def models(self) -> dict[str, ModelSource]:
        """The models by their labels, which name folders and panels, in the order of ``Modellist``."""
        sources = [parse_model(entry) for entry in self.Modellist]
        return {source.label: source for source in sources}

    @property
    def roi(self) -> ROI:
        return ROI(left=self.w, top=self.h, side=self.ROI_size)

    @property
    def block(self) -> int:
        """Side of a block in pixels of the network's input."""
        return self.mask_block_size // self.sr

    def image_path(self, name: str) -> Path:
        return Path(self.TextImg_path) / name


def load_config(path: Path, overrides: Iterable[str] = ()) -> Config:
    """Read and check a YAML file; ``overrides`` are ``key=value`` words, their values YAML.

    Raises:
        InputError: names the file and the key, what is wrong with it, and the nearest fix.
    """
    values = _parse(path)
    for word in overrides:
        key, separator, text = word.partition("=")
        if not separator:
            raise InputError(f"--set {word}: write key=value")
        try:
            values[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"--set {key}: {text!r} is not a YAML value") from error
    try:
        return Config(**values)
    except ValidationError as error:
        raise InputError(f"{path}: {_explain(error)}") from error


def _parse(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        shipped = "demo-SR_CEM.yml, demo-DN_CEM.yml and demo-DR_CEM.yml are the shipped ones"
        raise InputError(f"{path}: cannot read this config file ({error.strerror}); {shipped}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise InputError(f"{path}: not valid YAML{line}: {getattr(error, 'problem', error)}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(f"{path}: a config is a list of `key: value` lines")
    return values


def _explain(error: ValidationError) -> str:
    """The first complaint, in one line."""
    complaint = error.errors()[0]
    key = ".".join(str(part) for part in complaint["loc"][:1])
    kind, given = complaint["type"], complaint["input"]
    if kind == "missing":
        return f"the key {key} is missing ({Config.model_fields[key].description})"
    if kind == "extra_forbidden":
        close = _nearest_key(key)
        return f"unknown key {key}{f'; did you mean {close}?' if close else ''}"
    reason = complaint["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return f"{key}: {reason}" if key else reason
    return f"{key}: {reason[0].lower()}{reason[1:]}, not {given!r} ({Config.model_fields[key].description})"


def _nearest_key(key: str) -> str | None:
    """The key meant by a mistyped one: a part of it, or one that reads alike."""
    parts = [known for known in Config.model_fields if len(known) > 1 and known.lower() in key.lower()]
    alike = difflib.get_close_matches(key, Config.model_fields, n=1, cutoff=0.5)
    return next(iter(parts + alike), None)


def _safe_name(name: str) -> str:
    if UNSAFE_IN_NAMES.search(name):
        raise ValueError(f"{name!r} cannot be part of a file name; use letters, digits, '-', '_', '.', '@', '+'")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"{name[:20]!r}... is longer than {LONGEST_NAME} bytes")
    return name


def keys_help() -> str:
    """Every key and what it means, a line each."""
    width = max(map(len, Config.model_fields))
    return "\n".join(f"  {key:<{width}}  {field.description}" for key, field in Config.model_fields.items())
