"""Commands that search: demo, sweep, search."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drnas_ray.cli.common import (
    Benchmark,
    DataRoot,
    Seeds,
    Sets,
    err,
    escaped,
    one_line_errors,
    out,
    print_warnings,
)
from drnas_ray.cli.stores import display_path, store_of

if TYPE_CHECKING:
    from analysis.publish import Published
    from analysis.records.collect import Export

app = typer.Typer()


@app.command()
@one_line_errors
def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="Results folder.")] = Path("results/demo"),
    seeds: Seeds = None,
) -> None:
    """DrNAS, DARTS (1st, 2nd order) and uniform cells on real digits: minutes on two cores.

    Searches through Ray Tune, trains the derived cells from scratch, exports Parquet, draws the
    cells and prints the table. Run again, it continues where it stopped.
    """
    from drnas_ray.results.layout import SWEEP_FILE
    from drnas_ray.sweeps.spec.sweep import load_sweep

    sweep = load_sweep("demo", seeds=seeds)
    _sweep(sweep, out_dir, resume=(out_dir / SWEEP_FILE).exists())


@app.command()
@one_line_errors
def sweep(
    source: Annotated[str, typer.Argument(help="A sweep file (YAML), or a preset's name.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Results folder; by default results/NAME.")
    ] = None,
    seeds: Seeds = None,
    sets: Sets = None,
    data_root: DataRoot = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster: auto, or HOST:PORT.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the sweep and list its runs, without running any."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue this sweep in its folder.")
    ] = False,
    benchmark: Benchmark = None,
) -> None:
    """Search every method x data set x grid value x seed of a sweep file through Ray Tune.

    With a `search:` section, HyperOpt chooses settings in place of the grid.

    Example: `drnas sweep nb201-mini --seeds 0:5 --set epochs=10 --out results/mini`
    """
    from drnas_ray.sweeps.spec.sweep import load_sweep

    planned = load_sweep(source, sets or (), seeds)
    if dry_run:
        _print_plan(planned)
        return
    folder = out_dir or Path("results") / planned.name
    _sweep(
        planned, folder, data_root=data_root, address=address, resume=resume, benchmark=benchmark
    )


def _print_plan(planned: Any) -> None:
    from drnas_ray.cli.tuning import print_tuning_plan
    from drnas_ray.sweeps.plan.check import checked_plan
    from drnas_ray.sweeps.tune.plan import plan_tuning

    if planned.search is not None:
        print_tuning_plan(plan_tuning(planned))
        return
    runs = checked_plan(planned)
    for run in runs:
        varied = "".join(f" {key}={value}" for key, value in run.variant.items())
        where = f"{run.config.data.label} · seed {run.config.seed} · {run.epochs} epochs"
        out.print(f"{run.run_id} {run.label}{varied} · {where}", highlight=False)
    retrained = (
        "their cells are trained from scratch" if planned.retrain is not None else "no retraining"
    )
    out.print(f"{len(runs)} runs, {retrained}; nothing was run", highlight=False)


def _sweep(
    planned: Any,
    folder: Path,
    *,
    data_root: Path | None = None,
    address: str | None = None,
    resume: bool = False,
    benchmark: Path | None = None,
) -> None:
    from analysis.publish import publish, publish_tuning, unfinished
    from analysis.records.benchmark import BenchmarkTable
    from analysis.records.collect import export
    from drnas_ray.api import sweeps

    known = (
        None if benchmark is None else BenchmarkTable.open(benchmark)
    )  # a bad table fails before the sweep
    sweeps.run(
        planned,
        folder,
        data_root=data_root,
        address=address,
        resume=resume,
        store=store_of(folder),
    )
    if planned.search is not None:
        from drnas_ray.cli.tuning import print_tuning

        exported = export(folder)
        tuned = publish_tuning(folder)
        runs = tuned.runs
        print_warnings(exported.warnings)
        print_tuning(tuned)
        _print_exported(exported)
    else:
        published = publish(folder, known)
        runs = published.runs
        print_warnings(published.exported.warnings)
        _print_published(published, folder)
    left = unfinished(runs)
    if left is not None:  # tells a script that the table is incomplete
        err.print(escaped(left), highlight=False)
        raise typer.Exit(1)


def _print_published(published: Published, folder: Path) -> None:
    """Print the table and the paths of everything written."""
    from analysis.tables.render import to_rich

    out.print(to_rich(published.table))
    _print_exported(published.exported)
    out.print("table     " + "  ".join(map(display_path, published.tables)), highlight=False)
    out.print(
        f"pictures  {display_path(folder / 'cells')} ({len(published.pictures)} files)",
        highlight=False,
    )


def _print_exported(exported: Export) -> None:
    out.print("Parquet   " + "  ".join(map(display_path, exported.paths)), highlight=False)


@app.command()
@one_line_errors
def search(
    method: Annotated[str, typer.Argument(help="A method's name; `drnas methods` lists them.")],
    dataset: Annotated[str, typer.Option(help="A data set's name.")] = "digits",
    seed: Annotated[int, typer.Option(help="The run's seed.")] = 0,
    sets: Sets = None,
    out_dir: Annotated[
        Path | None,
        typer.Option("--out", help="Results folder; by default results/METHOD-DATASET-sSEED."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    data_root: DataRoot = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue this run in its folder.")
    ] = False,
) -> None:
    """Run one search in this process, without Ray. Its folder is like a sweep's.

    Example: `drnas search gdas --seed 1 --set epochs=10 --out results/gdas`
    """
    from drnas_ray.config import merged, validated
    from drnas_ray.config.overrides import parse_overrides
    from drnas_ray.sweeps.local import run_search
    from drnas_ray.sweeps.spec.sweep import SweepConfig

    name = f"{method}-{dataset}-s{seed}"
    base = {
        "name": "search",
        "methods": [method],
        "datasets": [dataset],
        "seeds": [seed],
        "resources": {"cpu": threads},
    }
    planned = validated(
        SweepConfig, merged(base, parse_overrides(sets or (), SweepConfig.model_fields))
    )
    folder = out_dir or Path("results") / name
    record = run_search(planned, folder, data_root=data_root, resume=resume, report=_report_epoch)
    out.print(f"{record['status']}: {record['genotype']}", highlight=False)
    out.print(f"results: {folder}; `drnas export {folder}` writes them as Parquet", highlight=False)


def _report_epoch(record: dict[str, Any], epochs: int) -> None:
    text = f"epoch {record['epoch']}/{epochs}"
    if "val_mean_acc_pct" in record:
        found = record["genotype"] or "nothing ranked yet"
        text += (
            f" · train {record['train_acc_pct']:.2f} % · val {record['val_acc_pct']:.2f} % drawn, "
            f"{record['val_mean_acc_pct']:.2f} % at the mean · {found}"
        )
    left = record["wall_s"] * (epochs - record["epoch"])
    err.print(f"{text} · about {left:.0f} s left", highlight=False)
