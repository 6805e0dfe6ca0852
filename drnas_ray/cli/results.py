"""Commands that read results: export, table, stats."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drnas_ray.cli.common import Benchmark, Results, one_line_errors, out, print_warnings
from drnas_ray.cli.stores import display_path
from drnas_ray.core.errors import UserError

if TYPE_CHECKING:
    from analysis.tables.render import Table

app = typer.Typer()


class Format(StrEnum):
    """A copy of `analysis.tables.formats.Format`, which takes a second to import."""

    text = "text"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"
    html = "html"
    parquet = "parquet"


Folders = Annotated[
    list[Path],
    typer.Argument(
        help="Results folders of sweeps or searches, or of their exports.", metavar="DIR..."
    ),
]
Form = Annotated[
    Format | None,
    typer.Option(
        "--format", help="Default: by the suffix of --out, else text.", show_default=False
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write to this file (.txt .md .csv .tex .html .parquet)."),
]


@app.command()
@one_line_errors
def export(
    results: Results,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write to; by default the results folder."),
    ] = None,
) -> None:
    """Write runs.parquet, epochs.parquet and retrains.parquet, even of an unfinished sweep."""
    from analysis.records.collect import export as export_folder

    exported = export_folder(results, out_dir)
    print_warnings(exported.warnings)
    for path in exported.paths:
        out.print(display_path(path), highlight=False)


@app.command()
@one_line_errors
def table(
    what: Annotated[
        list[str],
        typer.Argument(
            help="Results folders of sweeps or searches, optionally preceded by the name of one of "
            "the paper's tables: nb201, cifar10 or imagenet.",
            metavar="[nb201|cifar10|imagenet] DIR...",
        ),
    ],
    benchmark: Benchmark = None,
    form: Form = None,
    file: Out = None,
) -> None:
    """Compare methods: mean ± std (n) over seeds; or a table of the paper, ours beside it.

    `drnas table DIR` compares the methods of a sweep by the test accuracy of cells trained from
    scratch, or with `--benchmark TABLE` by the benchmark's figures of those cells. Several folders
    are compared as one.

    `drnas table nb201 DIR --benchmark TABLE` prints every row of the paper's NAS-Bench-201 table,
    published and ours; `cifar10` and `imagenet` are its other two. Rows that were not run say so;
    without DIR, only published figures are shown. (For a folder of that name, write `./nb201`.)

    CSV and Parquet have unrounded numbers, one per row.
    """
    from analysis.paper.table import paper_table
    from analysis.records.benchmark import BenchmarkTable
    from analysis.records.load import load_runs
    from analysis.tables.comparison import table as comparison
    from drnas_ray.benchmarks.published import NAMES, published

    form = _checked(form, file)
    known = None if benchmark is None else BenchmarkTable.open(benchmark)
    name = what[0] if what[0] in NAMES else None
    folders = [Path(text) for text in (what if name is None else what[1:])]
    runs, warnings = load_runs(folders) if folders else (None, ())
    print_warnings(warnings)
    if name is not None:
        title = f"{published(name).title}: published and ours"
        _output(paper_table(name, runs, known), form, file, title)
    elif runs is not None:
        _output(comparison(runs, known), form, file, "Methods compared")


@app.command()
@one_line_errors
def stats(
    folders: Folders,
    benchmark: Benchmark = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Compare methods in pairs over common seeds instead.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(help="With --pairs: compare all others with this method only."),
    ] = None,
    form: Form = None,
    file: Out = None,
) -> None:
    """Statistics over seeds for each method and data set; with --pairs, tests of differences.

    Mean, std, median, quartiles, best, 95 % bootstrap interval of the mean, regret to the
    benchmark's optimum, collapsed cells, and how many different cells the seeds found.

    `--pairs` prints Wilcoxon's signed-rank test over the seeds that two methods share, with effect
    size and Holm's correction. docs/analysis.md defines every column.
    """
    from analysis.records.benchmark import BenchmarkTable
    from analysis.records.load import load_runs
    from analysis.stats.pairs import paired
    from analysis.stats.statistics import statistics
    from analysis.tables.statistics import paired_table, statistics_table

    if against is not None and not pairs:
        raise UserError(f"--against {against} needs --pairs: add it")
    form = _checked(form, file)
    known = None if benchmark is None else BenchmarkTable.open(benchmark)
    runs, warnings = load_runs(folders)
    print_warnings(warnings)
    if pairs:
        made = paired_table(paired(runs, known, against), known)
        _output(made, form, file, "Methods compared over common seeds")
    else:
        _output(
            statistics_table(statistics(runs, known), known), form, file, "Statistics over seeds"
        )


def _checked(form: Format | None, file: Path | None) -> Format:
    """The format to write. Raises UserError for a bad format or file, before anything is read."""
    from analysis.tables.formats import format_of

    chosen = Format(format_of(file)) if form is None and file is not None else form
    if chosen is Format.parquet and file is None and sys.stdout.isatty():
        raise UserError("--format parquet can't be shown on a terminal: name a file with --out")
    if file is not None and not file.parent.is_dir():
        raise UserError(f"--out {file}: there is no folder {file.parent}")
    return chosen or Format.text


def _output(made: Table, form: Format, file: Path | None, title: str) -> None:
    """Print the table, or write it to the file."""
    from analysis.tables import formats
    from analysis.tables.render import to_rich

    if file is not None:
        formats.write_table(made, file, formats.Format(form), title)
        out.print(str(file), highlight=False)
    elif form is Format.text and sys.stdout.isatty():
        out.print(to_rich(made))
    else:
        sys.stdout.buffer.write(formats.rendered(made, formats.Format(form), title))
        sys.stdout.flush()
