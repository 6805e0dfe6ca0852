"""Commands about cluster files: drnas cluster check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from drnas_ray.cli.common import Seeds, Sets, err, escaped, one_line_errors, out

app = typer.Typer(no_args_is_help=True, help="Check cluster files and estimate sweeps.")


@app.callback()
def cluster() -> None:
    """Check cluster files for `ray up` and KubeRay, and estimate what a sweep takes."""


@app.command("check")
@one_line_errors
def cluster_check(
    path: Annotated[Path, typer.Argument(help="cluster.yaml, or a file of clusters/.")],
    ready: Annotated[
        bool, typer.Option("--ready", help="Also refuse what is still to be filled in or created.")
    ] = False,
    estimate: Annotated[
        str | None, typer.Option(help="Also estimate what this sweep (a preset or a file) takes.")
    ] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(help="Results folder with measured epoch times; repeatable."),
    ] = None,
    gpu_hours: Annotated[
        float | None,
        typer.Option(min=0, help="Refuse a sweep that takes more GPU hours than this."),
    ] = None,
    node: Annotated[
        str | None, typer.Option(help="CPUs,GPUs per worker, if the file doesn't say: 8,1.")
    ] = None,
    seeds: Seeds = None,
    sets: Sets = None,
) -> None:
    """Find what is wrong with a cluster file before machines are started and paid for.

    Checks files of `ray up` (AWS or your own machines) and of KubeRay. Every problem is one line,
    and the exit code is 2 if there are any. --estimate adds what a sweep takes there: trials and
    epochs from its plan, hours only from measured epochs.

    Example: `drnas cluster check cluster.yaml --estimate demo --measured results/demo`
    """
    from drnas_ray.cluster import Level, check
    from drnas_ray.core.errors import UserError

    found = check(path)
    problems = [str(one) for one in found if one.level is Level.problem]
    todos = [str(one) for one in found if one.level is Level.todo]
    for line in problems + (todos if ready else []):
        err.print(f"[red]problem:[/red] {escaped(line)}", highlight=False)
    for line in [] if ready else todos:
        err.print(f"to do: {escaped(line)}", highlight=False)
    for one in found:
        if one.level is Level.note:
            err.print(f"note: {escaped(str(one))}", highlight=False)
    wrong = len(problems) + (len(todos) if ready else 0)
    if wrong:
        raise UserError(f"{path}: {wrong} to fix before the cluster can start")
    left = f"; still to fill in or create: {len(todos)} (--ready refuses them)"
    out.print(f"{path}: no problems{left if todos else ''}", highlight=False)
    if estimate is not None:
        _estimate(path, estimate, measured or [], gpu_hours, node, seeds, sets)


def _estimate(
    path: Path,
    source: str,
    measured: list[Path],
    limit: float | None,
    node: str | None,
    seeds: str | None,
    sets: list[str] | None,
) -> None:
    from drnas_ray.api import estimates
    from drnas_ray.sweeps.spec.sweep import load_sweep

    sweep = load_sweep(source, sets or (), seeds)
    result = estimates.estimate(sweep, measured)
    _print_rows(result)
    _print_hours(result, path, node)
    if limit is not None:
        estimates.check_gpu_hours(result, sweep.name, limit)


def _print_rows(result: Any) -> None:
    from rich.table import Table

    table = Table("row", "data set", "trials", "epochs", "s per epoch", "hours", "measured on")
    for row in result.rows:
        time, hours = row.epoch_time, row.seconds
        table.add_row(
            escaped(row.label),
            escaped(row.dataset),
            f"{row.runs:,}",
            f"{row.epochs:,}",
            "not measured" if time is None else f"{time.epoch_s:.3g}",
            "" if hours is None else f"{hours / 3600:.2f}",
            "" if time is None else escaped(time.devices),
        )
    out.print(table)


def _print_hours(result: Any, path: Path, node: str | None) -> None:
    """Totals: trials, GPU hours or trial hours, trials at once, wall-clock time."""
    out.print(
        f"{result.trials:,} trials (trainings from scratch: an upper bound), "
        f"{sum(row.epochs for row in result.rows):,} epochs",
        highlight=False,
    )
    if result.unmeasured:
        rows = ", ".join(sorted({row.label for row in result.unmeasured}))
        out.print(
            f"no hours for {escaped(rows)}: no measured epoch has their settings. Run the sweep "
            "with one seed and few epochs on such a machine, and give its folder to --measured",
            highlight=False,
        )
    if result.gpu_hours is not None:
        out.print(f"{result.gpu_hours:.1f} GPU hours", highlight=False)
    elif result.trial_hours:
        out.print(
            f"{result.trial_hours:.2f} hours for the measured rows, one trial after another, on "
            "the devices that they were measured on",
            highlight=False,
        )
    _print_wall(result, path, node)


def _print_wall(result: Any, path: Path, node: str | None) -> None:
    from drnas_ray.api.estimates import places_on

    places = places_on(path, result.resources, node)
    for group in places.workers:
        has = f"{group.cpus:g} CPUs, {group.gpus or 0:g} GPUs" if group.cpus else "size unknown"
        out.print(f"nodes: up to {group.most} '{group.name}' ({has})", highlight=False)
    if places.at_once is None:
        out.print("give --node CPUS,GPUS for the wall-clock time", highlight=False)
        return
    wall = result.wall_hours(places.at_once)
    at_once = min(places.at_once, result.max_concurrent or places.at_once)
    clock = "" if wall is None else f", {wall:.2f} hours of wall-clock time once all nodes are up"
    out.print(f"{at_once} trials at once{clock}", highlight=False)
