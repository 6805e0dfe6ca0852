"""drnas status: the progress of a sweep."""

from __future__ import annotations

import math
import sys
from typing import Annotated, Any

import typer

from drnas_ray.cli.common import Results, escaped, one_line_errors, out, print_warnings

app = typer.Typer()


@app.command()
@one_line_errors
def status(
    results: Results,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a sweep's progress, while it runs or after it died: done, failed, time left."""
    import json

    from analysis.progress.gpu_share import gpu_shares
    from analysis.progress.plain import as_plain
    from analysis.progress.status import sweep_progress
    from analysis.records.collect import collect

    collected = collect(results)
    found = sweep_progress(collected)
    shares = gpu_shares(collected)
    if as_json:
        sys.stdout.write(json.dumps(as_plain(found, shares, collected.warnings)) + "\n")
        return
    out.print(_progress(found))
    _print_state(found)
    for gpu in shares:
        out.print(_share(gpu), highlight=False)
    print_warnings(collected.warnings)


def _progress(found: Any) -> Any:
    from rich.table import Table as Printed

    from drnas_ray.results.status import Status

    # Only statuses that occur: with all of them, names would not fit into 80 columns.
    rows = found.groups.to_dict("records")
    statuses = [status for status in Status if any(row[status] for row in rows)]
    table = Printed("", "", "data set")
    for heading in (*statuses, "epochs"):
        table.add_column(heading, no_wrap=True)
    table.add_column("trial time left")
    for row in rows:
        left = "unknown" if math.isnan(row["left_s"]) else _time(row["left_s"])
        counts = (str(row[status] or "") for status in statuses)
        epochs = f"{row['epochs']}/{row['epochs_total']}"
        table.add_row(row["work"], escaped(row["label"]), row["dataset"], *counts, epochs, left)
    return table


def _print_state(found: Any) -> None:
    if math.isnan(found.quiet_s):
        out.print("nothing has reported yet", highlight=False)
    elif found.running:
        word = "running" if found.alive else "begun but silent: stopped or dead?"
        left = "" if math.isnan(found.left_s) else f", about {_time(found.left_s)} left"
        out.print(
            f"{found.running} trials {word}; the last report was {_time(found.quiet_s)} ago"
            f"{left if found.alive else ''}",
            highlight=False,
        )
        if not found.alive:
            out.print("`drnas sweep ... --resume` continues where it stopped", highlight=False)
    for error in found.errors[:5]:
        out.print(f"failed: {escaped(error)}", highlight=False)
    if len(found.errors) > 5:
        out.print(f"and {len(found.errors) - 5} more failures", highlight=False)


def _share(gpu: Any) -> str:
    took = (
        f"{escaped(gpu.device)}: a trial used at most {gpu.peak_mib / 1024:.1f} "
        f"of {gpu.total_mib / 1024:.1f} GiB"
    )
    if not gpu.fit:
        return f"{took}: nearly all of it, so one at a time (resources.gpu=1)"
    return f"{took}: {gpu.fit} fit at once (resources.gpu={gpu.share:g})"


def _time(seconds: float) -> str:
    from drnas_ray.core.durations import duration

    return duration(seconds)
