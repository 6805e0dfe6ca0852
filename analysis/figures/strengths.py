"""Learnt strengths as arrays; draws from the Dirichlet distributions they stand for; entropy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from analysis.derive.dirichlet import log_gammas
from analysis.records.schema import STRENGTHS
from drnas_ray.spaces.nb201 import NB201

_ROWS = 1 << 16
"""Rows converted at a time: the lists of a million epochs would take gigabytes."""
_SEED = 20_211  # any number; fixed, so that a figure is the same twice

Numbers = NDArray[np.float64]


def strength_chunks(
    column: pd.Series, shape: tuple[int, int, int]
) -> Iterator[tuple[NDArray[np.intp], Numbers]]:
    """(indices in the column, strengths (rows, T, E, O)) of the rows with this shape, in chunks."""
    width = int(np.prod(shape))
    for start in range(0, len(column), _ROWS):
        part = column.iloc[start : start + _ROWS]
        arrow = pa.array(part, type=STRENGTHS, from_pandas=True)
        if isinstance(arrow, pa.ChunkedArray):
            arrow = arrow.combine_chunks()
        edges = arrow.flatten()
        counts = arrow.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        inner = [edges.value_lengths(), edges.flatten().value_lengths()]
        there = np.flatnonzero(counts)
        flat = edges.flatten().flatten().to_numpy(zero_copy_only=False).astype(np.float64)
        fits = all((np.asarray(n) == size).all() for n, size in zip(inner, shape[1:], strict=True))
        if not fits or len(flat) != len(there) * width:
            there, flat = _one_by_one(part, shape)
        yield there + start, flat.reshape(-1, *shape)


def _one_by_one(part: pd.Series, shape: tuple[int, int, int]) -> tuple[NDArray[np.intp], Numbers]:
    """The same for a chunk in which some rows have another shape (another space, or damage)."""
    found = []
    for place, value in enumerate(part):
        try:
            nested = [
                [[np.nan if x is None else float(x) for x in ops] for ops in edges]
                for edges in value
            ]
            array = np.array(nested, dtype=np.float64)
        except (TypeError, ValueError):
            continue
        if array.shape == shape:
            found.append((place, array))
    places = np.array([place for place, _ in found], dtype=np.intp)
    return places, np.array([array for _, array in found], dtype=np.float64).ravel()


def entropies(shares: Numbers) -> Numbers:
    """(..., E) entropy in nats of strengths (..., E, O), which are first made to sum to 1."""
    total = shares.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = shares / total
        terms = np.where(p > 0, -p * np.log(p), 0.0)
    return np.where(np.isfinite(total[..., 0]) & (total[..., 0] > 0), terms.sum(-1), np.nan)


def generator(ident: str) -> np.random.Generator:
    """Random numbers of a run: independent of what else the figure draws."""
    return np.random.default_rng([_SEED, *hashlib.sha256(ident.encode()).digest()[:8]])


def draw_choices(beta: Numbers, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(draws, ..., E): the largest share of each edge in draws from Dir(beta), beta (..., E, O).

    Operations with concentration 0 are pruned: they have share 0.
    """
    largest: NDArray[np.int64]
    largest = log_gammas(np.broadcast_to(beta, (draws, *beta.shape)), rng).argmax(-1)
    return largest


@lru_cache(maxsize=1)
def _places() -> NDArray[np.intp]:
    space = NB201()
    codes = np.array([_code(space.choices(space.cell(index))[0]) for index in range(space.size)])
    return np.argsort(codes)


def _code(choices: NDArray[np.int64]) -> NDArray[np.int64]:
    """The operations (..., 6) of a NAS-Bench-201 cell as digits of a number in base 5."""
    return choices @ (len(NB201.ops) ** np.arange(len(NB201.edges)))


def nb201_index(choices: NDArray[np.int64]) -> NDArray[np.intp]:
    """(...): numbers in the benchmark of the cells with operations (..., 6)."""
    return _places()[_code(choices)]
