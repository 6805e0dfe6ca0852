"""Statistics and paired comparisons as readable tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.records.benchmark import BenchmarkTable
from analysis.records.labels import full_label
from analysis.stats.statistics import CONFIDENCE, RESAMPLES
from analysis.tables.render import Cell, Table

_METRIC = {
    "retrain_test_acc_pct": "test, retrained",
    "bench_valid_acc_pct": "valid",
    "bench_test_acc_pct": "test",
}


def _number(value: float, digits: int = 2) -> Cell:
    return Cell(missing="" if math.isnan(value) else f"{value:.{digits}f}")


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _place(row: Mapping[str, Any]) -> list[Cell]:
    """Protocol, data set and metric."""
    metric = _METRIC[row["metric"]]
    if not pd.isna(row["retrain_epochs"]):
        metric += f" {row['retrain_epochs']} epochs"
    return [Cell(missing=text) for text in (row["protocol"], row["dataset"], metric)]


def _source(benchmark: BenchmarkTable | None) -> str:
    if benchmark is None:
        return "Test accuracy in % of the derived cells, retrained from scratch."
    return (
        f"Accuracy in % of the derived cells, looked up in {benchmark.label}: "
        f"{benchmark.epochs}-epoch entries, each the mean over the benchmark's own seeds."
    )


def _statistics_row(row: Mapping[str, Any]) -> tuple[str, tuple[Cell, ...]]:
    label = full_label(row["label"], row["variant"])
    if row["n"] == 0:
        what = "not run" if row["n_done"] == 0 else "no accuracy"
        cells = [Cell(missing=what), *[Cell(missing="")] * 5]
    else:
        low, high = row["ci_low"], row["ci_high"]
        cells = [
            Cell(int(row["n"]), row["mean"], row["std"]),
            Cell(missing="" if math.isnan(low) else f"{low:.2f} to {high:.2f}"),
            _number(row["median"]),
            _number(row["iqr"]),
            _number(row["best"]),
            _number(row["regret_mean"]),
        ]
    collapsed = f"{row['n_collapsed']} of {row['n_done']}"
    cells += [Cell(missing=collapsed), Cell(missing=str(row["n_cells"]))]
    return label, (*_place(row), *cells)


def statistics_table(frame: pd.DataFrame, benchmark: BenchmarkTable | None) -> Table:
    """The frame of `analysis.stats.statistics.statistics` as a table to read."""
    return Table(
        columns=(
            "Protocol", "Data set", "Metric", "Mean ± std (n)",
            f"{CONFIDENCE:.0%} interval", "Median", "IQR", "Best", "Regret", "Collapsed", "Cells",
        ),
        rows=tuple(_statistics_row(row) for row in _rows(frame)),
        notes=(
            _source(benchmark),
            "Std: with n - 1 in the denominator.",
            f"Interval of the mean: BCa bootstrap, {RESAMPLES:,} resamples, fixed seed.",
            "Regret: the benchmark's optimum minus the mean, in percentage points."
            if benchmark
            else "Regret needs --benchmark.",
            "Collapsed: finished runs whose cell outputs zero or a multiple of its input.",
            "Cells: how many distinct (canonical) cells the finished runs found.",
        ),
        tidy=frame,
        words=frozenset({0, 1, 2}),
    )  # fmt: skip


def _paired_row(row: Mapping[str, Any]) -> tuple[str, tuple[Cell, ...]]:
    counts = (row["n_first_better"], row["n_equal"], row["n_second_better"])
    return row["first"], (
        Cell(missing=row["second"]),
        *_place(row),
        Cell(missing=str(row["n_pairs"])),
        Cell(missing=" / ".join(map(str, counts))),
        _number(row["mean_difference"]),
        _number(row["median_difference"]),
        _number(row["effect_size"]),
        _number(row["p_value"], 4),
        _number(row["p_holm"], 4),
    )


def paired_table(frame: pd.DataFrame, benchmark: BenchmarkTable | None) -> Table:
    """The frame of `analysis.stats.pairs.paired` as a table to read."""
    return Table(
        columns=(
            "Against", "Protocol", "Data set", "Metric", "Pairs", "Better / equal / worse",
            "Mean difference", "Median", "Effect", "p", "p (Holm)",
        ),
        rows=tuple(_paired_row(row) for row in _rows(frame)),
        notes=(
            _source(benchmark),
            "Pairs: seeds that both have. Differences: first minus second, in percentage points.",
            "p: Wilcoxon's signed-rank test, two-sided, zeros dropped (all zero: 1); with fewer "
            "than 6 pairs it can't be below 0.05.",
            "Effect: matched-pairs rank-biserial correlation, -1 to 1.",
            "Holm: over all pairs here of one protocol, data set and metric.",
        ),
        tidy=frame,
        words=frozenset({0, 1, 2, 3}),
    )  # fmt: skip
