"""ArchSample: the one value that a method passes to a supernet.

A method's `sample` makes it; `drnas_ray.search.steps` runs the supernet with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class ArchSample:
    """All that a supernet knows about the architecture in one forward pass.

    weights: (cell types, edges, ops), the share of each operation on its edge.
    active: same shape, bool, on the CPU (so that reading it never waits for a GPU): the operations
        to run; None runs all. Where it is False the weight counts as 0.
    scale: (cell types, edges), a factor for each edge's whole output (PC-DARTS's edge
        normalisation); None leaves the outputs as they are.
    skip_dropout: share of a skip connection's outputs that training drops (P-DARTS).
    """

    weights: Tensor
    active: Tensor | None = None
    scale: Tensor | None = None
    skip_dropout: float = 0.0

    def detach(self) -> ArchSample:
        """The same values, detached from the graph: for steps of the network's weights only."""
        scale = None if self.scale is None else self.scale.detach()
        return replace(self, weights=self.weights.detach(), scale=scale)
