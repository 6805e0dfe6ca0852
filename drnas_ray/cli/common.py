"""What all commands share: consoles, options, one-line errors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from rich.console import Console

from drnas_ray.core.errors import UserError

P = ParamSpec("P")

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

Results = Annotated[Path, typer.Argument(help="A folder that a sweep or a search wrote.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a setting, such as arch.lr=0.01; repeatable."),
]
Seeds = Annotated[str | None, typer.Option(help="0:10 for seeds 0 to 9, or a list: 1,5,7.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="DRNAS_DATA_ROOT", help="Folder of the data sets, and for downloads."),
]
Benchmark = Annotated[
    Path | None,
    typer.Option(help="Look cells up in this NAS-Bench-201 table (Parquet)."),
]


def one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Decorator: bad input ends in one line on standard error and exit code 2."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            print_error(error)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            err.print(
                "stopped; finished work is kept: run again to continue (sweep, search: --resume)",
                highlight=False,
            )
            raise typer.Exit(130) from None

    return wrapped


def print_error(error: UserError) -> None:
    """Print the error in one line."""
    err.print(f"[red]error:[/red] {escaped(' '.join(str(error).split()))}", highlight=False)


def escaped(text: str) -> str:
    """The text with its brackets escaped, so that rich does not read them as markup."""
    return text.replace("[", r"\[")


def print_warnings(warnings: Iterable[str]) -> None:
    """Print warnings on standard error."""
    for warning in warnings:
        err.print(f"note: {escaped(warning)}", highlight=False)
