"""drnas report: an HTML page about one or several sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drnas_ray.cli.common import Benchmark, err, one_line_errors, out, print_warnings

app = typer.Typer()


@app.command()
@one_line_errors
def report(
    results: Annotated[
        list[Path], typer.Argument(help="Results folders of sweeps or searches.", metavar="DIR...")
    ],
    benchmark: Benchmark = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="File to write; by default report.html in the first DIR."),
    ] = None,
    runs: Annotated[
        int, typer.Option(min=0, help="How many runs to show in full, with their curves.")
    ] = 48,
) -> None:
    """Write one HTML page: warnings, tables, statistics, figures, what was run, every run.

    The page is self-contained: it works offline, on a phone and on paper. It can be written at any
    time, even while the sweep runs.
    """
    from analysis.records.benchmark import BenchmarkTable
    from analysis.records.load import load
    from analysis.report import render, write

    known = None if benchmark is None else BenchmarkTable.open(benchmark)
    path = results[0] / "report.html" if out_file is None else out_file
    with err.status("reading the runs") as status:
        collected = load(results)
        page = render(collected, known, runs, lambda what: status.update(f"drawing: {what}"))
    print_warnings(collected.warnings)
    write(page, path)
    out.print(str(path), highlight=False)
