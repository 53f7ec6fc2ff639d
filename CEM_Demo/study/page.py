"""The page of a study: one HTML file that needs nothing beside it, and links to the run's report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from CEM_Demo.config.schema import Config
from CEM_Demo.pages import render_page
from CEM_Demo.report.colours import COLOUR_BOUND
from CEM_Demo.report.page import TEMPLATES as REPORT_TEMPLATES
from CEM_Demo.results.paths import report_path
from CEM_Demo.study.findings import Findings
from CEM_Demo.study.measures import MEASURES
from CEM_Demo.study.plots import draw_profiles, draw_scatter
from CEM_Demo.study.summary import COMPARED, Summary
from CEM_Demo.study.tables import MINUS

TEMPLATE = Path(__file__).parent / "templates" / "study.html"


def render_study(config: Config, findings: Findings, summary: Summary, files: Sequence[str]) -> str:
    """Give the HTML text; everything from the config is escaped.

    Args:
        config: of the study.
        findings, summary: what its results say.
        files: names of the tables beside the page.
    """
    report = report_path(config)
    return render_page(
        TEMPLATE,
        {"minus": _with_minus},
        parts=[REPORT_TEMPLATES],
        config=config,
        findings=findings,
        summary=summary,
        measures=MEASURES,
        compared=COMPARED,
        profiles=draw_profiles(summary, config.mask_block_size),
        scatter=draw_scatter(summary),
        report=report.name if report.exists() else None,
        bound=COLOUR_BOUND[config.task],
        files=files,
        config_text=yaml.safe_dump(config.model_dump(exclude_none=True), sort_keys=False, allow_unicode=True),
    )


def _with_minus(text: str) -> str:
    return text.replace("-", MINUS)
