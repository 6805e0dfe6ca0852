"""Whether a derived cell has collapsed, from the edges that its output depends on.

An edge is live if it is on a path from the cell's input to its output without `none`. A cell is
- cut off: it has no live edge, so its output is zero whatever its input;
- all skip: every live edge is a skip connection, so its output is a multiple of its input;
- without convolution: a live edge pools, none convolves; it has no weights;
- with convolution otherwise.
The first two are collapsed. Edges that are not live do not matter: a convolution whose input is cut
off does not save a cell.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache

from drnas_ray.spaces import SPACES
from drnas_ray.spaces.nb201 import EDGES, NB201


class OutputKind(Enum):
    """What a cell's output is made of."""

    CUT_OFF = "cut off"
    ALL_SKIP = "all skip"
    NO_CONVOLUTION = "without convolution"
    CONVOLUTION = "with convolution"

    @property
    def collapsed(self) -> bool:
        """Whether the output is zero or a multiple of the input."""
        return self in (OutputKind.CUT_OFF, OutputKind.ALL_SKIP)


def _live(names: list[str]) -> list[str]:
    """The operations of a NAS-Bench-201 cell's live edges. names: of all edges, in their order."""
    edges = [(to, source, op) for (to, source), op in zip(EDGES, names, strict=True)]
    edges = [edge for edge in edges if edge[2] != "none"]
    reached, reaching = {0}, {3}
    for _ in range(3):  # paths have three edges at most
        reached |= {to for to, source, _ in edges if source in reached}
        reaching |= {source for to, source, _ in edges if to in reaching}
    return [op for to, source, op in edges if source in reached and to in reaching]


@lru_cache(maxsize=65_536)
def output_kind(space_name: str, genotype: str) -> OutputKind:
    """What a cell's output is made of. Raises UserError if it is not a valid genotype.

    In a space without `none` every edge of the genotype is live.
    """
    space = SPACES[space_name]
    if isinstance(space, NB201):
        chosen = space.choices(genotype)[0]
        live = _live([space.ops[int(op)] for op in chosen])
    else:
        live = [op for op in space.ops if op != "none" and space.op_count(genotype, op)]
    if not live:
        return OutputKind.CUT_OFF
    if set(live) == {space.skip_op}:
        return OutputKind.ALL_SKIP
    return OutputKind.CONVOLUTION if any("conv" in op for op in live) else OutputKind.NO_CONVOLUTION
