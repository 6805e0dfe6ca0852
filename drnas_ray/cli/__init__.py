"""The command line, which brings searches, sweeps and analysis together."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from drnas_ray import __version__
from drnas_ray.cli import (
    bench,
    cluster,
    derive,
    figures,
    lists,
    report,
    results,
    runs,
    status,
    tuning,
)
from drnas_ray.cli.common import out, print_error
from drnas_ray.cli.stores import local_copies
from drnas_ray.core.errors import UserError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Architecture search as Ray Tune sweeps: many methods, many seeds, one table.\n\n"
    "Start with `drnas demo`. `drnas COMMAND --help` explains each command.",
)
for part in (runs, status, results, figures, derive, report, tuning, lists):
    app.add_typer(part.app)
app.add_typer(bench.app, name="bench")
app.add_typer(cluster.app, name="cluster")


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Print the version."""
    if show:
        out.print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    try:
        with local_copies(sys.argv[1:]) as args:
            app(args)
    except UserError as error:
        print_error(error)
        sys.exit(2)
