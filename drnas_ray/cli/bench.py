"""Commands about benchmark tables: drnas bench import, info, query, build."""

from __future__ import annotations

import math
import resource
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from drnas_ray.cli.common import DataRoot, err, escaped, one_line_errors, out

app = typer.Typer(no_args_is_help=True, help="Benchmark tables: import, inspect, query, build.")
TableFile = Annotated[Path, typer.Argument(help="A table that `drnas bench import` wrote.")]


@app.command("import")
@one_line_errors
def bench_import(
    source: Annotated[
        Path,
        typer.Argument(
            help="A NAS-Bench-201 .pth; a NATS-tss .pickle.pbz2, folder or .tar; a .csv or "
            ".parquet with a column arch; or a folder that `drnas bench build` filled."
        ),
    ],
    target: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    curves: Annotated[
        Path | None,
        typer.Option(help="Also write every epoch of every training to this Parquet file."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="The recipe's id, if the folder has cells of several recipes."),
    ] = None,
) -> None:
    """Convert a benchmark file to one small Parquet table. Code in the file is never run.

    Example: `drnas bench import NAS-Bench-201-v1_1-096897.pth nb201.parquet`
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from drnas_ray.importers.convert import import_benchmark

    columns = (TextColumn("reading"), BarColumn(), "{task.percentage:.0f}%", TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("reading", total=None)
        done = import_benchmark(
            source,
            target,
            curves,
            lambda part, whole: bar.update(task, completed=part, total=whole),
            recipe,
        )
    err.print(f"note: {escaped(done.checksum)}", highlight=False)
    if done.numbered:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB; bytes on macOS
        peak_mib = peak / (2**20 if sys.platform == "darwin" else 2**10)
        least_mib = done.numbered * 8 / 2**20
        err.print(
            f"note: peak memory {peak_mib:.0f} MiB; the single-file format needs at least "
            f"{least_mib:.0f} MiB of it: {done.numbered:,} numbered values, which the file may "
            "refer to up to its end, at 8 bytes each",
            highlight=False,
        )
    out.print(f"{done.table}: {done.cells:,} cells, {done.columns} columns", highlight=False)
    if done.curves is not None:
        out.print(f"{done.curves}: every epoch", highlight=False)
    out.print(
        f"`drnas bench info {done.table}` compares it with published figures", highlight=False
    )


@app.command("info")
@one_line_errors
def bench_info(path: TableFile) -> None:
    """Show what a table covers, its optima, and known cells beside the published figures."""
    from rich.table import Table as Printed

    from drnas_ray.benchmarks import report
    from drnas_ray.benchmarks.table import CellTable

    table = CellTable.open(path)
    out.print(f"{table.label}: {table.cells:,} cells", highlight=False)
    for key, value in table.facts.items():
        out.print(f"  {key}  {escaped(value)}", highlight=False)
    covered = Printed("column", "cells", "trainings per cell", "optimum", "index")
    for name, known, trainings, index, value in report.coverage(table):
        optimum = "" if index is None else f"{value:.2f}"
        covered.add_row(name, f"{known:,}", trainings, optimum, "" if index is None else str(index))
    out.print(covered)
    if "recipe_id" in table.facts:
        _print_known_cells(table)
        return
    known_cells = report.known_cells(table)
    heads = [f"{one.name} {'' if one.index is None else one.index}" for one in known_cells]
    compared = Printed("200 epochs, %", *heads)
    for place, (data, split) in enumerate(report.SIX):
        figures = [f"{one.here[place]:.2f} ({one.published[place]:.2f})" for one in known_cells]
        compared.add_row(f"{data} {split}", *figures)
    compared.add_row("largest deviation", *(f"{one.deviation:.2f}" for one in known_cells))
    out.print(compared)
    out.print(
        f"in brackets: published ({report.SOURCE}). Versions of the official file differ by up to "
        f"{report.CLOSE}, the ResNet row by up to 0.7",
        highlight=False,
    )


def _print_known_cells(table: Any) -> None:
    """Known cells in a table of cells trained here; no published figure is comparable."""
    from drnas_ray.benchmarks import report

    for name, index in report.KNOWN.items():
        figure = table.valid(index, table.facts["dataset"], int(table.facts["epochs"]))
        known = "not trained" if math.isnan(figure) else f"{figure:.2f} % validation accuracy"
        out.print(f"{name} (cell {index}): {known}", highlight=False)


@app.command("query")
@one_line_errors
def bench_query(
    path: TableFile,
    cell: Annotated[str, typer.Argument(help="A cell's official string, or its number.")],
    hardware: Annotated[
        Path | None, typer.Option(help="Add latencies and energies from this table.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print everything that a table knows about one cell; unknown figures are left out.

    Example: `drnas bench query nb201.parquet 9930`
    """
    import json

    from drnas_ray.benchmarks import report
    from drnas_ray.benchmarks.table import CellTable

    found = report.query(CellTable.open(path), int(cell) if cell.isdecimal() else cell, hardware)
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for name, value in found.items():
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        out.print(f"{name}  {escaped(shown)}", highlight=False)


