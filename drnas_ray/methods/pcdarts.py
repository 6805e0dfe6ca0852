"""PC-DARTS (Xu et al., ICLR 2020, arXiv:1907.05737): partial channels and edge normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from drnas_ray.config import MethodSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.base import Alpha, Method, RunView
from drnas_ray.methods.relax import incoming_softmax, same_target, scaled, softmax_shares
from drnas_ray.spaces.space import Space


class PCDartsSettings(MethodSettings):
    """edge_weights: weight the incoming edges of each node; False: partial channels only."""

    name: Literal["pcdarts"] = "pcdarts"
    edge_weights: bool = True
    shared_defaults: ClassVar[Mapping[str, Any]] = {"supernet": {"partial": 4}}

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "PC-DARTS" if self.edge_weights else "PC-DARTS (K only)"


class EdgeAlpha(Alpha):
    """Alpha, and one logit for each edge, (T, E); both start near 0."""

    same: Tensor

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.edge = nn.Parameter(1e-3 * torch.randn(space.shape[:2]))
        # On the run's device like the rest, so that a step copies nothing to it.
        self.register_buffer("same", same_target(space), persistent=False)


class PCDarts(Method):
    """Shares as in DARTS; each edge's whole output times its weight among its node's edges."""

    settings_type = PCDartsSettings

    def __init__(self, settings: PCDartsSettings) -> None:
        self.settings = settings

    def make_arch(self, space: Space) -> nn.Module:
        """Alpha, with or without the edges' logits."""
        return EdgeAlpha(space) if self.settings.edge_weights else Alpha(space)

    def sample(self, run: RunView) -> ArchSample:
        """Softmax of alpha on each edge; scale (T, E) sums to 1 over the edges into a node."""
        shares = softmax_shares(run)
        scale = None
        if isinstance(run.arch, EdgeAlpha):
            scale = incoming_softmax(run.arch.edge, run.arch.same)
        return ArchSample(shares, run.active, scale)

    def mean(self, run: RunView) -> ArchSample:
        """The sample itself: nothing is drawn."""
        return self.sample(run)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): share times edge weight, what the authors derive from (section 3.3)."""
        return scaled(self.sample(run))
