"""Methods compared in pairs over the seeds they share: Wilcoxon signed-rank test, effect size.

Wilcoxon (1945); zero differences are dropped, as there. The effect size is the matched-pairs
rank-biserial correlation (Kerby 2014): (W+ - W-) / (W+ + W-), from -1 to 1. p-values are adjusted
by Holm (1979) over all pairs of one protocol, data set and metric.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from analysis.records.benchmark import BenchmarkTable
from analysis.records.labels import full_label
from analysis.stats.summary import Group, RunRow, grouped, joined, metrics
from drnas_ray.core.errors import UserError, unknown_name
from drnas_ray.results.status import Status

MOST_ROWS = 60
"""Methods compared at once: the number of pairs grows with the square (60 make 1,770)."""
_EXACT = 12
"""With ties, up to this many differences the test enumerates all 2^n signs."""
_COLUMNS = {
    "protocol": "string",
    "dataset": "string",
    "retrain_epochs": "Int64",
    "metric": "string",
    "first": "string",
    "second": "string",
    "n_pairs": "int64",
    "n_first_better": "int64",
    "n_equal": "int64",
    "n_second_better": "int64",
    "mean_difference": "float64",
    "median_difference": "float64",
    "effect_size": "float64",
    "p_value": "float64",
    "p_holm": "float64",
}


@dataclass(frozen=True)
class SignedRank:
    """The result of a signed-rank test of differences."""

    p_value: float
    """Two-sided; 1 if all differences are zero, NaN if there are none."""
    effect_size: float
    """Rank-biserial; 0 if all differences are zero, NaN if there are none."""


def signed_rank(differences: NDArray[np.float64]) -> SignedRank:
    """Wilcoxon's test that the differences (n,) are symmetric about zero.

    Exact without ties up to 50 non-zero differences, with ties up to 12; otherwise the normal
    approximation with correction for ties.
    """
    if not len(differences):
        return SignedRank(math.nan, math.nan)
    kept = differences[differences != 0]
    if not len(kept):
        return SignedRank(1.0, 0.0)
    sizes = np.abs(kept)
    ranks = stats.rankdata(sizes)
    up, down = float(ranks[kept > 0].sum()), float(ranks[kept < 0].sum())
    tied = len(np.unique(sizes)) < len(sizes)
    if tied and len(kept) <= _EXACT:
        p_value = _exact(ranks, up)
    else:
        exact = not tied and len(kept) <= 50
        result = stats.wilcoxon(kept, method="exact" if exact else "approx")
        p_value = float(result.pvalue)
    return SignedRank(p_value, (up - down) / (up + down))


def _exact(ranks: NDArray[np.float64], up: float) -> float:
    """The share of all assignments of signs with a rank sum at least as far from the middle."""
    sums = np.zeros(1)
    for rank in ranks:
        sums = np.concatenate([sums, sums + rank])
    middle = ranks.sum() / 2
    # Ranks are multiples of 1/2, so sums are exact.
    return float(np.mean(np.abs(sums - middle) >= abs(up - middle)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; NaN stays NaN and is not counted."""
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[i] = largest
    return adjusted


def _name(group: Group) -> str:
    return full_label(group.label, group.variant)


def _by_seed(run_rows: Sequence[RunRow], metric: str) -> dict[int, float]:
    """Seed -> accuracy; the mean if a seed has several runs."""
    found: dict[int, list[float]] = {}
    for run in run_rows:
        value = run.get(metric)
        if run["status"] == Status.done and value is not None and math.isfinite(value):
            found.setdefault(run["seed"], []).append(float(value))
    return {seed: float(np.mean(values)) for seed, values in found.items()}


def _comparison(first: Mapping[int, float], second: Mapping[int, float]) -> RunRow:
    seeds = sorted(first.keys() & second.keys())
    # Rounding errors (about 1e-14) would break ties and hide equal values.
    differences = np.round([first[seed] - second[seed] for seed in seeds], 9)
    test = signed_rank(differences)
    some = len(differences) > 0
    return {
        "n_pairs": len(seeds),
        "n_first_better": int((differences > 0).sum()),
        "n_equal": int((differences == 0).sum()),
        "n_second_better": int((differences < 0).sum()),
        "mean_difference": float(differences.mean()) if some else math.nan,
        "median_difference": float(np.median(differences)) if some else math.nan,
        "effect_size": test.effect_size,
        "p_value": test.p_value,
    }


def _pairs(names: Sequence[str], against: str | None, place: str) -> Iterator[tuple[str, str]]:
    if against is not None:
        return ((name, against) for name in names if name != against)
    if len(names) > MOST_ROWS:
        raise UserError(
            f"{len(names)} methods and variants on {place} make {math.comb(len(names), 2):,} "
            "pairs: name the one to compare the others with"
        )
    return combinations(names, 2)


def paired(
    runs: pd.DataFrame, benchmark: BenchmarkTable | None = None, against: str | None = None
) -> pd.DataFrame:
    """One row per pair of methods on a data set, or per method compared with `against`.

    Columns: protocol, dataset, retrain_epochs, metric; first and second, the methods (with their
    variant); n_pairs, the seeds for which both have a value; n_first_better, n_equal,
    n_second_better; mean_difference and median_difference, first minus second in percentage points;
    effect_size, p_value, p_holm. With fewer than 6 pairs no p_value can be below 0.05.

    Raises UserError if no run has the name `against`, for more than 60 methods without `against`,
    or as `summary` does.
    """
    families: dict[tuple[str, str, int | None], dict[str, Sequence[RunRow]]] = {}
    for group, run_rows in grouped(joined(runs, benchmark), benchmark).items():
        family = families.setdefault((group.protocol, group.dataset, group.retrain_epochs), {})
        family[_name(group)] = run_rows
    everyone = list(dict.fromkeys(name for members in families.values() for name in members))
    if against is not None and against not in everyone:
        raise unknown_name("method of these runs", against, everyone)
    rows: list[RunRow] = []
    for (protocol, dataset, epochs), members in families.items():
        if against is not None and against not in members:
            continue
        for metric in metrics(benchmark):
            figures = {name: _by_seed(run_rows, metric) for name, run_rows in members.items()}
            family_rows = [
                {
                    "protocol": protocol,
                    "dataset": dataset,
                    "retrain_epochs": epochs,
                    "metric": metric,
                    "first": first,
                    "second": second,
                    **_comparison(figures[first], figures[second]),
                }
                for first, second in _pairs(list(members), against, dataset)
            ]
            adjusted = holm([row["p_value"] for row in family_rows])
            rows += [row | {"p_holm": p} for row, p in zip(family_rows, adjusted, strict=True)]
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype(_COLUMNS)
