"""Commands that list methods, presets and metrics."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from drnas_ray.cli.common import escaped, one_line_errors, out

app = typer.Typer()


@app.command()
@one_line_errors
def methods(
    name: Annotated[str | None, typer.Argument(help="Show this method's own settings.")] = None,
) -> None:
    """List the search methods, or one method's settings with their defaults.

    Example: `drnas methods pdarts`
    """
    import json

    from drnas_ray.blackbox import BLACKBOX
    from drnas_ray.methods import METHODS
    from drnas_ray.parsing import method_settings

    table = {**METHODS, **BLACKBOX}
    if name is None:
        for known, method in table.items():
            about = (sys.modules[method.__module__].__doc__ or "").splitlines()[0]
            out.print(f"[bold]{known}[/bold]  {escaped(about)}", highlight=False)
        out.print("`drnas methods NAME` shows a method's settings", highlight=False)
        return
    settings = method_settings(name)
    out.print(escaped(type(settings).__doc__ or ""), highlight=False)
    for key, value in settings.model_dump(exclude={"name"}).items():
        out.print(f"method.{key} = {json.dumps(value)}", highlight=False)
    for key, value in settings.shared_defaults.items():
        out.print(f"{key} = {json.dumps(value)}  (its own default)", highlight=False)


@app.command()
@one_line_errors
def presets() -> None:
    """List the sweeps that come with the package; `drnas sweep NAME` runs one."""
    from drnas_ray.sweeps.spec.sweep import presets as known

    for name, text in known().items():
        about = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
        out.print(f"[bold]{name}[/bold]  {escaped(about)}", highlight=False)


@app.command()
@one_line_errors
def metrics(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/metrics.md.")
    ] = False,
) -> None:
    """List the columns of an export, and the metrics that a tuning can optimise."""
    from drnas_ray.results import metrics_page

    if markdown:
        typer.echo(metrics_page.markdown(), nl=False)
        return
    for name, rest in metrics_page.text():
        out.print(f"[bold]{name}[/bold]{escaped(rest)}", highlight=False)
