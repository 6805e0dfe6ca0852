"""The NAS-Bench-201 supernet as DrNAS searches it (Chen et al., ICLR 2021, arXiv:2006.10355).

Told its architecture with every call and remembering none of it. Two cells compute the same: the
plain one, a module for each edge and operation, is the definition; the fused one is what runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial as bind

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drnas_ray.config import SupernetSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.spaces.nb201 import EDGES, OPS
from drnas_ray.supernets.blocks import ReLUConvBN, Skeleton, average_pool, fast_average_pool

SKIP, CONV1, CONV3, POOL = (
    OPS.index(op) for op in ("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
)
# The edges that leave each node: they share their input, so their convolutions can be stacked.
LEAVING = tuple(tuple(e for e, (_, s) in enumerate(EDGES) if s == node) for node in range(3))


class Plan:
    """One ArchSample made ready for all cells of a forward pass.

    weights: (6, 5), each row already times its edge's scale. `runs[e][o]` says on the host whether
    operation o of edge e is computed at all; `none` never is, for it brings nothing.
    """

    def __init__(self, arch: ArchSample) -> None:
        self.weights = arch.weights[0]
        self.edge_scale = None if arch.scale is None else arch.scale[0]
        if self.edge_scale is not None:
            self.weights = self.weights * self.edge_scale[:, None]
        active = None if arch.active is None else arch.active[0].tolist()
        self.skip_dropout = arch.skip_dropout
        self.runs = [[True] * len(OPS) for _ in EDGES] if active is None else active
        self._bn_weights: dict[tuple[int, int], Tensor] = {}

    def running(self, node: int, op: int) -> list[int]:
        """Positions within LEAVING[node] of the edges on which the operation runs."""
        return [k for k, edge in enumerate(LEAVING[node]) if self.runs[edge][op]]

    def bn_weight(self, node: int, width: int) -> Tensor:
        """Each stacked channel's share: 3x3 convolutions first, then 1x1, `width` channels each."""
        key = (node, width)
        if key not in self._bn_weights:
            picks = [
                self.weights[LEAVING[node][k], op]
                for op in (CONV3, CONV1)
                for k in self.running(node, op)
            ]
            self._bn_weights[key] = torch.stack(picks).repeat_interleave(width)
        return self._bn_weights[key]


def _bypass(nodes: list[Tensor], target: int, width: int, plan: Plan) -> Tensor:
    """Sum over a node's incoming edges of the channels that skip the mixed operation."""
    parts = []
    for edge, (to, source) in enumerate(EDGES):
        if to == target:
            part = nodes[source][:, width:]
            parts.append(part if plan.edge_scale is None else part * plan.edge_scale[edge])
    return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


