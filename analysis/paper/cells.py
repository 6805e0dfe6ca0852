"""The cells of a paper table: what is printed, and the figure of ours that stands beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from analysis.paper.rows import Line
from analysis.records.benchmark import BenchmarkTable
from analysis.stats.summary import BENCHMARK, RunRow, finite
from analysis.tables.render import Cell
from drnas_ray.benchmarks.published import Column

SECONDS_A_DAY = 86_400
TOP5 = "retrain_test_top5_acc_pct"
"""Read where an export has it; none does yet."""
_FIGURES: Mapping[str, tuple[str, Callable[[float], float]]] = {
    "test_error": ("retrain_test_acc_pct", lambda acc: 100 - acc),
    "top1_error": ("retrain_test_acc_pct", lambda acc: 100 - acc),
    "top5_error": (TOP5, lambda acc: 100 - acc),
    "params_m": ("retrain_params_m", float),
}
"""Key of a published column, to our column and how it becomes the published figure."""
EMPTY = Cell(missing="")


def _spread(values: Sequence[float], digits: int = 2) -> Cell:
    array = np.asarray(values, np.float64)
    std = float(array.std(ddof=1)) if len(array) > 1 else math.nan
    return Cell(len(array), float(array.mean()), std, digits=digits)


def _digits(value: float) -> int:
    """Decimals that leave two significant digits of a small number, six at most: 0.1 s."""
    return 2 if value <= 0 else min(6, max(2, 1 - math.floor(math.log10(value))))


def _why_not(records: Sequence[RunRow], done: int, what: str) -> Cell:
    if all(record["status"] == "pending" for record in records):
        return Cell()
    return Cell(missing=f"0 of {len(records)} {what if done else 'done'}")


def _figure(line: Line, column: Column, benchmark: BenchmarkTable | None) -> Cell:
    """Ours for a published column; cost and words have functions of their own."""
    dataset = column.dataset or ""
    records = line.records.get(dataset, ())
    done = line.done(dataset)
    if not records:
        return Cell()
    if column.key in _FIGURES:
        name, turned = _FIGURES[column.key]
        what = "retrained"
    else:  # nb201: a figure of the benchmark, or of our own training on the test images
        split = column.key.rsplit("_", 1)[1]
        if benchmark is None and split == "valid":
            return Cell(missing="needs --benchmark")
        name = "retrain_test_acc_pct" if benchmark is None else BENCHMARK[split == "test"]
        what, turned = ("retrained" if benchmark is None else "in the benchmark"), float
    if done and all(name not in record for record in records):
        return Cell(missing="not recorded")
    values = [turned(float(value)) for value in finite(done, name)]
    return _spread(values) if values else _why_not(records, len(done), what)


def cost(line: Line, dataset: str) -> Cell:
    """Mean days of a search on a data set: the trials' own seconds, on the devices named."""
    searched = line.searched(dataset)
    values = [float(value) / SECONDS_A_DAY for value in finite(searched, "search_s")]
    if not values:
        return EMPTY
    if len({str(record["device"]).startswith("cpu") for record in searched}) > 1:
        return Cell(missing="CPU and GPU mixed")
    cell = _spread(values)
    return replace(cell, digits=_digits(cell.mean))


def _unit(line: Line) -> str:
    kinds = {"CPU days" if name.startswith("cpu") else "GPU days" for name in line.devices}
    return " or ".join(sorted(kinds))


def printed(line: Line, place: int, column: Column) -> Cell:
    """The published figure, as printed; nothing in a row that the paper lacks."""
    if line.row is None:
        return EMPTY
    mark = line.row.cost_mark if column.key == "search_days" else ""
    return Cell(missing=f"{line.row.figures[place].text}{mark}")


def ours(line: Line, column: Column, benchmark: BenchmarkTable | None) -> Cell:
    """Our figure for a column of the paper, or why there is none."""
    if line.row is not None and line.row.label == "optimal":
        if benchmark is None or column.dataset is None:
            return EMPTY
        best = benchmark.best(column.dataset, column.key.rsplit("_", 1)[1])
        # Read off, so there is no n to give.
        return EMPTY if math.isnan(best) else Cell(mean=best, missing=f"{best:.2f}")
    dataset = column.dataset or ""
    if column.key == "search_days" and line.records.get(dataset):
        return cost(line, dataset)
    return _figure(line, column, benchmark)


def where(line: Line) -> str:
    """`CPU days: model` or `GPU days: name`: what a day of its search cost is a day of."""
    names = "; ".join(name.removeprefix("cpu (").removesuffix(")") for name in line.devices)
    return f"{_unit(line)}: {names}" if names else ""
