"""The NAS-Bench-201 cell (Dong & Yang, ICLR 2020, arXiv:2001.00326): 6 edges, 5 operations.

Node 0 is the cell's input, node 3 its output; every node is the sum over its incoming edges. A
genotype is the benchmark's own string, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.
"""

from __future__ import annotations

import random
import re
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from drnas_ray.core.errors import UserError, unknown_name
from drnas_ray.spaces.space import Space

EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_FORM = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"
_PATTERN = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")
# The benchmark numbers its cells by listing them in the order of EDGES and OPS and shuffling the
# list with Python's generator under this seed.
_ORDER_SEED = 88


def _string(names: tuple[str, ...]) -> str:
    a, b, c, d, e, f = names
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


@cache
def _listed() -> tuple[str, ...]:
    """All 15,625 genotypes; the operation of the last edge varies fastest."""
    return tuple(_string(names) for names in product(OPS, repeat=len(EDGES)))


@cache
def _cells() -> tuple[str, ...]:
    """All 15,625 genotypes in the benchmark's own order."""
    cells = list(_listed())
    random.Random(_ORDER_SEED).shuffle(cells)
    return tuple(cells)


@cache
def _index() -> dict[str, int]:
    return {cell: index for index, cell in enumerate(_cells())}


def _form(names: tuple[str, ...]) -> str:
    """What the output node computes, as text with the terms of every sum sorted.

    A skip is the text of its source; an edge that always carries zeros is "#". Equal texts are the
    isomorphism classes that the benchmark counts (6,466). Being text, sums that differ only in the
    brackets of a skip, or in a sum of nothing but zeros, remain different.
    """
    text = {0: "0"}
    for target in (1, 2, 3):
        terms = []
        for (to, source), op in zip(EDGES, names, strict=True):
            if to != target:
                continue
            if op == "none" or text[source] == "#":
                terms.append("#")
            else:
                terms.append(text[source] if op == "skip_connect" else f"({text[source]})@{op}")
        text[target] = "+".join(sorted(terms))
    return text[3]


@cache
def _representatives() -> dict[str, str]:
    """The cell of lowest index for each form."""
    first: dict[str, str] = {}
    for cell in _cells():
        first.setdefault(_form(_names(cell)), cell)
    return first


def _names(genotype: str) -> tuple[str, ...]:
    match = _PATTERN.fullmatch(genotype)
    if match is None:
        raise UserError(f"'{genotype}' is not a NAS-Bench-201 cell: write it as {_FORM}")
    for op in match.groups():
        if op not in OPS:
            raise unknown_name("NAS-Bench-201 operation", op, OPS)
    return match.groups()


class NB201(Space):
    """The space as plain data and codecs; shapes are T=1 cell type, E=6 edges, O=5 operations."""

    name = "nb201"
    cell_types = ("cell",)
    edges = EDGES
    ops = OPS
    skip_op = "skip_connect"
    size = len(OPS) ** len(EDGES)

    def discretise(self, strengths: NDArray[np.floating]) -> str:
        """The strongest operation of each edge, `none` included.

        Ties go to the earlier operation. Raises UserError on another shape than (1, 6, 5), on nan,
        or on an edge without a finite strength.
        """
        strengths = np.asarray(strengths)
        if strengths.shape != self.shape:
            raise UserError(f"strengths have shape {strengths.shape}: nb201 needs {self.shape}")
        bad = np.isnan(strengths).any(-1) | ~np.isfinite(strengths).any(-1)
        if bad.any():
            edge = int(np.argmax(bad[0]))
            raise UserError(f"strengths of edge {edge} can't be ranked: {strengths[0, edge]}")
        return _string(tuple(OPS[op] for op in strengths[0].argmax(-1)))

    def check(self, genotype: str) -> str:
        """The genotype itself; raises UserError, naming the problem, if it is not in this space."""
        _names(genotype)
        return genotype

    def canonical(self, genotype: str) -> str:
        """The cell of lowest index among those that the benchmark counts as isomorphic."""
        return _representatives()[_form(_names(genotype))]

    def random(self, rng: np.random.Generator) -> str:
        """One of the 15,625 cells, drawn uniformly."""
        return _cells()[int(rng.integers(self.size))]

    def mutate(self, genotype: str, rng: np.random.Generator) -> str:
        """The genotype with another operation on one edge, both drawn uniformly."""
        chosen = self.choices(genotype)
        edge = int(rng.integers(len(EDGES)))
        # One of the four others: a cyclic shift by 1 to 4.
        chosen[0, edge] = (chosen[0, edge] + 1 + rng.integers(len(OPS) - 1)) % len(OPS)
        return self.genotype(chosen)

    def op_count(self, genotype: str, op: str) -> int:
        """On how many of the six edges the operation is."""
        return _names(genotype).count(op)

    def graphs(self, genotype: str) -> tuple[tuple[tuple[int, int, str], ...], ...]:
        """The six edges of the only cell, including those with `none`."""
        return (tuple((*edge, op) for edge, op in zip(EDGES, _names(genotype), strict=True)),)

    def choices(self, genotype: str) -> NDArray[np.int64]:
        """(1, 6): the index into `ops` of each edge's operation."""
        return np.array([[OPS.index(op) for op in _names(genotype)]])

    def every(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """All 15,625 genotypes and their choices (15625, 1, 6), in lexicographic order."""
        digits = np.indices((len(OPS),) * len(EDGES)).reshape(len(EDGES), -1)
        return _listed(), digits.T[:, None, :]

    def genotype(self, choices: NDArray[np.integer]) -> str:
        """The genotype of operation indices of shape (1, 6); the inverse of `choices`."""
        return _string(tuple(OPS[op] for op in np.asarray(choices).reshape(len(EDGES))))

    def index(self, genotype: str) -> int:
        """The benchmark's number of the cell, 0 to 15,624."""
        self.check(genotype)
        return _index()[genotype]

    def cell(self, index: int) -> str:
        """The cell with the benchmark's number. Raises UserError outside 0..15,624."""
        if not 0 <= index < self.size:
            raise UserError(
                f"cell {index} does not exist: NAS-Bench-201 numbers its cells 0 to 15624"
            )
        return _cells()[index]
