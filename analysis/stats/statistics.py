"""Statistics of methods over seeds: location, spread, regret, intervals, collapse, agreement.

`statistics` has a row per method, data set and metric; `paired` (in `analysis.stats.pairs`) one per
pair of methods. Nothing here averages over protocols, data sets or retraining recipes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from analysis.cells.collapse import OutputKind, output_kind
from analysis.records.benchmark import BenchmarkTable
from analysis.stats.pairs import paired
from analysis.stats.summary import Group, RunRow, finite, grouped, joined, metrics
from drnas_ray.results.status import Status

RESAMPLES = 9_999
CONFIDENCE = 0.95
_BATCH = 1_000_000
"""Numbers drawn at once: bounds the memory that a bootstrap takes."""
_SEED = 0


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """(low, high): 95 % bootstrap interval of the mean of values (n,) (BCa, Efron 1987).

    Equal values, in any order, give equal intervals. NaN for fewer than two values; the value
    itself if all are equal.
    """
    if len(values) < 2:
        return math.nan, math.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    result = stats.bootstrap(
        (np.sort(values),),  # so that the order of runs does not matter
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="BCa",
        batch=max(1, _BATCH // len(values)),
        rng=np.random.default_rng(_SEED),
    )
    low, high = result.confidence_interval
    return float(low), float(high)


def _location(values: NDArray[np.float64]) -> RunRow:
    if not len(values):
        names = ("mean", "std", "median", "q1", "q3", "iqr", "best", "ci_low", "ci_high")
        return {"n": 0, **dict.fromkeys(names, math.nan)}
    first, median, third = (float(q) for q in np.percentile(values, [25, 50, 75]))
    low, high = interval(values)
    return {
        "n": len(values),
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if len(values) > 1 else math.nan,
        "median": median,
        "q1": first,
        "q3": third,
        "iqr": third - first,
        "best": float(values.max()),
        "ci_low": low,
        "ci_high": high,
    }


def _optimum(run_rows: Sequence[RunRow], metric: str, benchmark: BenchmarkTable | None) -> float:
    """The benchmark's highest accuracy of any cell; NaN without a benchmark."""
    if benchmark is None:
        return math.nan
    run = run_rows[0]
    split = "valid" if "valid" in metric else "test"
    return benchmark.best(run["data_name"], split)


def _cells(done: Sequence[RunRow]) -> RunRow:
    """How many derived cells collapsed, and how many runs found the same one."""
    known = [run for run in done if run["canonical"] is not None]
    kinds = [output_kind(run["space"], run["canonical"]) for run in known]
    counts = Counter(run["canonical"] for run in known)
    return {
        "n_cells": len(counts),
        "n_same_cell": max(counts.values(), default=0),
        "n_collapsed": sum(f.collapsed for f in kinds),
        "n_all_skip": kinds.count(OutputKind.ALL_SKIP),
        "n_cut_off": kinds.count(OutputKind.CUT_OFF),
        "n_without_convolution": sum(f is not OutputKind.CONVOLUTION for f in kinds),
    }


def _row(
    group: Group, run_rows: Sequence[RunRow], metric: str, benchmark: BenchmarkTable | None
) -> RunRow:
    done = [run for run in run_rows if run["status"] == Status.done]
    figures = _location(finite(done, metric))
    optimum = _optimum(run_rows, metric, benchmark)
    return {
        **vars(group),
        "metric": metric,
        "n_runs": len(run_rows),
        "n_done": len(done),
        **figures,
        "optimum": optimum,
        "regret_mean": optimum - figures["mean"],
        "regret_best": optimum - figures["best"],
        **_cells(done),
    }


def statistics(runs: pd.DataFrame, benchmark: BenchmarkTable | None = None) -> pd.DataFrame:
    """One row per (protocol, label, variant, data set, metric), in order of first appearance.

    Columns: those five and retrain_epochs; n_runs, n_done; of the n done runs with a value, in
    percent: mean, std (n - 1), median, q1, q3, iqr, best, ci_low and ci_high (`interval`); with a
    benchmark optimum, regret_mean and regret_best (optimum minus mean or best, percentage points);
    of all done runs' cells: n_cells (distinct canonical ones), n_same_cell (runs that found the
    commonest), n_collapsed = n_all_skip + n_cut_off, n_without_convolution
    (`analysis.cells.collapse`).

    runs: as `analysis.records.load` returns them. Raises UserError as `summary` does.
    """
    groups = grouped(joined(runs, benchmark), benchmark)
    rows = [
        _row(group, run_rows, metric, benchmark)
        for group, run_rows in groups.items()
        for metric in metrics(benchmark)
    ]
    return pd.DataFrame(rows).astype({"retrain_epochs": "Int64"})


__all__ = ["CONFIDENCE", "RESAMPLES", "interval", "paired", "statistics"]
