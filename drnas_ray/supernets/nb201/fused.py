"""The fast cell: what the outgoing edges of a node share is computed once."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drnas_ray.spaces.nb201 import EDGES
from drnas_ray.supernets.blocks import fast_average_pool
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


class _Stacked(nn.Module):
    """All convolutions on one node's outgoing edges, stacked along the output channels."""

    def __init__(self, width: int, edges: int) -> None:
        super().__init__()
        self.width = width
        self.conv3 = nn.Conv2d(width, edges * width, 3, padding=1, bias=False)
        self.conv1 = nn.Conv2d(width, edges * width, 1, bias=False)
        # Normalisation is per channel, so one over the stack equals one for each convolution.
        self.bn = nn.BatchNorm2d(2 * edges * width, affine=False)

    def forward(self, x: Tensor, on3: list[int], on1: list[int], weight: Tensor) -> Tensor:
        """(batch, (len(on3) + len(on1)) * width, height, width), weighted; 3x3 convolutions first.

        on3, on1: positions at this node of the edges whose 3x3 and 1x1 convolutions are active.
        weight: one factor per channel. It enters as the scale of the normalisation, so that neither
        weighting nor its gradient takes a pass of its own.
        """
        edges = self.conv3.out_channels // self.width
        x = torch.relu(x)
        parts = [
            F.conv2d(x, self._rows(conv.weight, on), padding=conv.padding)
            for conv, on in ((self.conv3, on3), (self.conv1, on1))
            if on
        ]
        y = torch.cat(parts, 1) if len(parts) > 1 else parts[0]
        rows = on3 + [edges + k for k in on1]
        return self._normalise(y, rows, weight, whole=len(rows) == 2 * edges)

    def _rows(self, weight: Tensor, on: list[int]) -> Tensor:
        """The kernels of the active edges, (len(on) * width, width, k, k)."""
        groups = weight.split(self.width)
        # Slices, not an index list: a list would have to be copied to the GPU at every step.
        return weight if len(on) == len(groups) else torch.cat([groups[k] for k in on])

    def _normalise(self, y: Tensor, rows: list[int], weight: Tensor, *, whole: bool) -> Tensor:
        bn = self.bn
        mean, var = bn.running_mean, bn.running_var
        assert mean is not None and var is not None  # track_running_stats is on
        if not whole:
            mean, var = (torch.cat([t.split(self.width)[row] for row in rows]) for t in (mean, var))
        out = F.batch_norm(
            y, mean, var, weight, training=bn.training, momentum=bn.momentum or 0.0, eps=bn.eps
        )
        if bn.training:
            assert bn.num_batches_tracked is not None
            bn.num_batches_tracked.add_(1)
        if bn.training and not whole:  # `mean` and `var` are copies: write them back
            for stored, new in ((bn.running_mean, mean), (bn.running_var, var)):
                assert stored is not None
                for row, part in zip(rows, new.split(self.width), strict=True):
                    stored.split(self.width)[row].copy_(part)
        return out


class FusedCell(Cell):
    """One ReLU, two stacked convolutions and one pool for each source node."""

    def __init__(self, channels: int, partial: int) -> None:
        super().__init__(channels, partial)
        self.sources = nn.ModuleList(_Stacked(self.width, len(edges)) for edges in OUTGOING)

    def add_outgoing(
        self, nodes: list[Tensor], sums: list[Tensor | None], sample: PreparedSample
    ) -> None:
        """Add the newest node's outgoing edges; what they share is computed once."""
        node = len(nodes) - 1
        x = nodes[node][:, : self.width]
        on3, on1 = sample.active_edges(node, CONV3), sample.active_edges(node, CONV1)
        if on3 or on1:
            weight = sample.channel_weights(node, self.width)
            stacked = self.sources[node](x, on3, on1, weight).split(self.width, 1)
            for k, piece in zip(on3 + on1, stacked, strict=True):
                add_term(sums, EDGES[OUTGOING[node][k]][0], piece)
        for op in (SKIP, POOL):
            on = sample.active_edges(node, op)
            shared = fast_average_pool(x) if op == POOL and on else x
            for k in on:
                edge = OUTGOING[node][k]
                value = shared
                if op == SKIP and sample.skip_dropout:
                    value = F.dropout(x, sample.skip_dropout, self.training)
                add_term(sums, EDGES[edge][0], sample.weights[edge, op] * value)
