"""Which studies make up the paper's experiments, which checkpoints they need, and what was published of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from CEM_Demo.config.model_sources import ZooModel
from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.ModelZoo import find, split_name
from CEM_Demo.ModelZoo.checkpoints import MODEL_DIR, PUBLISHED_AT
from CEM_Demo.wording import did_you_mean

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Experiment:
    """A question of the paper, and the studies that answer it together.

    Attributes:
        question: in one sentence.
        studies: names of the YAML files in this folder, without suffix.
        is_compared: whether the studies have the same models and ROIs, so that their maps can be compared.
    """

    question: str
    studies: tuple[str, ...]
    is_compared: bool = False


EXPERIMENTS = {
    "block_size": Experiment(
        "Do location and sign of the effects hold from blocks of 32 pixels to blocks of 4?",
        ("block_size_8", "block_size_32", "block_size_4"),
        is_compared=True,
    ),
    "patch_bank": Experiment(
        "Do the shares stay the same with the patches of other photographs?",
        ("block_size_8", "patch_bank"),
        is_compared=True,
    ),
    "multi_task": Experiment(
        "Does training for several tasks at once make a network local?",
        ("multi_task_SR", "multi_task_DN", "multi_task_DR"),
    ),
    "channel_attention": Experiment(
        "What does channel attention use of an image, and is it futile in denoising?",
        ("channel_attention_SR", "channel_attention_DN"),
    ),
    "depth_and_width": Experiment(
        "Does a deeper or wider network, with its larger receptive field, use more of an image?",
        ("depth", "width", "fsrcnn_depth", "fsrcnn_width"),
    ),
}


class Published(BaseModel):
    """Numbers that were published of one model in one study; None where there are none.

    Attributes:
        study, model: their names here.
        image: what the image shows, or how many there are.
        lowest, highest: effects, dB.
        hurting, helping, neither: shares of the blocks, percent.
        psnr: of the ROI, dB.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    study: str
    model: str
    image: str
    lowest: float | None = None
    highest: float | None = None
    hurting: float | None = None
    helping: float | None = None
    neither: float | None = None
    psnr: float | None = None


def experiment_of(name: str) -> Experiment:
    """Give the experiment of a name.

    Raises:
        InputError: there is none.
    """
    if name not in EXPERIMENTS:
        hint = did_you_mean(name, EXPERIMENTS) or f"there are {', '.join(EXPERIMENTS)}"
        raise InputError(f"the paper has no experiment {name}; {hint}")
    return EXPERIMENTS[name]


def study_file(study: str) -> Path:
    """Give the YAML file of a study."""
    return FOLDER / f"{study}.yml"


def published_of(study: str) -> list[Published]:
    """List the numbers that were published of a study."""
    rows = yaml.safe_load((FOLDER / "published.yml").read_text(encoding="utf-8"))
    return [row for row in TypeAdapter(list[Published]).validate_python(rows) if row.study == study]


def checkpoints_of(config: Config) -> dict[str, Path]:
    """Give the file of the weights of each model of the zoo that a config lists.

    Raises:
        InputError: the zoo has no such model or training.
    """
    files = {}
    for source in config.models.values():
        if isinstance(source, ZooModel):
            name, training = split_name(source.label)
            checkpoint = find(name, config.task).checkpoints.get(training)
            if checkpoint is None:
                raise InputError(f"{source.label}: there are no such weights")
            files[source.label] = MODEL_DIR / checkpoint.file
    return files


def missing_line(config: Config) -> str:
    """Say in one line which checkpoints of a study are missing."""
    missing = [path.name for path in dict.fromkeys(checkpoints_of(config).values()) if not path.is_file()]
    if not missing:
        return "no checkpoint is missing"
    return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing in {MODEL_DIR}; see {PUBLISHED_AT}"
