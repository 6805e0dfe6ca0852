"""The cells that a run may derive, and their probability under its strengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.derive.dirichlet import dirichlet_shares
from analysis.derive.searched_run import SearchedRun
from drnas_ray.spaces import space_named
from drnas_ray.spaces.space import Space

SAMPLES = 10_000
"""How many cells are drawn by default from a space that is too large to list."""


@dataclass(frozen=True)
class Cells:
    """Cells that a run may derive. choices: (n, T, E), as `Space.choices` returns them."""

    genotypes: Sequence[str]
    choices: NDArray[np.int64]
    sampled: bool
    """Whether they were sampled, rather than being all cells of the space."""

    @classmethod
    def named(cls, space: Space, genotypes: Sequence[str]) -> Cells:
        """These cells of a space."""
        return cls(genotypes, np.array([space.choices(one) for one in genotypes]), sampled=False)

    def take(self, places: NDArray[np.intp]) -> Cells:
        """The cells at the indices (m,)."""
        kept = [self.genotypes[place] for place in places]
        return Cells(kept, self.choices[places], self.sampled)


def candidates(run: SearchedRun, samples: int | None = None) -> Cells:
    """Every cell of the space if they can be listed, else the distinct ones of `samples` draws.

    Cells with an operation of probability 0 (pruned) are left out. Given `samples`, draws are taken
    in any space; the same run and number give the same cells. A draw is `discretise` of shares from
    the run's Dirichlets, if it learnt some; else of shares times Gumbel noise, whose largest on an
    edge falls on each operation with its share. The most probable cell of all is always among them.
    """
    space = space_named(run.space)
    listed = space.every() if samples is None else None
    if listed is not None:
        cells = Cells(*listed, sampled=False)
    else:
        cells = _drawn(run, space, SAMPLES if samples is None else samples)
    possible = np.isfinite(log_probability(run, cells.choices))
    return cells if possible.all() else cells.take(np.flatnonzero(possible))


def _drawn(run: SearchedRun, space: Space, samples: int) -> Cells:
    found = dict.fromkeys([space.discretise(run.means), *draws(run, samples)])
    return Cells(tuple(found), Cells.named(space, tuple(found)).choices, sampled=True)


def draws(run: SearchedRun, samples: int) -> Iterator[str]:
    """Genotypes drawn from what was learnt; the same run and number give the same."""
    space, means = space_named(run.space), run.means
    rng = np.random.default_rng(run.seed)
    for _ in range(samples):
        if run.distribution == "dirichlet":
            yield space.discretise(dirichlet_shares(run.strengths, rng))
        else:
            # Minus the logarithm of an exponential is Gumbel noise.
            yield space.discretise(means / rng.standard_exponential(means.shape))


def chosen_sum(values: NDArray[np.float64], choices: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,): values (T, E, O) summed over the chosen operations; edges left out add 0."""
    kept = choices >= 0
    types, edges = np.indices(choices.shape[1:])
    picked = values[types, edges, np.where(kept, choices, 0)]
    total: NDArray[np.float64] = np.where(kept, picked, 0.0).sum((1, 2))
    return total


def log_probability(run: SearchedRun, choices: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) nats: sum of the log-shares of each cell's operations, -inf if one has share 0."""
    with np.errstate(divide="ignore"):
        return chosen_sum(np.log(run.means), choices)


def connected(space: Space, choices: NDArray[np.int64]) -> bool:
    """Whether each cell type has a path without `none` to its last node. choices: (T, E)."""
    if "none" not in space.ops:
        return True
    none = space.ops.index("none")
    for chosen in choices:
        reached = {0}
        for (target, source), op in zip(space.edges, chosen, strict=True):
            if source in reached and op >= 0 and op != none:
                reached.add(target)
        if max(target for target, _ in space.edges) not in reached:
            return False
    return True
