"""Make HTML pages from templates, with everything escaped and every picture inside."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import lru_cache
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
    environment = _environment((template.parent, *parts), tuple(filters.items()))
    return environment.get_template(template.name).render(values)


@lru_cache(maxsize=4)
def _environment(folders: tuple[Path, ...], filters: tuple[tuple[str, Any], ...]) -> Environment:
    """Keep the templates of folders, which take longer to compile than a small page takes to fill in."""
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "sort_keys": False}
    environment.filters.update(data_uri=_data_uri, **dict(filters))
    return environment


def _data_uri(picture: bytes) -> str:
    kinds = {b"RIFF": "webp", b"<?xm": "svg+xml"}
    return f"data:image/{kinds.get(picture[:4], 'png')};base64,{base64.b64encode(picture).decode()}"
