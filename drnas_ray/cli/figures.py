"""drnas figure: figures of searches and tunings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from drnas_ray.cli.common import Benchmark, err, escaped, one_line_errors, out, print_warnings

app = typer.Typer()


class FigureFormat(StrEnum):
    """File format of a figure."""

    png = "png"
    svg = "svg"
    pdf = "pdf"
    all = "all"


@app.command()
@one_line_errors
def figure(
    name: Annotated[
        str | None, typer.Argument(help="A figure's name, or all; without one, figures are listed.")
    ] = None,
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Results folders of sweeps or searches.")
    ] = None,
    benchmark: Benchmark = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write to; by default `figures` in the first DIR."),
    ] = None,
    form: Annotated[FigureFormat, typer.Option("--format", help="File format.")] = FigureFormat.png,
) -> None:
    """Draw one figure, or all that the runs allow; without a name, list the figures.

    Example: `drnas figure trajectory results/demo --benchmark nb201.parquet`
    """
    from analysis.figures import FIGURES
    from drnas_ray.core.errors import UserError, unknown_name

    if name is None:
        for kind in FIGURES.values():
            out.print(f"[bold]{kind.name}[/bold]  {escaped(kind.about)}", highlight=False)
        out.print("`drnas figure NAME DIR...` draws one, `drnas figure all DIR...` all of them")
        return
    if name != "all" and name not in FIGURES:
        raise unknown_name("figure", name, [*FIGURES, "all"])
    if not folders:
        raise UserError(f"no results folder for figure {name}: drnas figure {name} DIR")
    names = list(FIGURES) if name == "all" else [name]
    target = folders[0] / "figures" if out_dir is None else out_dir
    _draw(names, folders, benchmark, target, form)


def _draw(
    names: list[str], folders: list[Path], benchmark: Path | None, target: Path, form: FigureFormat
) -> None:
    """Draw the figures; if there are several, list those that can't be drawn, with the reason."""
    from analysis.figures.drawing import draw_figures
    from analysis.records.benchmark import BenchmarkTable
    from analysis.records.load import load
    from analysis.style import FORMATS
    from drnas_ray.core.errors import UserError

    known = None if benchmark is None else BenchmarkTable.open(benchmark)
    with err.status("reading the runs") as status:
        data = load(folders)
        print_warnings(data.warnings)
        formats = FORMATS if form is FigureFormat.all else (form.value,)
        drawn = draw_figures(
            names,
            data,
            known,
            target,
            formats=formats,
            progress=lambda name: status.update(f"drawing {name}"),
        )
    for path in drawn.paths:
        out.print(str(path), highlight=False)
    if drawn.missing and len(names) == 1:
        raise UserError(f"no figure {names[0]}: {drawn.missing[names[0]]}")
    for name, why in drawn.missing.items():
        err.print(f"not drawn: {name}: {escaped(why)}", highlight=False)
