"""The cells of a paper table: the published number, and ours beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from analysis.paper.rows import ComparedRow
from analysis.records.benchmark import BenchmarkTable
from analysis.stats.summary import BENCHMARK, RunRow, finite
from analysis.tables.render import Cell
from drnas_ray.benchmarks.published import Column
from drnas_ray.results.status import Status

SECONDS_A_DAY = 86_400
TOP5 = "retrain_test_top5_acc_pct"
"""Used if an export has it; none does yet."""
_FIGURES: Mapping[str, tuple[str, Callable[[float], float]]] = {
    "test_error": ("retrain_test_acc_pct", lambda acc: 100 - acc),
    "top1_error": ("retrain_test_acc_pct", lambda acc: 100 - acc),
    "top5_error": (TOP5, lambda acc: 100 - acc),
    "params_m": ("retrain_params_m", float),
}
"""Key of a published column -> our column, and how its value becomes the published one."""
EMPTY = Cell(missing="")


def _spread(values: Sequence[float], digits: int = 2) -> Cell:
    array = np.asarray(values, np.float64)
    std = float(array.std(ddof=1)) if len(array) > 1 else math.nan
    return Cell(len(array), float(array.mean()), std, digits=digits)


def _digits(value: float) -> int:
    """Decimals that show two significant digits of a small number, six at most."""
    return 2 if value <= 0 else min(6, max(2, 1 - math.floor(math.log10(value))))


def _why_not(run_rows: Sequence[RunRow], done: int, what: str) -> Cell:
    if all(run["status"] == Status.pending for run in run_rows):
        return Cell()
    return Cell(missing=f"0 of {len(run_rows)} {what if done else 'done'}")


def _figure(row: ComparedRow, column: Column, benchmark: BenchmarkTable | None) -> Cell:
    """Ours for a published column, other than search cost."""
    dataset = column.dataset or ""
    run_rows = row.run_rows.get(dataset, ())
    done = row.done(dataset)
    if not run_rows:
        return Cell()
    if column.key in _FIGURES:
        name, turned = _FIGURES[column.key]
        what = "retrained"
    else:  # nb201: looked up in the benchmark, or our own retraining on the test images
        split = column.key.rsplit("_", 1)[1]
        if benchmark is None and split == "valid":
            return Cell(missing="needs --benchmark")
        name = "retrain_test_acc_pct" if benchmark is None else BENCHMARK[split == "test"]
        what, turned = ("retrained" if benchmark is None else "in the benchmark"), float
    if done and all(name not in run for run in run_rows):
        return Cell(missing="not recorded")
    values = [turned(float(value)) for value in finite(done, name)]
    return _spread(values) if values else _why_not(run_rows, len(done), what)


def cost(row: ComparedRow, dataset: str) -> Cell:
    """Mean days of a search on a data set: the seconds its trials took, on their devices."""
    searched = row.searched(dataset)
    values = [float(value) / SECONDS_A_DAY for value in finite(searched, "search_s")]
    if not values:
        return EMPTY
    if len({str(run["device"]).startswith("cpu") for run in searched}) > 1:
        return Cell(missing="CPU and GPU mixed")
    cell = _spread(values)
    return replace(cell, digits=_digits(cell.mean))


def _unit(row: ComparedRow) -> str:
    kinds = {"CPU days" if name.startswith("cpu") else "GPU days" for name in row.devices}
    return " or ".join(sorted(kinds))


def printed(row: ComparedRow, place: int, column: Column) -> Cell:
    """The published number as printed; empty in a row that the paper does not have."""
    if row.published is None:
        return EMPTY
    mark = row.published.cost_mark if column.key == "search_days" else ""
    return Cell(missing=f"{row.published.figures[place].text}{mark}")


def ours(row: ComparedRow, column: Column, benchmark: BenchmarkTable | None) -> Cell:
    """Ours for a column of the paper, or why there is none."""
    if row.published is not None and row.published.label == "optimal":
        if benchmark is None or column.dataset is None:
            return EMPTY
        best = benchmark.best(column.dataset, column.key.rsplit("_", 1)[1])
        # Looked up, not an average over runs: without n.
        return EMPTY if math.isnan(best) else Cell(mean=best, missing=f"{best:.2f}")
    dataset = column.dataset or ""
    if column.key == "search_days" and row.run_rows.get(dataset):
        return cost(row, dataset)
    return _figure(row, column, benchmark)


def where(row: ComparedRow) -> str:
    """`CPU days: model` or `GPU days: name`: the device that the search cost refers to."""
    names = "; ".join(name.removeprefix("cpu (").removesuffix(")") for name in row.devices)
    return f"{_unit(row)}: {names}" if names else ""
