"""The command line: where searches, sweeps and analysis are put together."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console

from drnas_ray import __version__
from drnas_ray.errors import UserError

P = ParamSpec("P")

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Architecture search as Ray Tune sweeps: many methods, many seeds, one table.\n\n"
    "Start with `drnas demo`. `drnas COMMAND --help` explains each command.",
)
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


class Format(StrEnum):
    """How a table is printed."""

    text = "text"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"


Results = Annotated[Path, typer.Argument(help="A folder that a sweep or a search wrote.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="key=value, over any setting, such as arch.lr=0.01; repeatable."),
]
Seeds = Annotated[str | None, typer.Option(help="0:10 for seeds 0 to 9, or a list: 1,5,7.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="DRNAS_DATA_ROOT", help="Where data sets lie or are downloaded to."),
]
Benchmark = Annotated[
    Path | None,
    typer.Option(help="Print the cells' figures in this NAS-Bench-201 table (Parquet)."),
]


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Bad input ends in one line on standard error and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            err.print(
                f"[red]error:[/red] {_escaped(' '.join(str(error).split()))}", highlight=False
            )
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            err.print(
                "stopped; what was done is kept: run again, with --resume, to go on",
                highlight=False,
            )
            raise typer.Exit(130) from None

    return wrapped


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")


@app.command()
@one_line_errors
def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="Results folder.")] = Path("results/demo"),
    seeds: Seeds = None,
) -> None:
    """DrNAS, DARTS (1st, 2nd order) and uniform cells on real digits: minutes on two cores.

    Searches through Ray Tune, trains the derived cells from scratch, exports Parquet, draws the
    cells and prints the table. Called again, it goes on where it stopped.
    """
    from drnas_ray.sweeps.spec import load_sweep

    sweep = load_sweep("demo", seeds=seeds)
    _sweep(sweep, out_dir, resume=(out_dir / "sweep.json").exists())


@app.command()
@one_line_errors
def sweep(
    source: Annotated[str, typer.Argument(help="A sweep file (YAML), or a preset's name.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Results folder; results/NAME if left out.")
    ] = None,
    seeds: Seeds = None,
    sets: Sets = None,
    data_root: DataRoot = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster: auto, or HOST:PORT.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and list, run nothing.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with this sweep's folder.")
    ] = False,
    benchmark: Benchmark = None,
) -> None:
    """Search every method x data set x grid value x seed of a sweep file through Ray Tune."""
    from drnas_ray.sweeps.spec import load_sweep

    planned = load_sweep(source, sets or (), seeds)
    if dry_run:
        _list(planned)
        return
    folder = out_dir or Path("results") / planned.name
    _sweep(
        planned, folder, data_root=data_root, address=address, resume=resume, benchmark=benchmark
    )


def _list(planned: Any) -> None:
    from drnas_ray.sweeps.sweep import checked_plan

    runs = checked_plan(planned)
    for run in runs:
        varied = "".join(f" {key}={value}" for key, value in run.variant.items())
        where = f"{run.config.data.label} · seed {run.config.seed} · {run.epochs} epochs"
        out.print(f"{run.run_id} {run.label}{varied} · {where}", highlight=False)
    retrained = (
        "their cells are trained from scratch" if planned.retrain is not None else "no retraining"
    )
    out.print(f"{len(runs)} runs, {retrained}; nothing was run", highlight=False)


def _sweep(
    planned: Any,
    folder: Path,
    *,
    data_root: Path | None = None,
    address: str | None = None,
    resume: bool = False,
    benchmark: Path | None = None,
) -> None:
    from analysis.benchmark import BenchmarkTable
    from drnas_ray.sweeps.sweep import Trainables, run_sweep
    from trainables.retrain import RetrainTrial
    from trainables.search import SearchTrial

    known = None if benchmark is None else BenchmarkTable.open(benchmark)  # wrong? Say so now.
    run_sweep(
        planned,
        folder,
        Trainables(SearchTrial, RetrainTrial),
        data_root=data_root,
        address=address,
        resume=resume,
    )
    _wrap_up(folder, known)


def _wrap_up(folder: Path, known: Any) -> None:
    """Export, draw, tabulate, and say where everything lies."""
    from analysis.collect import export, read_runs
    from analysis.draw import draw_all
    from analysis.tables import table, to_csv, to_markdown, to_rich

    exported = export(folder)
    _say(exported.warnings)
    runs = read_runs(folder)
    result = table(runs, known)
    (folder / "table.md").write_text(to_markdown(result))
    (folder / "table.csv").write_text(to_csv(result))
    pictures = draw_all(runs, folder / "cells")
    out.print(to_rich(result))
    out.print("Parquet   " + "  ".join(str(path) for path in exported.paths), highlight=False)
    out.print(f"table     {folder / 'table.md'}  {folder / 'table.csv'}", highlight=False)
    out.print(f"pictures  {folder / 'cells'} ({len(pictures)} files)", highlight=False)
    _say_unfinished(runs)


def _say(warnings: Iterable[str]) -> None:
    for warning in warnings:
        err.print(f"note: {_escaped(warning)}", highlight=False)


def _say_unfinished(runs: Any) -> None:
    """Exit with 1 where runs failed: a script must not take the table for the whole sweep."""
    from analysis.trial import ENDED

    failed = runs[~runs["status"].isin(ENDED)]
    if len(failed):
        counts = ", ".join(f"{n} {status}" for status, n in failed["status"].value_counts().items())
        why = next(
            (text for text in failed["error"] if isinstance(text, str)), "no error was noted"
        )
        err.print(
            f"{len(failed)} of {len(runs)} runs are not done ({counts}; the first: "
            f"{_escaped(why)}); run again, with --resume, to try them again",
            highlight=False,
        )
        raise typer.Exit(1)


@app.command()
@one_line_errors
def search(
    method: Annotated[str, typer.Argument(help="A method's name; `drnas methods` lists them.")],
    dataset: Annotated[str, typer.Option(help="A data set's name.")] = "digits",
    seed: Annotated[int, typer.Option(help="The run's seed.")] = 0,
    sets: Sets = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Results folder; results/METHOD-DATASET-sSEED.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    data_root: DataRoot = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with this run's folder.")] = False,
) -> None:
    """One search in this process, without Ray. Its folder is like a sweep's."""
    from drnas_ray.config import merged
    from drnas_ray.door import validated
    from drnas_ray.sweeps.local import run_search
    from drnas_ray.sweeps.spec import SweepConfig, settings_of

    name = f"{method}-{dataset}-s{seed}"
    base = {
        "name": "search",
        "methods": [method],
        "datasets": [dataset],
        "seeds": [seed],
        "resources": {"cpu": threads},
    }
    planned = validated(SweepConfig, merged(base, settings_of(sets or ())))
    folder = out_dir or Path("results") / name
    record = run_search(planned, folder, data_root=data_root, resume=resume, report=_report_epoch)
    out.print(f"{record['status']}: {record['genotype']}", highlight=False)
    out.print(f"record: {folder}; `drnas export {folder}` makes Parquet of it", highlight=False)


