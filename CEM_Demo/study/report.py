"""What comes out of a study: a page and its tables, from the results on disk alone; no network is loaded."""

from __future__ import annotations

import logging

from CEM_Demo.config.schema import Config
from CEM_Demo.files import remove_leftovers, write_bytes
from CEM_Demo.results.cache import shared_files
from CEM_Demo.results.paths import check_nothing_is_shared, result_paths, table_path
from CEM_Demo.study.findings import read_findings
from CEM_Demo.study.page import render_study
from CEM_Demo.study.summary import summarize
from CEM_Demo.study.tables import maps_csv, models_csv, models_tex, pairs_csv, study_json

log = logging.getLogger(__name__)


def report_study(config: Config) -> None:
    """Write the page and the tables of a study beside the report of its run.

    Results that are missing, unfinished or of another config are logged, named on the page and left out.

    Args:
        config: of the study.

    Raises:
        InputError: there is not a single finished result, two names share results, or a file cannot be written.
    """
    check_nothing_is_shared(config)
    findings = read_findings(config)
    summary = summarize(findings, config.confidence)
    texts = {
        "_maps.csv": maps_csv(findings),
        "_models.csv": models_csv(summary),
        "_pairs.csv": pairs_csv(summary),
        ".tex": models_tex(summary),
        ".json": study_json(config, findings, summary),
    }
    names = [table_path(config, "Study", suffix).name for suffix in texts]
    texts[".html"] = render_study(config, findings, summary, names)
    case = findings.cases[0]
    with shared_files(result_paths(config, findings.models[0], case.image, case.roi)):
        for suffix, text in texts.items():
            path = table_path(config, "Study", suffix)
            remove_leftovers(path.parent, path.name)
            write_bytes(path, text.encode())
    log.info("wrote %s and its tables", table_path(config, "Study", ".html"))