@app.command("build")
@one_line_errors
def bench_build(
    out_dir: Annotated[
        str,
        typer.Option(
            "--out",
            help="Folder for the trained cells, or a URI such as s3://bucket/cells; run again to "
            "continue.",
        ),
    ],
    cells: Annotated[
        str,
        typer.Option(help="all (6,466 distinct ones), 100-random, or a file with a cell per line."),
    ] = "all",
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting of the training as key=value: epochs, channels, cells, batch_size, lr, "
            "data.train_images; repeatable."
        ),
    ] = None,
    dataset: Annotated[str, typer.Option(help="A data set's name.")] = "digits",
    seeds: Annotated[str, typer.Option(help="0:3 for seeds 0 to 2, or a list: 1,5,7.")] = "0",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Most workers at once; by default, as many as fit.")
    ] = None,
    cpu: Annotated[float, typer.Option(help="CPUs, and so threads, per worker.")] = 1.0,
    gpu: Annotated[float, typer.Option(help="GPU share per worker, where there are GPUs.")] = 1.0,
    data_root: DataRoot = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster: auto, or HOST:PORT.")
    ] = None,
) -> None:
    """Train cells from scratch, in parallel, and keep their validation figures.

    `benchmark.cache=DIR` lets multi-trial searches use them. Known cells aren't trained again.

    Example: `drnas bench build --cells 100-random --recipe epochs=12 --seeds 0:3 --out cache`
    """
    from drnas_ray.config import validated
    from drnas_ray.config.overrides import parse_seeds
    from drnas_ray.sweeps.spec.sweep import Resources
    from drnas_ray.sweeps.train_cells.build import build
    from drnas_ray.sweeps.train_cells.plan import cells_of, recipe_of
    from drnas_ray.sweeps.train_cells.view import BuildView

    how = recipe_of(dataset, recipe or ())
    resources = validated(Resources, {"cpu": cpu, "gpu": gpu}, "resources")
    chosen = cells_of(cells, how)
    with BuildView(err) as view:
        ended = build(
            chosen,
            parse_seeds(seeds),
            how,
            out_dir,
            resources=resources,
            workers=workers,
            data_root=data_root,
            address=address,
            report=view.show,
        )
    out.print(
        f"{out_dir}: recipe {how.id()}, {ended.done} cells trained, {ended.known} known before",
        highlight=False,
    )
    if ended.failed:
        (_, cell, seed), why = next(iter(ended.failed.items()))
        err.print(
            f"{len(ended.failed)} of {ended.total} cells failed (the first: "
            f"{escaped(cell)} seed {seed}: {escaped(why)}); run again to retry them",
            highlight=False,
        )
        raise typer.Exit(1)
