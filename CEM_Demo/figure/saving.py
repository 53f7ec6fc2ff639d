"""Figures as files: PDF, SVG, PGF and PNG, whole or not there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text

from CEM_Demo.errors import InputError
from CEM_Demo.figure.sheet import drawing_with
from CEM_Demo.figure.style import Style
from CEM_Demo.figure.tex import escape_tex
from CEM_Demo.files import write_bytes

FORMATS = ("pdf", "svg", "pgf", "png")
TEX_SYSTEMS = ("pdflatex", "lualatex", "xelatex")
# No date, so that equal figures are equal files.
METADATA: dict[str, dict[str, str | None]] = {
    "pdf": {"Creator": "Causal Effect Maps", "CreationDate": None},
    "svg": {"Creator": "Causal Effect Maps", "Date": None},
    "png": {"Software": None},
}


def parse_formats(text: str) -> list[str]:
    """Give the formats of a list such as ``pdf,svg``.

    Raises:
        InputError: one is unknown, or none is given.
    """
    formats = [part.strip().lower() for part in text.split(",") if part.strip()]
    unknown = [part for part in formats if part not in FORMATS]
    if unknown or not formats:
        raise InputError(f"format: {', '.join(unknown) or 'nothing'} is not among {', '.join(FORMATS)}")
    return list(dict.fromkeys(formats))


def save_figure(figure: Figure, stem: Path | str, formats: Sequence[str], style: Style | None = None) -> list[Path]:
    """Write a figure in several formats and give the files; photographs of a PGF lie in PNG files beside it.

    Args:
        figure: of :func:`~CEM_Demo.figure.layouts.draw_figures`.
        stem: path of the files, without suffix.
        formats: of ``FORMATS``.
        style: the figure was drawn with.

    Raises:
        InputError: PGF is asked for and no LaTeX is installed, which measures its text; or a file cannot be written.
    """
    stem = Path(stem)
    system = _tex_system() if "pgf" in formats else None
    written = []
    with drawing_with(style or Style()), TemporaryDirectory() as folder:
        for kind in formats:
            path = Path(folder) / f"{stem.name}.{kind}"
            if kind == "pgf":
                _save_pgf(figure, path, str(system))
            else:
                figure.savefig(path, format=kind, metadata=METADATA[kind])
        for path in sorted(Path(folder).iterdir()):
            write_bytes(stem.parent / path.name, path.read_bytes())
            written.append(stem.parent / path.name)
    return written


def _tex_system() -> str:
    system = next((system for system in TEX_SYSTEMS if shutil.which(system)), None)
    if system is None:
        raise InputError("format: pgf needs LaTeX, which measures the text, and none is installed; take pdf instead")
    return system


def _save_pgf(figure: Figure, path: Path, system: str) -> None:
    """Save with all text escaped for LaTeX, and give the text back as it was."""
    from matplotlib.backends.backend_pgf import LatexError

    texts = {text: text.get_text() for text in figure.findobj(Text)}
    try:
        for text, plain in texts.items():
            text.set_text(escape_tex(plain))
        with matplotlib.rc_context({"pgf.texsystem": system}):
            figure.savefig(path, format="pgf")
    except LatexError as error:
        shown = ", ".join(sorted({plain for plain in texts.values() if not plain.isascii()}))
        raise InputError(f"format: {system} cannot set the text of the pgf ({shown}); take pdf instead") from error
    finally:
        for text, plain in texts.items():
            text.set_text(plain)
