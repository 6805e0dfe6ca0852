"""drnas tuning: the best points of a tuned sweep, and which setting mattered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from drnas_ray.cli.common import Results, err, escaped, one_line_errors, out, print_warnings

if TYPE_CHECKING:
    from analysis.publish import PublishedTuning

app = typer.Typer()


@app.command()
@one_line_errors
def tuning(
    results: Results,
    most: Annotated[int, typer.Option("--best", min=1, help="How many points to list.")] = 10,
) -> None:
    """List the best points of a sweep with a `search:` section, and which settings matter.

    Also writes best.csv, tuning-parallel and tuning-importance (png) into the folder.
    """
    from analysis.publish import publish_tuning

    found = publish_tuning(results, most)
    print_warnings(found.warnings)
    print_tuning(found)


def print_tuning(found: PublishedTuning) -> None:
    """Print the best points, which settings matter, and the paths of the files."""
    from analysis.tuning.results import tuning_notes

    out.print(_printable(found.best))
    for sentence in tuning_notes(found.tuning):
        out.print(escaped(sentence), highlight=False)
    mattered = found.importance
    if mattered is None:
        err.print(f"no importance: {escaped(found.no_importance)}", highlight=False)
    else:
        shares = ", ".join(f"{key} {share:.2f}" for key, share in mattered.share.items())
        out.print(
            f"importance (1: as much as the objective varies): {shares}; held-out R² of the "
            f"forest {mattered.r2:.2f} over {mattered.points} points",
            highlight=False,
        )
    for name, why in found.drawn.missing.items():
        err.print(f"not drawn: {name}: {escaped(why)}", highlight=False)
    files = [found.best_file, *found.drawn.paths]
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


def print_tuning_plan(tuning: Any) -> None:
    """Print what a tuned sweep would do; for `--dry-run`."""
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
