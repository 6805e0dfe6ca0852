"""Cells derived from a learnt distribution under limits on their cost (DrNAS, arXiv:2006.10355).

Of the cells within the limits those whose operations have the highest log-probability under the
Dirichlet means; for methods other than DrNAS, under the strengths as shares of their edge. Ties go
to the higher joint density, and then to the earlier operations, as `discretise` breaks them.

The density is the one near the cell's corner of the simplices, share 1 - e on each operation of the
cell and e / (K - 1) on each other: of two cells, the one whose concentrations sum to more has the
higher, whatever e is (below (K - 1) / K). So that sum is what is compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from analysis.benchmark import SPLITS, BenchmarkTable
from analysis.learnt import Learnt
from drnas_ray.bench.costs import COSTS, NetSize
from drnas_ray.bench.hardware import Hardware
from drnas_ray.config import DataSettings
from drnas_ray.errors import UserError, unknown_name
from drnas_ray.spaces import space_named
from drnas_ray.spaces.space import Space

SAMPLES = 10_000
"""Draws where a space is too large to list, unless another number is asked for."""
_DIGITS = 9
"""Decimals to which log-probabilities are compared: below is the rounding of their sum."""
_COST_NAMES = {"params_m": "million parameters", "flops_m": "million multiply-adds"}
_LATENCY = "_latency_ms"


@dataclass(frozen=True)
class Limit:
    """The most of a cost: `params_m`, `flops_m`, or `{device}_latency_ms`."""

    cost: str
    most: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.most) and self.most > 0):
            raise UserError(f"a limit of {self.most:g} {self.unit} is none: give one above 0")

    @property
    def unit(self) -> str:
        """What the number counts, in words."""
        return _COST_NAMES.get(self.cost, f"ms on {self.cost.removesuffix(_LATENCY)}")

    @classmethod
    def latency(cls, text: str) -> Limit:
        """`edgegpu=4.5` as a limit in ms. Raises UserError for another form."""
        device, _, most = text.partition("=")
        try:
            return cls(device.strip() + _LATENCY, float(most))
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"latency limit '{text}': write DEVICE=MS, as edgegpu=4.5") from error


@dataclass(frozen=True)
class Cells:
    """Cells that a run may derive. choices: (n, T, E), as `Space.choices` gives them."""

    genotypes: Sequence[str]
    choices: NDArray[np.int64]
    sampled: bool
    """Drawn from what was learnt, not all there are."""

    def take(self, places: NDArray[np.intp]) -> Cells:
        """Those at the places (m,)."""
        kept = [self.genotypes[place] for place in places]
        return Cells(kept, self.choices[places], self.sampled)


@dataclass(frozen=True)
class Derived:
    """What was derived from one run.

    data: whose costs and accuracies these are. considered: how many cells of probability above 0
    there were; within: how many of them keep the limits; sampled: they were drawn, not all there
    are. cells: a row each, best first, with the columns

    rank (from 1), genotype, log_prob_nats, own (it is the run's own cell)
    canonical, same_as: the rank of the first listed cell that is isomorphic to it, null if none
    canonical_keeps_limits: so does the canonical cell, which is what retrainings train
    params_m, flops_m, DEVICE_latency_ms
    valid_acc_pct, test_acc_pct: null without a benchmark table
    """

    run: Learnt
    data: DataSettings
    size: NetSize
    cells: pd.DataFrame
    considered: int
    within: int
    sampled: bool


def candidates(run: Learnt, samples: int | None = None) -> Cells:
    """Every cell of the space where they can be listed, else different ones of `samples` draws.

    Cells with an operation of probability 0 (pruned) are left out. Given `samples`, draws are taken
    in any space; the same run and number give the same cells. A draw is `discretise` of shares from
    DrNAS's Dirichlets; else of shares times Gumbel noise, whose largest on an edge falls on each
    operation with its share. The most probable cell of all is always among them.
    """
    space = space_named(run.space)
    listed = space.every() if samples is None else None
    if listed is not None:
        cells = Cells(*listed, sampled=False)
    else:
        cells = _drawn(run, space, SAMPLES if samples is None else samples)
    return cells.take(np.flatnonzero(np.isfinite(log_probability(run, cells.choices))))


def _drawn(run: Learnt, space: Space, samples: int) -> Cells:
    rng = np.random.default_rng(run.seed)
    means = run.means
    found = dict.fromkeys([space.discretise(means)])
    for _ in range(samples):
        if run.method == "drnas":
            draw = _dirichlet(run.strengths, rng)
        else:
            draw = means / rng.standard_exponential(means.shape)
        found.setdefault(space.discretise(draw))
    choices = np.array([space.choices(genotype) for genotype in found])
    return Cells(tuple(found), choices, sampled=True)


def _dirichlet(concentration: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(T, E, O): shares of each edge; a concentration of 0 gives share 0.

    Gammas as shares. By their logarithms, for a gamma of small shape underflows: one of shape a is
    one of shape a + 1 times u^(1/a), u uniform.
    """
    with np.errstate(divide="ignore"):
        exponents = rng.standard_exponential(concentration.shape) / concentration
    logs = np.log(rng.standard_gamma(concentration + 1)) - exponents
    shares: NDArray[np.float64] = softmax(logs, axis=-1)
    return shares


def _chosen(values: NDArray[np.float64], choices: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,): values (T, E, O) of the chosen operations, summed; left-out edges count nothing."""
    kept = choices >= 0
    types, edges = np.indices(choices.shape[1:])
    picked = values[types, edges, np.where(kept, choices, 0)]
    total: NDArray[np.float64] = np.where(kept, picked, 0.0).sum((1, 2))
    return total


def log_probability(run: Learnt, choices: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) nats: the log-shares of each cell's operations, summed; -inf where one has share 0."""
    with np.errstate(divide="ignore"):
        return _chosen(np.log(run.means), choices)


def costs(
    cells: Cells, space: str, size: NetSize, dataset: str, hardware: Hardware | None
) -> pd.DataFrame:
    """params_m, flops_m of each cell, and DEVICE_latency_ms of every device of the table.

    nan where it was not measured. Raises UserError for a data set that the hardware table lacks.
    """
    if space not in COSTS:
        raise UserError(f"costs of space '{space}' have no formula: known: {', '.join(COSTS)}")
    params, flops = COSTS[space](cells.choices, size)
    frame = pd.DataFrame({"params_m": params / 1e6, "flops_m": flops / 1e6})
    if hardware is None:
        return frame
    for device in hardware.devices:
        frame[device + _LATENCY] = hardware.cost(list(cells.genotypes), device, "latency", dataset)
    return frame


def derive(
    run: Learnt,
    size: NetSize,
    *,
    limits: Sequence[Limit] = (),
    top: int = 1,
    samples: int | None = None,
    data: DataSettings | None = None,
    benchmark: BenchmarkTable | None = None,
    hardware: Hardware | None = None,
) -> Derived:
    """The `top` best cells within all limits, with what they cost.

    data: whose latencies and accuracies count, if not the run's own data set's. Raises UserError
    where no cell keeps the limits, naming the least that can be reached.
    """
    data = data or run.data
    cells = candidates(run, samples)
    table = costs(cells, run.space, size, data.name, hardware)
    _check_limits(limits, table, hardware)
    keeps = {limit: (table[limit.cost] <= limit.most).to_numpy() for limit in limits}
    within = np.logical_and.reduce([np.ones(len(table), bool), *keeps.values()])
    if not within.any():
        raise _impossible(run, cells, table, keeps)
    best = _best(run, cells.choices, np.flatnonzero(within), top)
    frame = _described(run, cells.take(best))
    frame = frame.join(table.iloc[best].reset_index(drop=True))
    for split in SPLITS:
        frame[f"{split}_acc_pct"] = _accuracy(frame["genotype"], data.name, split, benchmark)
    twins = costs(_as_cells(run, frame["canonical"]), run.space, size, data.name, hardware)
    frame["canonical_keeps_limits"] = [
        all(row[limit.cost] <= limit.most for limit in limits) for _, row in twins.iterrows()
    ]
    return Derived(run, data, size, frame, len(table), int(within.sum()), cells.sampled)


def _best(
    run: Learnt, choices: NDArray[np.int64], places: NDArray[np.intp], top: int
) -> NDArray[np.intp]:
    """The `top` of the places, best first."""
    kept = choices[places]
    probability = log_probability(run, kept).round(_DIGITS)
    concentration = _chosen(run.strengths, kept).round(_DIGITS)
    earlier = kept.reshape(len(kept), -1).T[::-1]
    order = np.lexsort((*earlier, -concentration, -probability))
    return places[order[:top]]


def _as_cells(run: Learnt, genotypes: Iterable[str]) -> Cells:
    space = space_named(run.space)
    named = tuple(genotypes)
    return Cells(named, np.array([space.choices(one) for one in named]), sampled=False)


def _described(run: Learnt, cells: Cells) -> pd.DataFrame:
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


def _check_limits(limits: Sequence[Limit], table: pd.DataFrame, hardware: Hardware | None) -> None:
    for limit in limits:
        if limit.cost in table:
            continue
        if hardware is None:
            raise UserError(f"a limit in {limit.unit} needs latencies: give --hardware TABLE")
        device = limit.cost.removesuffix(_LATENCY)
        raise unknown_name("device", device, hardware.devices)


def _impossible(
    run: Learnt, cells: Cells, table: pd.DataFrame, keeps: dict[Limit, NDArray[np.bool_]]
) -> UserError:
    """What can't be had, and the least that can: of a limit alone, or with the others kept."""
    whose = "drawn cell" if cells.sampled else "cell"
    for limit, kept in keeps.items():
        if not kept.any():
            least = table[limit.cost].min()
            reach = "none was measured" if math.isnan(least) else f"the smallest is {least:.6g}"
            return UserError(
                f"run {run.run_id}: no {whose} has at most {limit.most:g} {limit.unit}: {reach}"
            )
    parts = []
    for limit in keeps:
        others = [kept for other, kept in keeps.items() if other != limit]
        held = np.logical_and.reduce(others)
        if held.any():
            parts.append(f"{table[limit.cost][held].min():.6g} {limit.unit}")
    wanted = " and ".join(f"{limit.most:g} {limit.unit}" for limit in keeps)
    reach = f": with the others kept, the smallest are {', '.join(parts)}" if parts else ""
    return UserError(f"run {run.run_id}: no {whose} has at most {wanted} together{reach}")
