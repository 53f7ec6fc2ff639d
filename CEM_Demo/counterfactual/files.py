"""Where answers lie: the files of each question have a name of their own, so that no answer replaces another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from CEM_Demo.config.schema import Config

# The keys of a config that matter to one kind of edit alone.
KEYS_OF_EDIT = {"natural": ("quantifier", "test_num"), "clean": (), "continuous": ("epsilon",)}
PREFIX = "counterfactual_"


@dataclass(frozen=True)
class AnswerFiles:
    """The files of one answer.

    Attributes:
        folder: of a model's results on an ROI of an image.
        question: name of the question, see :func:`name_of`.
    """

    folder: Path
    question: str

    @property
    def record(self) -> Path:
        """The answer; it vouches for the pictures."""
        return self.folder / f"{PREFIX}{self.question}.json"

    @property
    def figure(self) -> Path:
        """Input, edit, and the ROI before and after."""
        return self.folder / f"{PREFIX}{self.question}.png"

    @property
    def edited_input(self) -> Path:
        """The edited input."""
        return self.folder / f"{PREFIX}{self.question}-input.png"


def asked_of(config: Config) -> dict[str, Any]:
    """Give the keys of a config that make up its question, with their values."""
    return {key: getattr(config, key) for key in ("change_db", "edit", "max_blocks", *KEYS_OF_EDIT[config.edit])}


def name_of(config: Config) -> str:
    """Name a config's question, as in ``natural-mean_-1dB_max64_draws8``; every other question has another name."""
    change = f"{config.change_db:+}".removesuffix(".0")
    kind, detail = {
        "natural": (f"-{config.quantifier}", f"_draws{config.test_num}"),
        "clean": ("", ""),
        "continuous": ("", f"_levels{config.epsilon}"),
    }[config.edit]
    return f"{config.edit}{kind}_{change}dB_max{config.max_blocks}{detail}"


def answers_in(folder: Path) -> list[AnswerFiles]:
    """Find the files of all answers in a folder, in the order of their names."""
    return [AnswerFiles(folder, path.stem.removeprefix(PREFIX)) for path in sorted(folder.glob(f"{PREFIX}*.json"))]
