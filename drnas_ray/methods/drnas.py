"""DrNAS (Chen et al., ICLR 2021, arXiv:2006.10355): shares drawn from a learnt Dirichlet."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Dirichlet
from torch.nn import functional as F

from drnas_ray.config import MethodSettings, SearchConfig
from drnas_ray.core.archsample import ArchSample
from drnas_ray.core.errors import UserError
from drnas_ray.methods.base import Method, RunView, alpha_of

# elu(alpha) + 1 reaches 0 in float32 below alpha = -17, where no Dirichlet exists.
SMALLEST_CONCENTRATION = 1e-4


class DrNASSettings(MethodSettings):
    """How far the concentration may stray from 1, the uniform distribution on the simplex.

    penalty: `l2` is Adam's decay of alpha towards 0, where beta = 1 (the paper's tables); `l2_beta`
    is |beta - 1| as the paper prints it; `kl` is KL(Dir(beta) || Dir(1)) summed over edges.
    penalty_scale: lambda of the paper's eq. 1.
    """

    name: Literal["drnas"] = "drnas"
    penalty: Literal["l2", "l2_beta", "kl", "none"] = "l2"
    penalty_scale: float = Field(1e-3, ge=0)

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "DrNAS"

    def arch_weight_decay(self) -> float:
        """The l2 penalty is Adam's decay; the others are added to the loss and decay nothing."""
        return self.penalty_scale if self.penalty == "l2" else 0.0


def concentration(alpha: Tensor) -> Tensor:
    """beta = elu(alpha) + 1, above 0."""
    return (F.elu(alpha) + 1).clamp_min(SMALLEST_CONCENTRATION)


def draw(beta: Tensor, active: Tensor | None) -> Tensor:
    """One Dirichlet draw for each edge, with its pathwise gradient.

    beta, active: (T, E, O). Where operations are pruned the draw is a Dirichlet over the kept
    ones, which has the distribution of a full draw zeroed and renormalised (aggregation property);
    pruned operations get share 0.
    """
    if active is None:
        return Dirichlet(beta, validate_args=False).rsample()
    theta = torch.zeros_like(beta)
    for count, where in _places(tuple(active.flatten().tolist()), tuple(active.shape), beta.device):
        part = beta[where].unflatten(0, (-1, count))
        theta = theta.index_put(where, Dirichlet(part, validate_args=False).rsample().flatten())
    return theta


@lru_cache(maxsize=8)
def _places(
    active: tuple[bool, ...], shape: tuple[int, ...], device: torch.device
) -> list[tuple[int, tuple[Tensor, ...]]]:
    """Edges with equally many kept operations: how many, and where those are.

    Cached, because a mask stays the same for many steps and its indices are on the device.
    """
    mask = torch.tensor(active).view(shape)
    counts = mask.sum(-1)
    return [
        (count, tuple(i.to(device) for i in (mask & (counts == count)[..., None]).nonzero().T))
        for count in counts.unique().tolist()
    ]


def kl_to_uniform(beta: Tensor) -> Tensor:
    """KL(Dir(beta) || Dir(1)) summed over all but the last axis."""
    total = beta.sum(-1)
    pulled = ((beta - 1) * (beta.digamma() - total[..., None].digamma())).sum(-1)
    normaliser = total.lgamma() - beta.lgamma().sum(-1)
    uniform = torch.tensor(float(beta.shape[-1]), dtype=beta.dtype, device=beta.device).lgamma()
    return (normaliser - uniform + pulled).sum()


class DrNAS(Method):
    """One draw per forward pass, shared by all cells of a type, in validation too."""

    settings_type = DrNASSettings
    distribution = "dirichlet"

    def __init__(self, settings: DrNASSettings) -> None:
        self.settings = settings

    def check(self, config: SearchConfig) -> None:
        """None of the paper's variants has two penalties at once."""
        settings, decay = self.settings, config.arch.weight_decay
        if decay is None or decay == settings.arch_weight_decay():
            return
        raise UserError(
            f"arch.weight_decay={decay:g} with method.penalty={settings.penalty} is a second "
            "penalty: DrNAS's l2 penalty is that decay. Leave arch.weight_decay out and choose "
            "method.penalty and method.penalty_scale"
        )

    def sample(self, run: RunView) -> ArchSample:
        """Shares from Dir(beta), edges independent."""
        return ArchSample(draw(concentration(alpha_of(run)), run.active), run.active)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): beta, whose largest entry is the largest of the Dirichlet mean."""
        beta = concentration(alpha_of(run))
        return beta if run.mask is None else beta * run.mask

    def penalty(self, run: RunView) -> Tensor | float:
        """lambda * d(beta, 1); pruned operations count as beta = 1."""
        if self.settings.penalty not in ("l2_beta", "kl"):
            return 0.0
        beta = concentration(alpha_of(run))
        if run.mask is not None:
            beta = torch.where(run.mask, beta, 1.0)
        if self.settings.penalty == "kl":
            return self.settings.penalty_scale * kl_to_uniform(beta)
        distance: Tensor = torch.linalg.vector_norm(beta - 1)
        return self.settings.penalty_scale * distance