def _report_epoch(record: dict[str, Any], epochs: int) -> None:
    text = f"epoch {record['epoch']}/{epochs}"
    if "val_mean_acc_pct" in record:
        found = record["genotype"] or "nothing ranked yet"
        text += (
            f" · train {record['train_acc_pct']:.2f} % · val {record['val_acc_pct']:.2f} % drawn, "
            f"{record['val_mean_acc_pct']:.2f} % at the mean · {found}"
        )
    left = record["wall_s"] * (epochs - record["epoch"])
    err.print(f"{text} · about {left:.0f} s left", highlight=False)


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
    _say(exported.warnings)
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
    _say(collected.warnings)
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


@app.command()
@one_line_errors
def methods(
    name: Annotated[str | None, typer.Argument(help="Show this method's own settings.")] = None,
) -> None:
    """List the search methods, or one method's settings with their defaults."""
    import json

    from drnas_ray.blackbox import BLACKBOX
    from drnas_ray.door import method_settings
    from drnas_ray.methods import METHODS

    table = {**METHODS, **BLACKBOX}
    if name is None:
        for known, method in table.items():
            about = (sys.modules[method.__module__].__doc__ or "").splitlines()[0]
            out.print(f"[bold]{known}[/bold]  {_escaped(about)}", highlight=False)
        out.print("`drnas methods NAME` shows a method's settings", highlight=False)
        return
    settings = method_settings(name)
    out.print(_escaped(type(settings).__doc__ or ""), highlight=False)
    for key, value in settings.model_dump(exclude={"name"}).items():
        out.print(f"method.{key} = {json.dumps(value)}", highlight=False)
    for key, value in settings.shared_defaults.items():
        out.print(f"{key} = {json.dumps(value)}  (its own default)", highlight=False)


@app.command()
@one_line_errors
def presets() -> None:
    """List the sweeps that come with the package; `drnas sweep NAME` runs one."""
    from drnas_ray.sweeps.spec import presets as known

    for name, text in known().items():
        about = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
        out.print(f"[bold]{name}[/bold]  {_escaped(about)}", highlight=False)


bench = typer.Typer(no_args_is_help=True, help="Benchmark tables: import, look at, ask, build.")
app.add_typer(bench, name="bench")
TableFile = Annotated[Path, typer.Argument(help="A table that `drnas bench import` wrote.")]


