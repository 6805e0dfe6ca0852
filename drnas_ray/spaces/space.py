"""The interface of a search space: plain data and codecs, no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


class Space(ABC):
    """Cells to choose from. A genotype is the space's own string; strengths rank operations.

    Shapes below: T cell types, E edges, O operations.
    """

    name: ClassVar[str]
    cell_types: ClassVar[tuple[str, ...]]
    edges: ClassVar[tuple[tuple[int, int], ...]]
    """(target node, source node) of each edge, in the order of the E axis."""
    ops: ClassVar[tuple[str, ...]]
    """Names in the order of the O axis."""
    skip_op: ClassVar[str]
    """The operation that dominates a collapsed cell."""
    concat: ClassVar[tuple[int, ...]] = ()
    """The nodes whose concatenation is the cell's output; () where the last node is the output."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T, E, O)."""
        return len(self.cell_types), len(self.edges), len(self.ops)

    @abstractmethod
    def discretise(self, strengths: NDArray[np.floating]) -> str:
        """The genotype that strengths (T, E, O) choose; an operation at -inf is never chosen.

        Raises UserError on another shape, on nan, or where an edge has no finite strength.
        """

    @abstractmethod
    def check(self, genotype: str) -> str:
        """The genotype itself. Raises UserError, naming what is wrong, if it is not one."""

    @abstractmethod
    def canonical(self, genotype: str) -> str:
        """The representative of the genotype's isomorphism class, the same for the whole class."""

    @abstractmethod
    def choices(self, genotype: str) -> NDArray[np.int64]:
        """(T, E): the index into `ops` of each edge's operation, -1 where the edge is left out."""

    def every(self) -> tuple[Sequence[str], NDArray[np.int64]] | None:
        """All genotypes and their choices (n, T, E), in lexicographic order.

        None where there are too many to list.
        """
        return None

    @abstractmethod
    def random(self, rng: np.random.Generator) -> str:
        """A genotype drawn uniformly."""

    @abstractmethod
    def mutate(self, genotype: str, rng: np.random.Generator) -> str:
        """The genotype with another operation on one edge, both drawn uniformly."""

    @abstractmethod
    def op_count(self, genotype: str, op: str) -> int:
        """On how many edges of the genotype the operation is."""

    @abstractmethod
    def graphs(self, genotype: str) -> tuple[tuple[tuple[int, int, str], ...], ...]:
        """(target node, source node, operation) of each edge it keeps, a tuple per cell type."""
