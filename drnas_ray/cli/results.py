"""Commands that read what searches left: export, table."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from drnas_ray.cli.common import Benchmark, Results, one_line_errors, out, say

app = typer.Typer()


class Format(StrEnum):
    """How a table is printed."""

    text = "text"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"


@app.command()
@one_line_errors
def export(
    results: Results,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Where the files go; into DIR if left out.")
    ] = None,
) -> None:
    """Write runs.parquet, epochs.parquet and retrains.parquet, also of an unfinished sweep."""
    from analysis.collect import export as export_folder

    exported = export_folder(results, out_dir)
    say(exported.warnings)
    for path in exported.paths:
        out.print(str(path), highlight=False)


@app.command()
@one_line_errors
def table(
    results: Results,
    benchmark: Benchmark = None,
    form: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.text,
) -> None:
    """Mean ± std (n) a method and data set: retrained test accuracy, or benchmark figures."""
    from analysis import tables
    from analysis.benchmark import BenchmarkTable
    from analysis.collect import collect

    known = None if benchmark is None else BenchmarkTable.open(benchmark)
    # From the trials' own files, so that an unfinished sweep shows what is there now.
    collected = collect(results)
    say(collected.warnings)
    result = tables.table(collected.runs, known)
    if form is Format.text:
        out.print(tables.to_rich(result))
        return
    render = {
        Format.markdown: tables.to_markdown,
        Format.csv: tables.to_csv,
        Format.latex: tables.to_latex,
    }[form]
    sys.stdout.write(render(result))
