"""Cells derived from learnt strengths within limits on their cost (DrNAS, arXiv:2006.10355).

Of the cells within the limits, the best are those whose operations have the highest log-probability
under the Dirichlet means; for methods without a Dirichlet, under the strengths as shares of their
edge. Ties go to the cell with the higher joint density, then to the one with earlier operations, as
in `discretise`.

The density is taken near the cell's corner of the simplices, with share 1 - e on each operation of
the cell and e / (K - 1) on each other. For any e below (K - 1) / K it is higher for the cell whose
concentrations have the larger sum, so the sums are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.derive.candidates import Cells, candidates, chosen_sum, connected, log_probability
from analysis.derive.limits import Limit, check_limits, costs, impossible
from analysis.derive.searched_run import SearchedRun
from analysis.records.benchmark import SPLITS, BenchmarkTable
from drnas_ray.benchmarks.costs import NetSize
from drnas_ray.benchmarks.hardware import Hardware
from drnas_ray.config import DataSettings
from drnas_ray.spaces import space_named

_DIGITS = 9
"""Decimals to which log-probabilities are compared: beyond are rounding errors of the sum."""


@dataclass(frozen=True)
class Derived:
    """What was derived from one run.

    data: the data set that costs and accuracies refer to. considered: how many cells have a
    probability above 0; within: how many of these are within the limits; sampled: whether they were
    sampled, rather than all of the space. cells: a row per cell, best first, with the columns

    rank (from 1), genotype, log_prob_nats, own (it is the run's own cell)
    canonical, same_as: the rank of the first listed cell that is isomorphic to it, null if none
    connected: whether the output depends on the input; that of a cell of `none` alone does not
    canonical_keeps_limits: the canonical cell, which is what retrainings train, is within them too
    params_m, flops_m, DEVICE_latency_ms
    valid_acc_pct, test_acc_pct: null without a benchmark table
    """

    run: SearchedRun
    data: DataSettings
    size: NetSize
    cells: pd.DataFrame
    considered: int
    within: int
    sampled: bool
    limits: tuple[Limit, ...]
    sources: tuple[str, ...]


def derive(
    run: SearchedRun,
    size: NetSize,
    *,
    limits: Sequence[Limit] = (),
    top: int = 1,
    samples: int | None = None,
    data: DataSettings | None = None,
    benchmark: BenchmarkTable | None = None,
    hardware: Hardware | None = None,
) -> Derived:
    """The `top` best cells within all limits, with their costs.

    size: of the network around the cell. samples: how many cells to sample instead of listing all.
    data: the data set for latencies and accuracies, by default the run's own. Raises UserError if
    no cell is within the limits, with the lowest costs that are possible.
    """
    data = data or run.data
    cells = candidates(run, samples)
    table = costs(cells, run.space, size, data.name, hardware)
    check_limits(limits, table, hardware)
    within = _within(table, limits)
    if not within.any():
        raise impossible(run.run_id, cells, table, limits)
    best = _best(run, cells.choices, np.flatnonzero(within), top)
    frame = _described(run, cells.take(best))
    frame = frame.join(table.iloc[best].reset_index(drop=True))
    for split in SPLITS:
        frame[f"{split}_acc_pct"] = _accuracy(frame["genotype"], data.name, split, benchmark)
    canonical = Cells.named(space_named(run.space), list(frame["canonical"]))
    canonical_costs = costs(canonical, run.space, size, data.name, hardware)
    frame["canonical_keeps_limits"] = _within(canonical_costs, limits)
    return Derived(
        run=run,
        data=data,
        size=size,
        cells=frame,
        considered=len(table),
        within=int(within.sum()),
        sampled=cells.sampled,
        limits=tuple(limits),
        sources=_sources(data.name, benchmark, hardware),
    )


def _within(table: pd.DataFrame, limits: Sequence[Limit]) -> NDArray[np.bool_]:
    """(cells,): whether each row of a table of costs is within all limits."""
    found = np.ones(len(table), bool)
    for limit in limits:
        found &= limit.kept(table)
    return found


def _sources(
    dataset: str, benchmark: BenchmarkTable | None, hardware: Hardware | None
) -> tuple[str, ...]:
    texts = []
    if benchmark is not None and dataset in benchmark.datasets:
        texts.append(f"accuracies on {dataset} after {benchmark.epochs} epochs: {benchmark.label}")
    if hardware is not None:
        texts.append(f"latencies for {dataset}: {hardware.table.label}")
    return tuple(texts)


def _best(
    run: SearchedRun, choices: NDArray[np.int64], places: NDArray[np.intp], top: int
) -> NDArray[np.intp]:
    """The `top` best of the cells at the indices `places`, best first."""
    kept = choices[places]
    probability = log_probability(run, kept).round(_DIGITS)
    concentration = chosen_sum(run.strengths, kept).round(_DIGITS)
    earlier = kept.reshape(len(kept), -1).T[::-1]
    order = np.lexsort((*earlier, -concentration, -probability))
    return places[order[:top]]


def _described(run: SearchedRun, cells: Cells) -> pd.DataFrame:
    space = space_named(run.space)
    canonical = [space.canonical(genotype) for genotype in cells.genotypes]
    first = [canonical.index(one) + 1 for one in canonical]
    ranks = range(1, len(canonical) + 1)
    return pd.DataFrame(
        {
            "rank": ranks,
            "genotype": cells.genotypes,
            "canonical": canonical,
            "same_as": pd.array(
                [None if one == rank else one for one, rank in zip(first, ranks, strict=True)],
                dtype="Int64",
            ),
            "connected": [connected(space, chosen) for chosen in cells.choices],
            "own": [genotype == run.genotype for genotype in cells.genotypes],
            "log_prob_nats": log_probability(run, cells.choices),
        }
    )


def _accuracy(
    genotypes: pd.Series[str], dataset: str, split: str, benchmark: BenchmarkTable | None
) -> NDArray[np.float64]:
    if benchmark is None or dataset not in benchmark.datasets:
        return np.full(len(genotypes), np.nan)
    return benchmark.lookup(list(genotypes), dataset, split)
