"""The formats a table is written in, chosen by name or by the suffix of a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path

from analysis.tables.markup import to_html_page, to_latex
from analysis.tables.render import Table, to_csv, to_markdown, to_parquet, to_text
from drnas_ray.core.errors import UserError
from drnas_ray.core.files import write_atomically


class Format(StrEnum):
    """How a table is printed or written."""

    text = "text"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"
    html = "html"
    parquet = "parquet"


SUFFIXES: Mapping[str, Format] = {
    ".txt": Format.text,
    ".md": Format.markdown,
    ".csv": Format.csv,
    ".tex": Format.latex,
    ".html": Format.html,
    ".parquet": Format.parquet,
}
_AS_TEXT: Mapping[Format, Callable[[Table], str]] = {
    Format.text: to_text,
    Format.markdown: to_markdown,
    Format.csv: to_csv,
    Format.latex: to_latex,
}


def format_of(path: Path) -> Format:
    """The format that a file's suffix stands for. Raises UserError for any other suffix."""
    form = SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise UserError(
            f"{path}: unknown suffix '{path.suffix}': use {', '.join(SUFFIXES)}, or give --format"
        )
    return form


def rendered(table: Table, form: Format, title: str) -> bytes:
    """The table in a format; `title` is that of an HTML page."""
    if form is Format.parquet:
        return to_parquet(table)
    if form is Format.html:
        return to_html_page(table, title).encode()
    return _AS_TEXT[form](table).encode()


def write_table(table: Table, path: Path, form: Format, title: str) -> None:
    """Write it atomically. Raises UserError if the file can't be written."""
    try:
        write_atomically(path, rendered(table, form, title))
    except OSError as error:
        raise UserError(f"can't write {path}: {error}") from error
