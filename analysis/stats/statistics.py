"""Statistics of methods over seeds: location, spread, regret, intervals, collapse, agreement.

`statistics` has a row for each method, data set and figure; `paired` (from `analysis.stats.pairs`)
one for each two methods. Nothing here averages protocols, data sets or retraining recipes together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from analysis.cells.collapse import Fate, fate
from analysis.records.benchmark import BenchmarkTable
from analysis.stats.pairs import paired
from analysis.stats.summary import Group, Record, finite, grouped, joined, metrics

RESAMPLES = 9_999
CONFIDENCE = 0.95
_BATCH = 1_000_000
"""Numbers drawn at once: bounds the memory of a bootstrap."""
_SEED = 0


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 % bootstrap interval of the mean (BCa, Efron 1987): the same for the same values.

    nan for fewer than two values; the value itself where all are equal.
    """
    if len(values) < 2:
        return math.nan, math.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    result = stats.bootstrap(
        (np.sort(values),),  # so that the order of runs decides nothing
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="BCa",
        batch=max(1, _BATCH // len(values)),
        rng=np.random.default_rng(_SEED),
    )
    low, high = result.confidence_interval
    return float(low), float(high)


def _location(values: NDArray[np.float64]) -> Record:
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


def _optimum(records: Sequence[Record], metric: str, benchmark: BenchmarkTable | None) -> float:
    """The largest figure of any cell of the benchmark; nan without one."""
    if benchmark is None:
        return math.nan
    record = records[0]
    split = "valid" if "valid" in metric else "test"
    return benchmark.best(record["data_name"], split)


def _cells(done: Sequence[Record]) -> Record:
    """Collapse, and agreement between runs, of the cells that were derived."""
    known = [record for record in done if record["canonical"] is not None]
    fates = [fate(record["space"], record["canonical"]) for record in known]
    counts = Counter(record["canonical"] for record in known)
    return {
        "n_cells": len(counts),
        "n_same_cell": max(counts.values(), default=0),
        "n_collapsed": sum(f.collapsed for f in fates),
        "n_all_skip": fates.count(Fate.ALL_SKIP),
        "n_cut_off": fates.count(Fate.CUT_OFF),
        "n_without_convolution": sum(f is not Fate.CONVOLUTION for f in fates),
    }


def _row(
    group: Group, records: Sequence[Record], metric: str, benchmark: BenchmarkTable | None
) -> Record:
    done = [record for record in records if record["status"] == "done"]
    figures = _location(finite(done, metric))
    optimum = _optimum(records, metric, benchmark)
    return {
        **vars(group),
        "metric": metric,
        "n_runs": len(records),
        "n_done": len(done),
        **figures,
        "optimum": optimum,
        "regret_mean": optimum - figures["mean"],
        "regret_best": optimum - figures["best"],
        **_cells(done),
    }


def statistics(runs: pd.DataFrame, benchmark: BenchmarkTable | None = None) -> pd.DataFrame:
    """One row per (protocol, label, variant, data set, metric), in order of first appearance.

    Columns: those five and retrain_epochs; n_runs, n_done; of the n done runs with a figure, in
    percent: mean, std (n - 1), median, q1, q3, iqr, best, ci_low and ci_high (`interval`); with a
    benchmark optimum, regret_mean and regret_best (optimum less mean or best, in percent points);
    of all done runs' cells: n_cells (distinct canonical ones), n_same_cell (runs that found the
    commonest), n_collapsed = n_all_skip + n_cut_off, n_without_convolution
    (`analysis.cells.collapse`).

    runs: as `analysis.records.load` gives them. Raises UserError as `summary` does.
    """
    groups = grouped(joined(runs, benchmark), benchmark)
    rows = [
        _row(group, records, metric, benchmark)
        for group, records in groups.items()
        for metric in metrics(benchmark)
    ]
    return pd.DataFrame(rows).astype({"retrain_epochs": "Int64"})


__all__ = ["CONFIDENCE", "RESAMPLES", "interval", "paired", "statistics"]
