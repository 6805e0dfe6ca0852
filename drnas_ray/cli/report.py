"""The command that writes the page about one or many sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from drnas_ray.cli.common import Benchmark, err, one_line_errors, out, say

app = typer.Typer()


@app.command()
@one_line_errors
def report(
    results: Annotated[
        list[Path], typer.Argument(help="Folders that sweeps or searches wrote.", metavar="DIR...")
    ],
    benchmark: Benchmark = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="The page; report.html in the first DIR if left out."),
    ] = None,
    runs: Annotated[
        int, typer.Option(min=0, help="How many runs are shown in full, with their curves.")
    ] = 48,
) -> None:
    """Write one HTML page: warnings, tables, statistics, figures, what was run, every run.

    The page is complete in itself: it opens without a network, on a phone and on paper. It can be
    written at any moment, also while the sweep runs.
    """
    from analysis.records.benchmark import BenchmarkTable
    from analysis.records.load import load
    from analysis.report import render, write

    known = None if benchmark is None else BenchmarkTable.open(benchmark)
    path = results[0] / "report.html" if out_file is None else out_file
    with err.status("reading the runs") as status:
        collected = load(results)
        page = render(collected, known, runs, lambda what: status.update(f"drawing: {what}"))
    say(collected.warnings)
    write(page, path)
    out.print(str(path), highlight=False)
