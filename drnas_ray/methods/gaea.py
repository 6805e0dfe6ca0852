"""GAEA (Li et al., ICLR 2021, arXiv:2004.07802): exponentiated gradient on the simplex.

The shares themselves are learnt. A step multiplies them by exp(-lr * gradient) and normalises,
which drives them towards a vertex: the mixture becomes the cell that it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from drnas_ray.config import MethodSettings, SearchConfig
from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.base import Batch, Method, RunView
from drnas_ray.methods.compatibility import check_no_adam
from drnas_ray.methods.relax import (
    incoming_softmax,
    kept_shares,
    same_target,
    scaled,
)
from drnas_ray.spaces.space import Space

# A share that reached 0 would never come back; the authors' clamp.
SMALLEST_SHARE = 1e-5


class GaeaSettings(MethodSettings):
    """edge_weights: also learn the weights of the edges into each node, on partial channels."""

    name: Literal["gaea"] = "gaea"
    edge_weights: bool = False

    @property
    def shared_defaults(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The authors' rate; partial channels go with edge weights, as in PC-DARTS."""
        partial = {"supernet": {"partial": 4}} if self.edge_weights else {}
        return {"arch": {"lr": 0.1}, **partial}

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "GAEA + PC-DARTS" if self.edge_weights else "GAEA + DARTS"

    def arch_weight_decay(self) -> float:
        """No decay: shares on a simplex have no value to decay to."""
        return 0.0


class Shares(nn.Module):
    """shares: (T, E, O), a simplex per edge; edge: (T, E), a simplex per target node, or None."""

    edge: nn.Parameter | None
    same: Tensor

    def __init__(self, space: Space, *, edge_weights: bool) -> None:
        super().__init__()
        self.shares = nn.Parameter(torch.zeros(space.shape).softmax(-1))
        same = same_target(space)
        # On the run's device like the rest, so that a step copies nothing to it.
        self.register_buffer("same", same, persistent=False)
        uniform = incoming_softmax(torch.zeros(space.shape[:2]), same)
        self.edge = nn.Parameter(uniform.clone()) if edge_weights else None


class ExponentiatedGradient(torch.optim.Optimizer):
    """p <- p * exp(-lr * gradient) / sum: mirror descent with the entropy as the mirror map.

    simplices: (parameter, softmax over its simplices) pairs; the step is that softmax of log p - lr
    * gradient.
    """

    def __init__(
        self, simplices: list[tuple[nn.Parameter, Callable[[Tensor], Tensor]]], lr: float
    ) -> None:
        super().__init__([parameter for parameter, _ in simplices], {"lr": lr})
        # Not in a group, because groups are checkpointed.
        self.softmaxes = [softmax for _, softmax in simplices]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of all parameters."""
        (group,) = self.param_groups
        for parameter, softmax in zip(group["params"], self.softmaxes, strict=True):
            moved = softmax(parameter.log() - group["lr"] * parameter.grad)
            parameter.copy_(softmax(moved.clamp_min(SMALLEST_SHARE).log()))


class Gaea(Method):
    """A mixture as in DARTS or PC-DARTS; what is learnt, and how it is updated, differs."""

    settings_type = GaeaSettings

    def __init__(self, settings: GaeaSettings) -> None:
        self.settings = settings

    def check(self, config: SearchConfig) -> None:
        """Settings that only Adam reads must not be set."""
        check_no_adam(config, "exponentiated gradient has neither")

    def make_arch(self, space: Space) -> nn.Module:
        """Uniform shares."""
        return Shares(space, edge_weights=self.settings.edge_weights)

    def make_arch_optimizer(self, arch: nn.Module, config: SearchConfig) -> torch.optim.Optimizer:
        """Exponentiated gradient with rate `arch.lr`."""
        assert isinstance(arch, Shares)
        simplices: list[tuple[nn.Parameter, Callable[[Tensor], Tensor]]]
        simplices = [(arch.shares, lambda logits: logits.softmax(-1))]
        if arch.edge is not None:
            simplices.append((arch.edge, lambda logits: incoming_softmax(logits, arch.same)))
        return ExponentiatedGradient(simplices, config.arch.lr)

    def sample(self, run: RunView) -> ArchSample:
        """The shares of the operations kept, and the edges' weights."""
        arch = _shares(run)
        return ArchSample(kept_shares(arch.shares, run.mask), run.active, arch.edge)

    def mean(self, run: RunView) -> ArchSample:
        """The sample itself: nothing is drawn."""
        return self.sample(run)

    def arch_step(self, run: RunView, train: Batch, val: Batch) -> None:
        """First order, on the simplex of the operations kept."""
        if run.mask is not None:
            # Otherwise steps would grow as the kept operations' part of the simplex shrinks.
            shares = _shares(run).shares
            with torch.no_grad():
                shares.copy_(kept_shares(shares, run.mask))
        super().arch_step(run, train, val)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): share times edge weight."""
        return scaled(self.sample(run))


def _shares(run: RunView) -> Shares:
    assert isinstance(run.arch, Shares)
    return run.arch
