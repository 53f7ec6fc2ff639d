"""The tables of a study as files: CSV for every map, model and pair, LaTeX for the models, JSON for all of it."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from io import StringIO
from typing import Any

from CEM_Demo.config.schema import Config
from CEM_Demo.figure.tex import tex_table
from CEM_Demo.study.findings import Findings
from CEM_Demo.study.measures import MEASURES, Measure
from CEM_Demo.study.statistics import Estimate
from CEM_Demo.study.summary import Summary

MINUS = "\N{MINUS SIGN}"
# LaTeX pages are narrow, so their table has these columns only.
IN_LATEX = ("psnr", "helping", "hurting", "certified_helping", "certified_hurting", "radius", "net")


def write_estimate(measure: Measure, estimate: Estimate) -> str:
    """Write a mean with its interval, as in ``27.31 [26.02, 28.60]``."""
    ends = f" [{measure.write(estimate.low)}, {measure.write(estimate.high)}]" if math.isfinite(estimate.low) else ""
    return f"{measure.write(estimate.mean)}{ends}".replace("-", MINUS)


def maps_csv(findings: Findings) -> str:
    """Make a table with a row for each finished map; shares are 0..1."""
    values = findings.measures
    rows = [
        [model, case.image, str(case.roi), *map(_number, values[row, :, column])]
        for row, model in enumerate(findings.models)
        for column, case in enumerate(findings.cases)
        if findings.of[row][column] is not None
    ]
    return _csv(["model", "image", "ROI", *(measure.key for measure in MEASURES)], rows)


def models_csv(summary: Summary) -> str:
    """Make a table with a row for each model: means over images and the ends of their intervals; shares are 0..1."""
    headings = [f"{measure.key}{part}" for measure in MEASURES for part in ("", "_low", "_high")]
    rows = [
        [row.model, row.maps, row.estimates["psnr"].images, *_ends(row.estimates[measure.key] for measure in MEASURES)]
        for row in summary.models
    ]
    return _csv(["model", "maps", "images", *headings], rows)


def pairs_csv(summary: Summary) -> str:
    """Make a table with a row for each pair of models and measure: the difference, its interval and its tests."""
    rows = []
    for pair in summary.pairs:
        for key, found in pair.differences.items():
            tests = map(_number, (found.p, found.q))
            rows.append([pair.first, pair.second, key, found.estimate.images, *_ends([found.estimate]), *tests])
    return _csv(["first", "second", "measure", "images", "difference", "low", "high", "p", "q"], rows)


def models_tex(summary: Summary) -> str:
    """Make a LaTeX table (booktabs) with a row for each model."""
    measures = [measure for measure in MEASURES if measure.key in IN_LATEX]
    rows = [
        [row.model, *(write_estimate(measure, row.estimates[measure.key]) for measure in measures)]
        for row in summary.models
    ]
    return tex_table(["model", *(measure.heading for measure in measures)], [rows], text_columns=1)


def study_json(config: Config, findings: Findings, summary: Summary) -> str:
    """Write all that the page shows, but for its pictures; numbers that there are none of are null."""
    values = findings.measures
    content = {
        "config": config.model_dump(exclude_none=True),
        "measures": {measure.key: measure.heading for measure in MEASURES},
        "missing": findings.missing,
        "maps": [
            {"model": model, "image": case.image, "roi": asdict(case.roi)}
            | {measure.key: value for measure, value in zip(MEASURES, values[row, :, column].tolist(), strict=True)}
            for row, model in enumerate(findings.models)
            for column, case in enumerate(findings.cases)
            if findings.of[row][column] is not None
        ],
        "models": [asdict(row) for row in summary.models],
        "pairs": [asdict(row) for row in summary.pairs],
    }
    return json.dumps(_without_nan(content), indent=1, ensure_ascii=False) + "\n"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _ends(estimates: Iterable[Estimate]) -> list[str]:
    return [_number(value) for one in estimates for value in (one.mean, one.low, one.high)]


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def _csv(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([headings, *rows])
    return text.getvalue()
