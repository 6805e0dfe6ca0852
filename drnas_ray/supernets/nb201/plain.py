"""The readable cell: one module for each edge and operation. It defines what the fused one does."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from drnas_ray.spaces.nb201 import EDGES, OPS
from drnas_ray.supernets.blocks import ReLUConvBN, average_pool
from drnas_ray.supernets.nb201.cell import (
    CONV1,
    CONV3,
    OUTGOING,
    POOL,
    SKIP,
    Cell,
    PreparedSample,
    add_term,
)


class PlainCell(Cell):
    """Every operation of every edge, computed separately and weighted."""

    def __init__(self, channels: int, partial: int) -> None:
        super().__init__(channels, partial)
        self.edges = nn.ModuleList(
            nn.ModuleDict(
                {
                    "nor_conv_1x1": ReLUConvBN(self.width, 1, affine=False),
                    "nor_conv_3x3": ReLUConvBN(self.width, 3, affine=False),
                }
            )
            for _ in EDGES
        )

    def _operation(self, edge: int, op: int, x: Tensor, sample: PreparedSample) -> Tensor:
        if op == SKIP:
            return F.dropout(x, sample.skip_dropout, self.training)
        if op == POOL:
            return average_pool(x)
        out: Tensor = self.edges[edge][OPS[op]](x)  # type: ignore[index]
        return out

    def add_outgoing(
        self, nodes: list[Tensor], sums: list[Tensor | None], sample: PreparedSample
    ) -> None:
        """Add weight times operation for each outgoing edge."""
        node = len(nodes) - 1
        x = nodes[node][:, : self.width]
        for edge in OUTGOING[node]:
            for op in (SKIP, CONV1, CONV3, POOL):
                if sample.active[edge][op]:
                    term = sample.weights[edge, op] * self._operation(edge, op, x, sample)
                    add_term(sums, EDGES[edge][0], term)
