"""One self-contained HTML page about one or several sweeps: `render` makes it, `write` saves it.

- page: everything on the page, in order; templates/ has its HTML, style and script
- results, warnings, provenance, run_list, run_details, pictures: the sections
- page_tables: a table of the page; charts and curves: small line charts as inline SVG
- names: names of runs and groups of runs
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.report.charts import BOTTOM, HEIGHT, LEFT, RIGHT, WIDTH
from analysis.report.page import build
from drnas_ray.core.errors import UserError
from drnas_ray.core.files import write_atomically

MOST_RUNS = 48
"""How many runs are shown in full by default; each takes some tens of kilobytes."""


def _silent(_: str) -> None:
    pass


def _text(name: str) -> str:
    return (files("analysis.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The hash by which a content security policy allows an inline script or style."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def render(
    collected: Collected,
    benchmark: BenchmarkTable | None = None,
    most_runs: int = MOST_RUNS,
    progress: Callable[[str], None] = _silent,
) -> str:
    """The page as HTML; equal data give equal text.

    collected: as `analysis.records.load.load` returns it, with the column `sweep`. most_runs: how
    many runs are shown in full. progress: called with the name of each part before it is made.
    Raises UserError if there are no runs, or if the benchmark lacks a data set or a cell.
    """
    environment = Environment(
        loader=PackageLoader("analysis.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style, script = _text("report.css"), _text("report.js")
    return environment.get_template("report.html.j2").render(
        page=build(collected, benchmark, most_runs, progress),
        box={
            "width": WIDTH,
            "height": HEIGHT,
            "left": LEFT,
            "right": WIDTH - RIGHT,
            "bottom": HEIGHT - BOTTOM,
        },
        # Our own files, not escaped: their hashes must match. Everything else is escaped.
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )


def write(text: str, path: Path) -> None:
    """Write the page, atomically. Raises UserError if it can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError as err:
        raise UserError(f"can't write {path}: {err}") from err


__all__ = ["MOST_RUNS", "render", "write"]
