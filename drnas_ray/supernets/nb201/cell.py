"""What both cells of the NAS-Bench-201 supernet share: nodes, edges and partial channels."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from drnas_ray.core.archsample import ArchSample
from drnas_ray.spaces.nb201 import EDGES, OPS

SKIP, CONV1, CONV3, POOL = (
    OPS.index(op) for op in ("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
)
OUTGOING = tuple(tuple(e for e, (_, s) in enumerate(EDGES) if s == node) for node in range(3))
"""The outgoing edges of each node: they share their input, so their convolutions can be stacked."""


class PreparedSample:
    """One ArchSample made ready for all cells of a forward pass.

    weights: (6, 5), each row multiplied by its edge's scale. `active[e][o]`, on the host: whether
    operation o of edge e is computed at all; `none` never is, as it adds nothing.
    """

    def __init__(self, arch: ArchSample) -> None:
        self.weights = arch.weights[0]
        self.edge_scale = None if arch.scale is None else arch.scale[0]
        if self.edge_scale is not None:
            self.weights = self.weights * self.edge_scale[:, None]
        active = None if arch.active is None else arch.active[0].tolist()
        self.skip_dropout = arch.skip_dropout
        self.active = [[True] * len(OPS) for _ in EDGES] if active is None else active
        self._channel_weights: dict[tuple[int, int], Tensor] = {}

    def active_edges(self, node: int, op: int) -> list[int]:
        """Positions within OUTGOING[node] of the edges on which the operation is computed."""
        return [k for k, edge in enumerate(OUTGOING[node]) if self.active[edge][op]]

    def channel_weights(self, node: int, width: int) -> Tensor:
        """Weight of each stacked channel: 3x3 convolutions, then 1x1, `width` channels each."""
        key = (node, width)
        if key not in self._channel_weights:
            chosen = [
                self.weights[OUTGOING[node][k], op]
                for op in (CONV3, CONV1)
                for k in self.active_edges(node, op)
            ]
            self._channel_weights[key] = torch.stack(chosen).repeat_interleave(width)
        return self._channel_weights[key]


class Cell(nn.Module, ABC):
    """Nodes, and partial channels (PC-DARTS, arXiv:1907.05737).

    Only the first 1/partial of the channels enter the mixed operation, the others bypass it.
    """

    def __init__(self, channels: int, partial: int) -> None:
        super().__init__()
        self.width = channels // partial
        self.partial = partial

    @abstractmethod
    def add_outgoing(
        self, nodes: list[Tensor], sums: list[Tensor | None], sample: PreparedSample
    ) -> None:
        """Add the newest node's outgoing edges to the sums of later nodes, mixed channels only."""

    def forward(self, x: Tensor, sample: PreparedSample) -> Tensor:
        """x: (batch, channels, height, width); the result, node 3, has the same shape."""
        nodes = [x]
        sums: list[Tensor | None] = [None] * 4
        for target in (1, 2, 3):
            self.add_outgoing(nodes, sums, sample)
            value = sums[target]
            if value is None:
                value = torch.zeros_like(x[:, : self.width])
            if self.partial > 1:
                both = torch.cat([value, _bypass(nodes, target, self.width, sample)], 1)
                value = _shuffle(both, self.partial)
            nodes.append(value)
        return nodes[-1]


def add_term(sums: list[Tensor | None], target: int, term: Tensor) -> None:
    """Add to the sum of node `target`, in place; None stands for an empty sum."""
    below = sums[target]
    sums[target] = term if below is None else below + term


def _bypass(nodes: list[Tensor], target: int, width: int, sample: PreparedSample) -> Tensor:
    """Sum over a node's incoming edges of the channels that bypass the mixed operation."""
    parts = []
    for edge, (to, source) in enumerate(EDGES):
        if to == target:
            part = nodes[source][:, width:]
            parts.append(part if sample.edge_scale is None else part * sample.edge_scale[edge])
    return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def _shuffle(x: Tensor, groups: int) -> Tensor:
    """Channel shuffle (ShuffleNet, arXiv:1707.01083): channel g*m + i goes to i*groups + g."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, groups, channels // groups, height, width)
    return x.transpose(1, 2).reshape(batch, channels, height, width)
