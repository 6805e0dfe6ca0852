"""Commands about cluster files: drnas cluster check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from drnas_ray.cli.common import Seeds, Sets, err, escaped, one_line_errors, out

app = typer.Typer(no_args_is_help=True, help="Cluster files for `ray up` and KubeRay: check, cost.")


@app.callback()
def cluster() -> None:
    """Cluster files for `ray up` and KubeRay: check, cost."""


@app.command("check")
@one_line_errors
def cluster_check(
    path: Annotated[Path, typer.Argument(help="cluster.yaml, or a file of clusters/.")],
    ready: Annotated[
        bool, typer.Option("--ready", help="Also refuse what is still to fill in or to make.")
    ] = False,
    estimate: Annotated[
        str | None, typer.Option(help="Also say what this sweep (a preset or a file) will take.")
    ] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option(help="Results folder whose epochs give the step times; repeatable."),
    ] = None,
    gpu_hours: Annotated[
        float | None, typer.Option(min=0, help="Refuse a sweep that takes more GPU hours.")
    ] = None,
    node: Annotated[
        str | None, typer.Option(help="CPUs,GPUs of a worker, where the file doesn't say: 8,1.")
    ] = None,
    seeds: Seeds = None,
    sets: Sets = None,
) -> None:
    """Find what is wrong with a cluster file before machines are started and paid for.

    Knows `ray up` files for AWS and for your own machines, and KubeRay's. Every problem is one
    line; exit code 2 if there is any. With --estimate it also says what a sweep takes there: trials
    and epochs from its plan, hours only from epochs that were measured.
    """
    from drnas_ray.cluster import Level, check
    from drnas_ray.core.errors import UserError

    found = check(path)
    problems = [str(one) for one in found if one.level is Level.problem]
    problems = problems or _ray_says(path)
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
        raise UserError(f"{path}: {wrong} to put right before the cluster can start")
    left = f", to fill in or to make first: {len(todos)} (--ready refuses them)"
    out.print(f"{path}: no problems{left if todos else ''}", highlight=False)
    if estimate is not None:
        _estimate(path, estimate, measured or [], gpu_hours, node, seeds, sets)


def _ray_says(path: Path) -> list[str]:
    """What Ray's own check would refuse, where Ray reads the file at all."""
    from drnas_ray.cluster.read import Kind, kind_of, read
    from drnas_ray.sweeps.ray_tune.launch_schema import ray_complaint

    documents = read(path)
    if kind_of(documents, path) is Kind.kuberay:
        return []
    complaint = ray_complaint(documents[0])
    return [] if complaint is None else [f"Ray's own check: {complaint}"]


def _estimate(
    path: Path,
    source: str,
    measured: list[Path],
    limit: float | None,
    node: str | None,
    seeds: str | None,
    sets: list[str] | None,
) -> None:
    from analysis.progress.epoch_times import epoch_times
    from drnas_ray.core.errors import UserError
    from drnas_ray.sweeps.plan.estimate import Measured, Pace, estimate
    from drnas_ray.sweeps.spec.sweep import load_sweep
    from drnas_ray.sweeps.sweep import checked_plan

    sweep = load_sweep(source, sets or (), seeds)
    known = [
        Measured(one.config, Pace(one.epoch_s, one.device, one.on_gpu))
        for folder in measured
        for one in epoch_times(folder)
    ]
    result = estimate(sweep, checked_plan(sweep), known)
    _print_lines(result)
    _print_hours(result, path, node)
    if limit is None:
        return
    if result.gpu_hours is None:
        raise UserError(f"--gpu-hours {limit:g}: not every row was measured on a GPU")
    if result.gpu_hours > limit:
        raise UserError(f"{sweep.name} takes {result.gpu_hours:.1f} GPU hours, above {limit:g}")


def _print_lines(result: Any) -> None:
    from rich.table import Table

    table = Table("row", "data set", "trials", "epochs", "s an epoch", "hours", "measured on")
    for line in result.lines:
        pace, hours = line.pace, line.seconds
        table.add_row(
            escaped(line.label),
            escaped(line.dataset),
            f"{line.runs:,}",
            f"{line.epochs:,}",
            "not measured" if pace is None else f"{pace.epoch_s:.3g}",
            "" if hours is None else f"{hours / 3600:.2f}",
            "" if pace is None else escaped(pace.device),
        )
    out.print(table)


def _print_hours(result: Any, path: Path, node: str | None) -> None:
    """Totals: trials, hours of GPUs or of trials, places on the cluster, time on the clock."""
    out.print(
        f"{result.trials:,} trials (trainings from scratch: at most), "
        f"{sum(line.epochs for line in result.lines):,} epochs",
        highlight=False,
    )
    if result.unmeasured:
        rows = ", ".join(sorted({line.label for line in result.unmeasured}))
        out.print(
            f"no hours for: {escaped(rows)}: no measured epoch has their settings. Run the sweep "
            "with one seed and few epochs where it will run, and give its folder to --measured",
            highlight=False,
        )
    if result.gpu_hours is not None:
        out.print(f"{result.gpu_hours:.1f} GPU hours", highlight=False)
    elif result.trial_hours:
        out.print(
            f"{result.trial_hours:.2f} hours of the measured rows, one trial after another, on the "
            "machines that they were measured on; on another device they differ",
            highlight=False,
        )
    _print_wall(result, path, node)


def _print_wall(result: Any, path: Path, node: str | None) -> None:
    from drnas_ray.core.errors import UserError

    asked = result.resources
    slots = 0
    for group in _workers(path, node):
        places = group.slots(asked.cpu, asked.gpu if group.gpus else 0)
        has = f"{group.cpus:g} CPUs, {group.gpus or 0:g} GPUs" if group.cpus else "size not known"
        out.print(f"nodes: up to {group.most} '{group.name}' ({has})", highlight=False)
        if places is None:
            out.print("give --node CPUS,GPUS for the time on the clock", highlight=False)
            return
        slots += places
    if slots == 0:
        raise UserError(
            f"a trial asks for {asked.cpu:g} CPUs and {asked.gpu:g} GPUs, which no worker of "
            f"{path} has: lower resources"
        )
    wall = result.wall_hours(slots)
    at_once = min(slots, result.max_concurrent or slots)
    clock = "" if wall is None else f", {wall:.2f} hours on the clock once all nodes are up"
    out.print(f"{at_once} trials at once{clock}", highlight=False)


def _workers(path: Path, node: str | None) -> list[Any]:
    from dataclasses import replace

    from drnas_ray.cluster.capacity import workers
    from drnas_ray.core.errors import UserError

    found = workers(path)
    if node is None:
        return found
    try:
        cpus, gpus = (float(part) for part in node.split(","))
    except ValueError:
        raise UserError(f"--node {node}: write CPUs,GPUs of one worker, such as 8,1") from None
    return [one if one.cpus is not None else replace(one, cpus=cpus, gpus=gpus) for one in found]
