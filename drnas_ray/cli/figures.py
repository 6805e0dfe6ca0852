"""drnas figure: pictures of what searches left."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from drnas_ray.cli.common import Benchmark, err, escaped, one_line_errors, out, say

app = typer.Typer()


class Picture(StrEnum):
    """What kind of file a figure is."""

    png = "png"
    svg = "svg"
    pdf = "pdf"
    all = "all"


@app.command()
@one_line_errors
def figure(
    name: Annotated[
        str | None, typer.Argument(help="A figure's name, or all. Left out: list them.")
    ] = None,
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders that sweeps or searches wrote.")
    ] = None,
    benchmark: Benchmark = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Where files go; figures in the first folder.")
    ] = None,
    form: Annotated[Picture, typer.Option("--format", help="Kind of file.")] = Picture.png,
) -> None:
    """Draw one figure, or all that the runs allow. Without a name: list the figures.

    `drnas figure trajectory DIR --benchmark TABLE` looks the cells up in a NAS-Bench-201 table.
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
        raise UserError(f"no results folder: drnas figure {name} DIR")
    names = list(FIGURES) if name == "all" else [name]
    target = folders[0] / "figures" if out_dir is None else out_dir
    _draw(names, folders, benchmark, target, form)


def _draw(
    names: list[str], folders: list[Path], benchmark: Path | None, target: Path, form: Picture
) -> None:
    """Draw these; of several, those that can't be drawn are listed with the reason."""
    from analysis.figures.drawing import draw_figures
    from analysis.records.benchmark import BenchmarkTable
    from analysis.records.load import load
    from analysis.style import FORMATS
    from drnas_ray.core.errors import UserError

    known = None if benchmark is None else BenchmarkTable.open(benchmark)
    with err.status("reading the runs") as status:
        data = load(folders)
        say(data.warnings)
        formats = FORMATS if form is Picture.all else (form.value,)
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
