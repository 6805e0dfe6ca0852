"""One row of numbers per method and data set: what the tables print.

A group is the runs of one (protocol, label, variant, data set), and without a benchmark of one
length of retraining. Protocols and recipes are never averaged together. Only done runs count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.cells.collapse import output_kind
from analysis.records.benchmark import BenchmarkTable
from drnas_ray.core.errors import UserError
from drnas_ray.results.status import BEST_FIRST, Status

RETRAINED = ("retrain_test_acc_pct",)
BENCHMARK = ("bench_valid_acc_pct", "bench_test_acc_pct")
STATISTICS = ("n", "mean", "std", "median", "best")
"""Each metric has a column `{metric}_{statistic}`; std is the sample's (ddof 1), null if n = 1."""

RunRow = dict[str, Any]
"""A run as column -> value, None where a value is missing; also a row that sums up several runs."""


@dataclass(frozen=True)
class Group:
    """What the runs of one summary row have in common."""

    protocol: str
    label: str
    variant: str
    dataset: str
    retrain_epochs: int | None


def metrics(benchmark: BenchmarkTable | None) -> tuple[str, ...]:
    """The metrics in the tables: of retrainings, or of the benchmark."""
    return RETRAINED if benchmark is None else BENCHMARK


def joined(runs: pd.DataFrame, benchmark: BenchmarkTable | None) -> list[RunRow]:
    """A row per run; with a benchmark, done runs get its accuracies.

    A run of protocol transfer has a row for each data set on which its cell is looked up, as
    `dataset`; `searched_on` is the data set it was searched on. `data_name` is the bare name of the
    data set. If transfers start from several data sets, each is a protocol: `transfer from
    cifar10`. Raises UserError as `summary` does.
    """
    run_rows = [
        run
        | {
            "searched_on": run["dataset"],
            "data_name": json.loads(run["config"])["data"]["name"],
        }
        for run in _run_rows(runs)
    ]
    if benchmark is not None:
        run_rows = _transferred(run_rows, benchmark)
        _look_up(run_rows, benchmark)
    return run_rows


