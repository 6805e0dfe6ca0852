"""drnas tuning: the best points of a tuned sweep, and which setting mattered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from drnas_ray.cli.common import Results, err, escaped, one_line_errors, out, say

app = typer.Typer()


@app.command()
@one_line_errors
def tuning(
    results: Results,
    most: Annotated[int, typer.Option("--best", min=1, help="So many points are listed.")] = 10,
) -> None:
    """The best points of a sweep with a `search:` section, what mattered, and two pictures.

    Also writes best.csv, tuning-parallel and tuning-importance (png) into the folder.
    """
    from analysis.records.collect import collect

    collected = collect(results)
    say(collected.warnings)
    show(results, collected, most)


def wrap_up(folder: Path) -> Any:
    """Export, print the best points, draw, and say where everything lies; the runs."""
    from analysis.records.collect import collect, export

    exported = export(folder)
    say(exported.warnings)
    collected = collect(folder)
    show(folder, collected)
    out.print("Parquet   " + "  ".join(str(path) for path in exported.paths), highlight=False)
    return collected.runs


def show(folder: Path, collected: Any, most: int = 10) -> None:
    """Print the table and write the files. Raises UserError where nothing was tuned."""
    from analysis.tuning.importance import importance
    from analysis.tuning.results import best, tuning_notes, tunings
    from drnas_ray.core.errors import UserError

    found = tunings(collected.runs)
    if not found:
        raise UserError(f"{folder} holds no tuned point: run a sweep with a `search:` section")
    (tuned,) = found
    table = best(tuned, most)
    best(tuned, len(tuned.points)).to_csv(folder / "best.csv", index=False)
    out.print(_printable(table))
    for sentence in tuning_notes(tuned):
        out.print(escaped(sentence), highlight=False)
    try:
        mattered = importance(tuned)
        shares = ", ".join(f"{key} {share:.2f}" for key, share in mattered.share.items())
        out.print(
            f"importance (1: as much as the objective varies): {shares}; held-out R² of the "
            f"forest {mattered.r2:.2f} over {mattered.points} points",
            highlight=False,
        )
    except UserError as error:
        err.print(f"no importance: {escaped(str(error))}", highlight=False)
    pictures = _pictures(folder, collected)
    files = [folder / "best.csv", *pictures]
    out.print("files     " + "  ".join(str(path) for path in files), highlight=False)


def _printable(frame: Any) -> Any:
    from rich.table import Table

    from analysis.tuning.results import value_text

    table = Table()
    for column in frame.columns:
        table.add_column(str(column), justify="right")
    for row in frame.itertuples(index=False):
        table.add_row(*(escaped(value_text(value)) for value in row))
    return table


def _pictures(folder: Path, collected: Any) -> list[Path]:
    from analysis.figures import FIGURES, Missing

    paths = []
    for name in ("tuning-parallel", "tuning-importance"):
        try:
            figure = FIGURES[name].draw(collected, None)
        except Missing as reason:
            err.print(f"not drawn: {name}: {escaped(str(reason))}", highlight=False)
            continue
        aside, path = folder / f".{name}.part", folder / f"{name}.png"
        figure.savefig(aside, format="png", dpi=150, metadata={"Software": None})
        paths.append(aside.replace(path))
    return paths


def list_plan(tuning: Any) -> None:
    """What a tuned sweep would do; for `--dry-run`."""
    spec, sweep = tuning.spec, tuning.sweep
    out.print(f"{tuning.label} on {tuning.tried[0].config.data.label}", highlight=False)
    for dim in tuning.dims:
        out.print(f"  {dim.key}: {escaped(str(dim))}", highlight=False)
    for point in spec.points:
        out.print(f"  starts from {escaped(str(point))}", highlight=False)
    order = "largest" if spec.mode == "max" else "smallest"
    seeds = f"{len(sweep.seeds)} seed" + ("s" if len(sweep.seeds) > 1 else "")
    out.print(
        f"objective: mean over {seeds} of {spec.metric} after the last epoch, {order} is best",
        highlight=False,
    )
    modelled = max(0, spec.trials - max(spec.n_initial_points, len(spec.points)))
    chooser = "" if spec.scheduler == "pbt" else f", {modelled} by HyperOpt's model"
    out.print(
        f"{spec.trials} points: {len(spec.points)} given, random up to "
        f"n_initial_points={spec.n_initial_points}{chooser}; scheduler {spec.scheduler}; "
        f"seed {spec.seed}",
        highlight=False,
    )
    out.print(
        f"at most {spec.trials * len(sweep.seeds)} runs of {tuning.epochs} epochs; nothing was run",
        highlight=False,
    )
