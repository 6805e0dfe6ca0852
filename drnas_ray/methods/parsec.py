"""PARSEC (Casale et al. 2019, arXiv:1902.05116): a categorical prior moved by empirical Bayes.

K cells are drawn for each batch. The batch's likelihood under each is its weight, both in the
gradient of the supernet's weights and in the operation frequencies that the prior moves towards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from drnas_ray.config import MethodSettings, SearchConfig
from drnas_ray.core.archsample import ArchSample
from drnas_ray.core.errors import UserError
from drnas_ray.methods.base import Batch, Method, RunView
from drnas_ray.methods.compatibility import check_no_adam
from drnas_ray.methods.relax import (
    draw_choice,
    kept_shares,
    most_probable,
    one_path,
)
from drnas_ray.spaces.space import Space


class ParsecSettings(MethodSettings):
    """samples: cells drawn for each batch, K in the paper; a single one would have weight 1."""

    name: Literal["parsec"] = "parsec"
    samples: int = Field(4, ge=2)
    shared_defaults: ClassVar[Mapping[str, Any]] = {"arch": {"lr": 1e-3}}

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "PARSEC"

    def arch_weight_decay(self) -> float:
        """No decay: probabilities have no value to decay to."""
        return 0.0


class Prior(nn.Module):
    """prior: (T, E, O), rows on the simplex, started uniform."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.prior = nn.Parameter(torch.full(space.shape, 1 / space.shape[-1]))


def importance(losses: Tensor, images: int) -> Tensor:
    """(K,): omega_k proportional to p(labels | images, cell k), from mean cross-entropies (K,)."""
    return (-images * losses).softmax(0)


class Parsec(Method):
    """Weights and prior both move by importance-weighted samples; only drawn operations run."""

    settings_type = ParsecSettings
    mixes = False
    differentiable = False

    def __init__(self, settings: ParsecSettings) -> None:
        self.settings = settings

    def check(self, config: SearchConfig) -> None:
        """Settings that only Adam reads must not be set, and lr is at most 1."""
        check_no_adam(config, "its prior moves without Adam")
        if config.arch.lr > 1:
            raise UserError(
                f"arch.lr={config.arch.lr:g} with method parsec: it is the fraction by which "
                "the prior moves towards the frequencies, give at most 1"
            )

    def make_arch(self, space: Space) -> nn.Module:
        """The prior."""
        return Prior(space)

    def make_arch_optimizer(self, arch: nn.Module, config: SearchConfig) -> torch.optim.Optimizer:
        """Plain descent: with the gradient pi - f, pi becomes (1 - lr) pi + lr f."""
        return torch.optim.SGD(arch.parameters(), lr=config.arch.lr)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): the prior over the kept operations."""
        prior = _prior(run)
        # Above 0, because pruning could leave only operations that float32 has rounded to 0.
        return kept_shares(prior.clamp_min(torch.finfo(prior.dtype).tiny), run.mask)

    def sample(self, run: RunView) -> ArchSample:
        """One cell from the prior."""
        probabilities = self.strengths(run).detach()
        return one_path(draw_choice(probabilities), probabilities)

    def mean(self, run: RunView) -> ArchSample:
        """The most probable cell."""
        return most_probable(self.strengths(run))

    def arch_step(self, run: RunView, train: Batch, val: Batch) -> None:
        """The prior moves towards the weighted frequency of each operation among the samples."""
        samples = [self.sample(run) for _ in range(self.settings.samples)]
        losses = torch.stack([run.score(sample, val, "batch")[0] for sample in samples])
        omega = importance(losses, len(val[1]))
        frequency = torch.einsum("k,kteo->teo", omega, torch.stack([s.weights for s in samples]))
        prior = _prior(run)
        with torch.no_grad():
            prior.copy_(self.strengths(run))  # pruned operations pass their share to the kept ones
        run.step_arch((prior.detach() - frequency,))

    def weight_step(self, run: RunView, train: Batch) -> None:
        """The gradient of sum_k omega_k L_k, the weights omega held fixed."""
        samples = [self.sample(run) for _ in range(self.settings.samples)]
        logits = torch.stack([run.logits(sample, train) for sample in samples])
        losses = torch.stack([nn.functional.cross_entropy(one, train[1]) for one in logits])
        omega = importance(losses.detach(), len(train[1]))
        run.descend(omega @ losses, torch.einsum("k,kbc->bc", omega, logits), train[1])


def _prior(run: RunView) -> Tensor:
    assert isinstance(run.arch, Prior)
    return run.arch.prior