def _run_rows(runs: pd.DataFrame) -> list[RunRow]:
    """The runs as plain values, None where a value is missing."""
    if runs.empty:
        raise UserError("no runs to summarise: the sweep lists none")
    # By columns: half the time of pandas' to_dict, which looks at every value's type.
    columns = [series.astype(object).where(series.notna(), None) for _, series in runs.items()]
    names = [str(name) for name in runs.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _transferred(run_rows: Sequence[RunRow], benchmark: BenchmarkTable) -> list[RunRow]:
    """The rows; those of protocol transfer once for each data set of the benchmark."""
    sources = {run["dataset"] for run in run_rows if run["protocol"] == "transfer"}
    result = []
    for run in run_rows:
        if run["protocol"] != "transfer":
            result.append(run)
            continue
        protocol = f"transfer from {run['dataset']}" if len(sources) > 1 else "transfer"
        result += [
            run | {"protocol": protocol, "dataset": name, "data_name": name}
            for name in benchmark.datasets
        ]
    return result


def _look_up(run_rows: Sequence[RunRow], benchmark: BenchmarkTable) -> None:
    """Add the benchmark's accuracies to the rows of done runs."""
    done = [run for run in run_rows if run["status"] == Status.done and run["genotype"]]
    known = {run["data_name"] for run in run_rows} & set(benchmark.datasets)
    # If the benchmark has none of the sweep's data sets, `lookup` raises: it is the wrong table or
    # the wrong sweep. If it has some, the others get no accuracy, and the table shows that.
    for dataset in sorted(known or {run["data_name"] for run in run_rows}):
        here = [run for run in done if run["data_name"] == dataset]
        cells = [run["genotype"] for run in here]
        for metric, split in zip(BENCHMARK, ("valid", "test"), strict=True):
            values = benchmark.lookup(cells, dataset, split)
            for run, value in zip(here, values, strict=True):
                run[metric] = float(value)


def grouped(
    run_rows: Sequence[RunRow], benchmark: BenchmarkTable | None
) -> dict[Group, list[RunRow]]:
    """The rows by group, in order of first appearance."""
    split_recipes = benchmark is None and len(recipe_epochs(run_rows)) > 1
    groups: dict[Group, list[RunRow]] = {}
    for run in run_rows:
        recipe = run["retrain_epochs"] if split_recipes else None
        names = ("protocol", "label", "variant", "dataset")
        group = Group(**{name: run[name] for name in names}, retrain_epochs=recipe)
        groups.setdefault(group, []).append(run)
    return groups


def finite(done: Sequence[RunRow], metric: str) -> NDArray[np.float64]:
    """(n,): the metric's finite values, of the n runs that have one."""
    values = np.array([run[metric] for run in done if run.get(metric) is not None], np.float64)
    return values[np.isfinite(values)]


def _statistics(metric: str, done: Sequence[RunRow]) -> RunRow:
    values = finite(done, metric)
    n = len(values)
    return {
        f"{metric}_n": n,
        f"{metric}_mean": values.mean() if n else np.nan,
        f"{metric}_std": values.std(ddof=1) if n > 1 else np.nan,
        f"{metric}_median": np.median(values) if n else np.nan,
        f"{metric}_best": values.max() if n else np.nan,
    }


def _mean(done: Sequence[RunRow], column: str) -> float:
    values = [float(run[column]) for run in done if run[column] is not None]
    return float(np.mean(values)) if values else np.nan


def _row(group: Group, run_rows: Sequence[RunRow], names: Sequence[str]) -> RunRow:
    statuses = [run["status"] for run in run_rows]
    done = [run for run in run_rows if run["status"] == Status.done]
    cells = [run for run in done if run["canonical"] is not None]
    row: RunRow = {
        **vars(group),
        "n_runs": len(run_rows),
        **{f"n_{status}": statuses.count(status) for status in BEST_FIRST},
        "n_seeds": len({run["seed"] for run in done}),
        "n_cells": len({run["canonical"] for run in cells}),
        "n_collapsed": sum(output_kind(run["space"], run["canonical"]).collapsed for run in cells),
        "skip_count_mean": _mean(done, "skip_count"),
        "search_s_mean": _mean(done, "search_s"),
    }
    for metric in names:
        row |= _statistics(metric, done)
    return row


def summary(runs: pd.DataFrame, benchmark: BenchmarkTable | None = None) -> pd.DataFrame:
    """One row per (protocol, label, variant, data set), in order of first appearance.

    Columns: protocol, label, variant (JSON), dataset, retrain_epochs (null if all runs share one
    recipe, or with a benchmark); n_runs and n_{status} for each `Status`; of the done runs
    n_seeds, n_cells (distinct canonical cells), n_collapsed (`analysis.cells.collapse`),
    skip_count_mean, search_s_mean; and `STATISTICS` of each metric in percent:
    retrain_test_acc_pct, or with a benchmark bench_valid_acc_pct and bench_test_acc_pct.

    Runs of protocol transfer are looked up on, and count for, every data set of the benchmark.

    runs: as `collect` or `read_runs` returns them. Raises UserError if there are none, or if the
    benchmark lacks a data set or a cell.
    """
    return summarised(grouped(joined(runs, benchmark), benchmark), benchmark)


def summarised(
    groups: Mapping[Group, Sequence[RunRow]], benchmark: BenchmarkTable | None
) -> pd.DataFrame:
    """`summary` of runs that are already joined and grouped."""
    rows = [_row(group, members, metrics(benchmark)) for group, members in groups.items()]
    frame = pd.DataFrame(rows)
    frame["retrain_epochs"] = frame["retrain_epochs"].astype("Int64")
    return frame


def recipe_epochs(run_rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """The distinct lengths of retrainings, in epochs, ascending."""
    found = {run["retrain_epochs"] for run in run_rows}
    return sorted(int(epochs) for epochs in found if epochs is not None and not pd.isna(epochs))
