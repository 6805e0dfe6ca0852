"""What the commands share: consoles, options, and one line for every user's error."""

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
            tell(error)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            err.print(
                "stopped; what was done is kept: run again (sweep, search: with --resume) to go on",
                highlight=False,
            )
            raise typer.Exit(130) from None

    return wrapped


def tell(error: UserError) -> None:
    """The error in one line."""
    err.print(f"[red]error:[/red] {escaped(' '.join(str(error).split()))}", highlight=False)


def escaped(text: str) -> str:
    """The text as it is, not read as markup."""
    return text.replace("[", r"\[")


def say(warnings: Iterable[str]) -> None:
    """Warnings for people, on standard error."""
    for warning in warnings:
        err.print(f"note: {escaped(warning)}", highlight=False)
