"""Commands that read what searches left: export, table, stats."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drnas_ray.cli.common import Benchmark, Results, one_line_errors, out, say
from drnas_ray.cli.stores import shown
from drnas_ray.core.errors import UserError
from drnas_ray.core.files import write_atomically

if TYPE_CHECKING:
    from analysis.tables.render import Table

app = typer.Typer()


class Format(StrEnum):
    """How a table is printed or written."""

    text = "text"
    markdown = "markdown"
    csv = "csv"
    latex = "latex"
    html = "html"
    parquet = "parquet"


_ENDINGS = {
    ".txt": Format.text,
    ".md": Format.markdown,
    ".csv": Format.csv,
    ".tex": Format.latex,
    ".html": Format.html,
    ".parquet": Format.parquet,
}
Folders = Annotated[
    list[Path],
    typer.Argument(
        help="Folders that sweeps or searches wrote, or exports of such.", metavar="DIR..."
    ),
]
Form = Annotated[
    Format | None,
    typer.Option(
        "--format", help="Default: by the ending of --out, else text.", show_default=False
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Write it to this file (.txt .md .csv .tex .html .parquet)."),
]


@app.command()
@one_line_errors
def export(
    results: Results,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Where the files go; into DIR if left out.")
    ] = None,
) -> None:
    """Write runs.parquet, epochs.parquet and retrains.parquet, also of an unfinished sweep."""
    from analysis.records.collect import export as export_folder

    exported = export_folder(results, out_dir)
    say(exported.warnings)
    for path in exported.paths:
        out.print(shown(path), highlight=False)


@app.command()
@one_line_errors
def table(
    what: Annotated[
        list[str],
        typer.Argument(
            help="Folders that sweeps or searches wrote. First may stand the name of a table of "
            "the paper: nb201, cifar10 or imagenet.",
            metavar="[nb201|cifar10|imagenet] DIR...",
        ),
    ],
    benchmark: Benchmark = None,
    form: Form = None,
    file: Out = None,
) -> None:
    """Mean ± std (n) over seeds, a row a method; or a table of the paper, ours beside it.

    `drnas table DIR` compares the methods of a sweep by the test accuracy of cells trained from
    scratch, or with `--benchmark TABLE` by the benchmark's figures of those cells. Several folders
    are compared as one.

    `drnas table nb201 DIR --benchmark TABLE` prints the paper's NAS-Bench-201 table, every row,
    published and ours; `cifar10` and `imagenet` are its other two. What was not run says so;
    without DIR it is the published figures alone. (A folder of such a name: `./nb201`.)

    CSV and Parquet hold the numbers in full, one row a figure.
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
    say(warnings)
    if name is not None:
        title = f"{published(name).title}: published and ours"
        _give(paper_table(name, runs, known), form, file, title)
    elif runs is not None:
        _give(comparison(runs, known), form, file, "Methods compared")


@app.command()
@one_line_errors
def stats(
    folders: Folders,
    benchmark: Benchmark = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Compare methods two by two over common seeds instead.")
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(help="With --pairs: compare all others with this method alone."),
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
        raise UserError(f"--against {against} compares pairs: add --pairs")
    form = _checked(form, file)
    known = None if benchmark is None else BenchmarkTable.open(benchmark)
    runs, warnings = load_runs(folders)
    say(warnings)
    if pairs:
        made = paired_table(paired(runs, known, against), known)
        _give(made, form, file, "Methods compared over common seeds")
    else:
        _give(statistics_table(statistics(runs, known), known), form, file, "Statistics over seeds")


def _checked(form: Format | None, file: Path | None) -> Format:
    """The format to write. Raises UserError where neither says it, before anything is read."""
    if form is None and file is not None:
        form = _ENDINGS.get(file.suffix.lower())
        if form is None:
            raise UserError(
                f"--out {file}: its ending says no format: use {', '.join(_ENDINGS)} or --format"
            )
    if form is Format.parquet and file is None and sys.stdout.isatty():
        raise UserError("--format parquet is no text: name a file with --out")
    if file is not None and not file.parent.is_dir():
        raise UserError(f"--out {file}: there is no folder {file.parent}")
    return form or Format.text


def _give(made: Table, form: Format, file: Path | None, title: str) -> None:
    """Print the table, or write it to the file. Raises UserError where it can't be written."""
    from analysis.tables import comparison as tables

    if form is Format.text and file is None and sys.stdout.isatty():
        out.print(tables.to_rich(made))
        return
    if form is Format.parquet:
        data = tables.to_parquet(made)
    elif form is Format.html:
        data = tables.to_html_page(made, title).encode()
    else:
        writers = {
            Format.text: tables.to_text,
            Format.markdown: tables.to_markdown,
            Format.csv: tables.to_csv,
            Format.latex: tables.to_latex,
        }
        data = writers[form](made).encode()
    if file is None:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    try:
        write_atomically(file, data)
    except OSError as err:
        raise UserError(f"can't write {file}: {err}") from err
    out.print(str(file), highlight=False)
