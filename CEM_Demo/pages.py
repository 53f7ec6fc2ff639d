"""Make HTML pages from templates, with everything escaped and every picture inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render_page(template: Path, filters: dict[str, Any], parts: Sequence[Path] = (), **values: Any) -> str:
    """Give the text of a page; whatever comes from a config, a file or its name is escaped.

    Args:
        template: the file with the page's template.
        filters: the template's filters besides ``data_uri``, which makes a URI of a PNG, WebP or SVG file.
        parts: further folders from which the template includes files.
        values: what the template shows.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, *parts]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(data_uri=_data_uri, **filters)
    return environment.get_template(template.name).render(values)


def _data_uri(picture: bytes) -> str:
    kinds = {b"RIFF": "webp", b"<?xm": "svg+xml"}
    return f"data:image/{kinds.get(picture[:4], 'png')};base64,{base64.b64encode(picture).decode()}"
