"""Read from disk what a figure shows: the images and models that were asked for, config by config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from CEM_Demo.config.schema import Config
from CEM_Demo.errors import InputError
from CEM_Demo.figure.captions import TASKS
from CEM_Demo.figure.sections import Group
from CEM_Demo.report.panels import Panel, read_panels
from CEM_Demo.results.lam_files import read_lam
from CEM_Demo.results.paths import check_nothing_is_shared, result_paths
from CEM_Demo.wording import did_you_mean


def read_groups(configs: Sequence[Config], images: Sequence[str] | None, models: Sequence[str] | None) -> list[Group]:
    """Read the results of some runs, a group for each.

    Args:
        configs: of the runs.
        images, models: names that each run shows of those that it has; None for all of them.

    Raises:
        InputError: a name is in no config, a config has none of the names, or results are missing or damaged.
    """
    images_of = _chosen("images", images, [config.Imagelist for config in configs])
    models_of = _chosen("models", models, [list(config.models) for config in configs])
    labels = _labels(configs) if len(configs) > 1 else [""]
    groups = []
    for label, config, its_images, its_models in zip(labels, configs, images_of, models_of, strict=True):
        check_nothing_is_shared(config)
        panels = read_panels(config, its_images, its_models)
        groups.append(Group(label, [[_with_lam(config, panel) for panel in row] for row in panels]))
    return groups


def _chosen(what: str, asked: Sequence[str] | None, known: Sequence[Sequence[str]]) -> list[list[str]]:
    """Check the names that were asked for, and give those that each config knows, or all."""
    every = list(dict.fromkeys(name for names in known for name in names))
    for name in asked or ():
        if name not in every:
            where, has = ("the config", "it has") if len(known) == 1 else ("any of the configs", "they have")
            hint = did_you_mean(name, every) or f"{has} {', '.join(every)}"
            raise InputError(f"{what}: {name} is not in {where}; {hint}")
    chosen = [[name for name in dict.fromkeys(asked or names) if name in names] for names in known]
    for found, names in zip(chosen, known, strict=True):
        if not found:
            missing = " or ".join(asked or ())
            raise InputError(f"{what}: one of the configs has no {missing}; it has {', '.join(names)}")
    return chosen


def _labels(configs: Sequence[Config]) -> list[str]:
    """Name configs by their tasks, or where two have the same task, by their prefixes as well."""
    tasks = [TASKS[config.task].capitalize() for config in configs]
    if len(set(tasks)) == len(tasks):
        return tasks
    return [f"{task}, {config.prefix}" for task, config in zip(tasks, configs, strict=True)]


def _with_lam(config: Config, panel: Panel) -> Panel:
    """Give a panel the Local Attribution Map of its run, if the config asks for it."""
    if "LAM" not in config.maps:
        return panel
    return replace(panel, lam=read_lam(result_paths(config, panel.model, panel.image, panel.roi)))
