"""Make HTML pages from templates, with everything escaped and every picture inside."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render_page(template: Path, filters: dict[str, Any], **values: Any) -> str:
    """Give the text of a page; whatever comes from a config, a file or its name is escaped.

    Args:
        template: the file with the page's template.
        filters: the template's filters besides ``data_uri``, which turns the bytes of a PNG or WebP file into a URI.
        values: what the template shows.
    """
    environment = _environment(template.parent, tuple(filters.items()))
    return environment.get_template(template.name).render(values)


@lru_cache(maxsize=4)
def _environment(folder: Path, filters: tuple[tuple[str, Any], ...]) -> Environment:
    """Keep the templates of a folder, which take longer to compile than a small page takes to fill in."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "sort_keys": False}
    environment.filters.update(data_uri=_data_uri, **dict(filters))
    return environment


def _data_uri(picture: bytes) -> str:
    kind = "webp" if picture.startswith(b"RIFF") else "png"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"
