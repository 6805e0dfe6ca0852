"""GAEA (Li et al., ICLR 2021, arXiv:2004.07802): exponentiated gradient on the simplex.

The shares themselves are the parameter; each step multiplies them by exp(-lr * gradient) and
normalises, which drives them towards a vertex: the mixture becomes the cell it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from drnas_ray.archsample import ArchSample
from drnas_ray.config import MethodSettings, SearchConfig
from drnas_ray.errors import UserError
from drnas_ray.methods.base import Method, RunView
from drnas_ray.methods.relax import normalised_edges
from drnas_ray.spaces import space_named
from drnas_ray.spaces.space import Space

SMALLEST_SHARE = 1e-5


class GaeaSettings(MethodSettings):
    """edge_weights: also a simplex over the edges that enter a node, with K = 4: GAEA PC-DARTS."""

    name: Literal["gaea"] = "gaea"
    edge_weights: bool = False

    @property
    def shared_defaults(self) -> Mapping[str, Any]:  # type: ignore[override]
        """Rate 0.1; partial channels belong to PC-DARTS, edge weights to it as well."""
        partial = {"supernet": {"partial": 4}} if self.edge_weights else {}
        return {"arch": {"lr": 0.1}, **partial}

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "GAEA + PC-DARTS" if self.edge_weights else "GAEA + DARTS"

    def arch_weight_decay(self) -> float:
        """None: shares don't decay."""
        return 0.0

    def check(self, config: SearchConfig) -> None:
        """A decay has no meaning on the simplex."""
        if config.arch_weight_decay():
            raise UserError(
                f"arch.weight_decay={config.arch.weight_decay} with method gaea: shares on a "
                "simplex don't decay, leave it out"
            )


class Shares(nn.Module):
    """shares: (T, E, O), rows on the simplex; edges: (T, E), on a simplex for each node."""

    edges: nn.Parameter | None

    def __init__(self, space: Space, *, edges: bool) -> None:
        super().__init__()
        self.shares = nn.Parameter(torch.full(space.shape, 1 / space.shape[-1]))
        uniform = normalised_edges(torch.ones(space.shape[:2]), space)
        self.edges = nn.Parameter(uniform) if edges else None


class ExponentiatedGradient(torch.optim.Optimizer):
    """p <- p * exp(-lr * gradient), brought back onto the simplex by the group's `onto`.

    onto: normalises a positive tensor over each simplex. Shares are kept above 1e-5, below which
    none would ever come back.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr})
        self.onto: list[Callable[[Tensor], Tensor]] = [
            group.pop("onto") for group in self.param_groups
        ]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step."""
        for group, onto in zip(self.param_groups, self.onto, strict=True):
            for parameter in group["params"]:
                exponent = -group["lr"] * parameter.grad
                # The largest exponent of a row may be huge; only differences count.
                exponent = (exponent - exponent.amax(-1, keepdim=True)).clamp_min(-60)
                moved = onto(parameter * exponent.exp()).clamp_min(SMALLEST_SHARE)
                parameter.copy_(onto(moved))


def normalised(p: Tensor) -> Tensor:
    """Rows of the last axis sum to 1."""
    return p / p.sum(-1, keepdim=True)


class Gaea(Method):
    """A mixture like DARTS's; what differs is what is learnt, and how it moves."""

    settings_type = GaeaSettings

    def __init__(self, settings: GaeaSettings) -> None:
        self.settings = settings

    def make_arch(self, space: Space) -> nn.Module:
        """Uniform shares."""
        return Shares(space, edges=self.settings.edge_weights)

    def make_arch_optimizer(self, arch: nn.Module, config: SearchConfig) -> torch.optim.Optimizer:
        """Exponentiated gradient; `arch.betas` belong to Adam and are not used."""
        assert isinstance(arch, Shares)
        space = space_named(config.space)
        groups: list[dict[str, Any]] = [{"params": [arch.shares], "onto": normalised}]
        if arch.edges is not None:
            groups.append({"params": [arch.edges], "onto": lambda p: normalised_edges(p, space)})
        return ExponentiatedGradient(groups, config.arch.lr)

    def _kept(self, run: RunView) -> Tensor:
        """(T, E, O): shares over the operations kept."""
        assert isinstance(run.arch, Shares)
        return run.arch.shares if run.mask is None else normalised(run.arch.shares * run.mask)

    def _scale(self, run: RunView) -> Tensor | None:
        assert isinstance(run.arch, Shares)
        return None if run.arch.edges is None else run.arch.edges

    def sample(self, run: RunView) -> ArchSample:
        """The shares themselves."""
        return ArchSample(self._kept(run), run.active, self._scale(run))

    def mean(self, run: RunView) -> ArchSample:
        """The same: nothing is drawn."""
        return self.sample(run)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): shares times their edge's weight."""
        scale = self._scale(run)
        return self._kept(run) if scale is None else self._kept(run) * scale[..., None]