@bench.command("import")
@one_line_errors
def bench_import(
    source: Annotated[
        Path,
        typer.Argument(
            help="NAS-Bench-201 .pth, NATS-tss .pickle.pbz2, its folder or .tar; or a tidy .csv or "
            ".parquet with a column arch."
        ),
    ],
    target: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    curves: Annotated[
        Path | None, typer.Option(help="Write every epoch of every training here (Parquet).")
    ] = None,
) -> None:
    """Convert a benchmark file to one small Parquet table, once. No code of the file is run."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from drnas_ray.bench.importers.run import import_benchmark

    columns = (TextColumn("reading"), BarColumn(), "{task.percentage:.0f}%", TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("reading", total=None)
        done = import_benchmark(
            source,
            target,
            curves,
            lambda part, whole: bar.update(task, completed=part, total=whole),
        )
    err.print(f"note: {_escaped(done.checksum)}", highlight=False)
    out.print(f"{done.table}: {done.cells:,} cells, {done.columns} columns", highlight=False)
    if done.curves is not None:
        out.print(f"{done.curves}: every epoch", highlight=False)
    out.print(f"`drnas bench info {done.table}` compares it with print", highlight=False)


@bench.command("info")
@one_line_errors
def bench_info(path: TableFile) -> None:
    """What a table covers, its optima, and known cells beside the published figures."""
    from rich.table import Table as Printed

    from drnas_ray.bench import report
    from drnas_ray.bench.table import Table

    table = Table.open(path)
    out.print(f"{table.label}: {table.cells:,} cells", highlight=False)
    for key, value in table.facts.items():
        out.print(f"  {key}  {_escaped(value)}", highlight=False)
    covered = Printed("column", "cells", "trainings a cell", "optimum", "index")
    for name, known, trainings, index, value in report.coverage(table):
        optimum = "" if index is None else f"{value:.2f}"
        covered.add_row(name, f"{known:,}", trainings, optimum, "" if index is None else str(index))
    out.print(covered)
    known_cells = report.lines(table)
    heads = [f"{line.name} {'' if line.index is None else line.index}" for line in known_cells]
    compared = Printed("200 epochs, %", *heads)
    for place, (data, split) in enumerate(report.SIX):
        figures = [f"{line.here[place]:.2f} ({line.printed[place]:.2f})" for line in known_cells]
        compared.add_row(f"{data} {split}", *figures)
    compared.add_row("off by, at most", *(f"{line.off:.2f}" for line in known_cells))
    out.print(compared)
    out.print(
        f"in brackets: as printed ({report.SOURCE}). Versions of the official file differ by up to "
        f"{report.CLOSE}, the ResNet row by up to 0.7",
        highlight=False,
    )


@bench.command("query")
@one_line_errors
def bench_query(
    path: TableFile,
    cell: Annotated[str, typer.Argument(help="A cell's official string, or its number.")],
    hardware: Annotated[
        Path | None, typer.Option(help="A table of latencies and energies to join.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """All that a table knows of one cell. What it doesn't know is left out."""
    import json

    from drnas_ray.bench import report
    from drnas_ray.bench.table import Table

    found = report.query(Table.open(path), int(cell) if cell.isdecimal() else cell, hardware)
    if as_json:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for name, value in found.items():
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        out.print(f"{name}  {_escaped(shown)}", highlight=False)


@bench.command("build")
@one_line_errors
def bench_build(
    out_dir: Annotated[
        Path, typer.Option("--out", help="The folder of Parquet parts; called again, it goes on.")
    ],
    cells: Annotated[
        str, typer.Option(help="all (6,466 that differ), 100-random, or a file with a cell a line.")
    ] = "all",
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            help="key=value of the training: epochs, channels, cells, batch_size, lr, "
            "data.train_images; repeatable."
        ),
    ] = None,
    dataset: Annotated[str, typer.Option(help="A data set's name.")] = "digits",
    seeds: Annotated[str, typer.Option(help="0:3 for seeds 0 to 2, or a list: 1,5,7.")] = "0",
    workers: Annotated[
        int | None, typer.Option(min=1, help="At most so many at once; as many as fit if left out.")
    ] = None,
    cpu: Annotated[float, typer.Option(help="CPUs, so threads, of a worker.")] = 1.0,
    gpu: Annotated[float, typer.Option(help="GPU share of a worker, where there are GPUs.")] = 1.0,
    data_root: DataRoot = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster: auto, or HOST:PORT.")
    ] = None,
) -> None:
    """Train cells from scratch, many at once, and keep their validation figures.

    `benchmark.cache=DIR` lets multi-trial searches use them. What is there isn't trained again.
    """
    from drnas_ray.door import validated
    from drnas_ray.sweeps.build import build
    from drnas_ray.sweeps.cells import cells_of, recipe_of
    from drnas_ray.sweeps.live import BuildView
    from drnas_ray.sweeps.spec import Resources, parse_seeds

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
            f"{_escaped(cell)} seed {seed}: {_escaped(why)}); run again to try them again",
            highlight=False,
        )
        raise typer.Exit(1)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Say the version."""
    if show:
        out.print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
