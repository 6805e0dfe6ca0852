"""The network of one NAS-Bench-201 cell, to train from scratch (arXiv:2001.00326, figure 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drnas_ray.spaces.nb201 import EDGES, NB201, OPS
from drnas_ray.supernets.blocks import ReLUConvBN, Skeleton, fast_average_pool

_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


class DerivedCell(nn.Module):
    """One operation on each edge; batch normalisation is affine here, unlike in a supernet."""

    def __init__(self, channels: int, ops: tuple[str, ...]) -> None:
        super().__init__()
        self.ops = ops
        self.convolutions = nn.ModuleDict(
            {
                str(edge): ReLUConvBN(channels, _KERNELS[op], affine=True)
                for edge, op in enumerate(ops)
                if op in _KERNELS
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width); the result, node 3, has the same shape."""
        nodes = [x]
        for target in (1, 2, 3):
            total = torch.zeros_like(x)
            for edge, (to, source) in enumerate(EDGES):
                if to == target and self.ops[edge] != "none":
                    total = total + self._operation(edge, nodes[source])
            nodes.append(total)
        return nodes[-1]

    def _operation(self, edge: int, x: Tensor) -> Tensor:
        op = self.ops[edge]
        if op in _KERNELS:
            out: Tensor = self.convolutions[str(edge)](x)
            return out
        return x if op == "skip_connect" else fast_average_pool(x)


class NB201Network(Skeleton):
    """The benchmark's network. Its own sizes are C=16 and N=5; any others work."""

    def __init__(
        self, genotype: str, *, channels: int, cells: int, in_channels: int, classes: int
    ) -> None:
        chosen = NB201().choices(genotype)[0]
        ops = tuple(OPS[op] for op in chosen)
        super().__init__(
            lambda width: DerivedCell(width, ops),
            channels=channels,
            cells=cells,
            in_channels=in_channels,
            classes=classes,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, in_channels, height, width) to logits (batch, classes)."""
        return self.run(x, lambda cell, h: cell(h))