def _shuffle(x: Tensor, groups: int) -> Tensor:
    """Channel shuffle (ShuffleNet): channel g*m + i goes to i*groups + g."""
    batch, channels, height, width = x.shape
    x = x.reshape(batch, groups, channels // groups, height, width)
    return x.transpose(1, 2).reshape(batch, channels, height, width)


class _Cell(nn.Module, ABC):
    """What both cells share: the nodes, and partial channels (PC-DARTS, arXiv:1907.05737)."""

    def __init__(self, channels: int, partial: int) -> None:
        super().__init__()
        self.width = channels // partial
        self.partial = partial

    @abstractmethod
    def mixed_sums(self, nodes: list[Tensor], sums: list[Tensor | None], plan: Plan) -> None:
        """Add what leaves the newest node to the sums of the later nodes, mixed channels only."""

    def forward(self, x: Tensor, plan: Plan) -> Tensor:
        """x: (batch, channels, height, width), and so is the result, node 3."""
        nodes = [x]
        sums: list[Tensor | None] = [None] * 4
        for target in (1, 2, 3):
            self.mixed_sums(nodes, sums, plan)
            value = sums[target]
            if value is None:
                value = torch.zeros_like(x[:, : self.width])
            if self.partial > 1:
                both = torch.cat([value, _bypass(nodes, target, self.width, plan)], 1)
                value = _shuffle(both, self.partial)
            nodes.append(value)
        return nodes[-1]


def _add(sums: list[Tensor | None], target: int, term: Tensor) -> None:
    below = sums[target]
    sums[target] = term if below is None else below + term


class PlainCell(_Cell):
    """One module for each edge and operation: the readable definition."""

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

    def _operation(self, edge: int, op: int, x: Tensor, plan: Plan) -> Tensor:
        if op == SKIP:
            return F.dropout(x, plan.skip_dropout, self.training)
        if op == POOL:
            return average_pool(x)
        out: Tensor = self.edges[edge][OPS[op]](x)  # type: ignore[index]
        return out

    def mixed_sums(self, nodes: list[Tensor], sums: list[Tensor | None], plan: Plan) -> None:
        """Add weight times operation, one by one."""
        node = len(nodes) - 1
        x = nodes[node][:, : self.width]
        for edge in LEAVING[node]:
            for op in (SKIP, CONV1, CONV3, POOL):
                if plan.runs[edge][op]:
                    term = plan.weights[edge, op] * self._operation(edge, op, x, plan)
                    _add(sums, EDGES[edge][0], term)


class _Stacked(nn.Module):
    """All convolutions that leave one node, stacked along the output channels."""

    def __init__(self, width: int, edges: int) -> None:
        super().__init__()
        self.width = width
        self.conv3 = nn.Conv2d(width, edges * width, 3, padding=1, bias=False)
        self.conv1 = nn.Conv2d(width, edges * width, 1, bias=False)
        # Without affine, normalisation is per channel, so one over the stack equals one for each.
        self.bn = nn.BatchNorm2d(2 * edges * width, affine=False)

    def forward(self, x: Tensor, on3: list[int], on1: list[int], weight: Tensor) -> Tensor:
        """(batch, (len(on3) + len(on1)) * width, height, width): weighted, 3x3 ones first.

        on3, on1: the edges (positions at this node) whose 3x3 and 1x1 convolutions run.
        weight: one factor a channel. It goes in as the normalisation's scale, so weighting, and
        the gradient with respect to the weights, cost no pass of their own.
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
        """The kernels of the running edges, (len(on) * width, width, k, k)."""
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
        if bn.training and not whole:  # `mean` and `var` were copies: put them back
            for stored, new in ((bn.running_mean, mean), (bn.running_var, var)):
                assert stored is not None
                for row, part in zip(rows, new.split(self.width), strict=True):
                    stored.split(self.width)[row].copy_(part)
        return out


class FusedCell(_Cell):
    """The cell that runs: one ReLU, two stacked convolutions, one pool for each source node."""

    def __init__(self, channels: int, partial: int) -> None:
        super().__init__(channels, partial)
        self.sources = nn.ModuleList(_Stacked(self.width, len(leave)) for leave in LEAVING)

    def mixed_sums(self, nodes: list[Tensor], sums: list[Tensor | None], plan: Plan) -> None:
        """Add what leaves the newest node, computing what its edges share once."""
        node = len(nodes) - 1
        x = nodes[node][:, : self.width]
        on3, on1 = plan.running(node, CONV3), plan.running(node, CONV1)
        if on3 or on1:
            weight = plan.bn_weight(node, self.width)
            stacked = self.sources[node](x, on3, on1, weight).split(self.width, 1)
            for k, piece in zip(on3 + on1, stacked, strict=True):
                _add(sums, EDGES[LEAVING[node][k]][0], piece)
        for op in (SKIP, POOL):
            on = plan.running(node, op)
            shared = fast_average_pool(x) if op == POOL and on else x
            for k in on:
                edge = LEAVING[node][k]
                value = shared
                if op == SKIP and plan.skip_dropout:
                    value = F.dropout(x, plan.skip_dropout, self.training)
                _add(sums, EDGES[edge][0], plan.weights[edge, op] * value)


class NB201Supernet(Skeleton):
    """All 15,625 cells in one network, for any C, N, classes, input channels and partial K."""

    def __init__(self, settings: SupernetSettings, *, in_channels: int, classes: int) -> None:
        kind: Callable[..., nn.Module] = FusedCell if settings.fused else PlainCell
        super().__init__(
            bind(kind, partial=settings.partial),
            channels=settings.channels,
            cells=settings.cells,
            in_channels=in_channels,
            classes=classes,
        )

    def forward(self, x: Tensor, arch: ArchSample) -> Tensor:
        """Images (batch, in_channels, height, width) to logits (batch, classes)."""
        plan = Plan(arch)
        return self.run(x, lambda cell, h: cell(h, plan))
