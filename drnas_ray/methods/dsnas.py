"""DSNAS (Hu et al., CVPR 2020, arXiv:2002.09128): one path per pass, whose gradient scores it.

Only the drawn operation of each edge runs. The derivative of the loss with respect to that
operation's weight is the edge's cost; it multiplies the gradient of the draw's log p.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from drnas_ray.config import MethodSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.base import Batch, Method, RunView, UpdateHook, alpha_of
from drnas_ray.methods.relax import draw_choice, masked, most_probable, one_path, softmax_shares


class DsnasSettings(MethodSettings):
    """bilevel: alpha is updated on batches of its own half instead of by the weights' loss.
    fix_margin: an edge is fixed once its best operation leads the second by this probability; null
    never fixes an edge before the end."""

    name: Literal["dsnas"] = "dsnas"
    bilevel: bool = False
    fix_margin: float | None = Field(0.3, gt=0, le=1)
    shared_defaults: ClassVar[Mapping[str, Any]] = {"arch": {"lr": 1e-3}}

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "DSNAS (bilevel)" if self.bilevel else "DSNAS"

    def arch_weight_decay(self) -> float:
        """No decay, as in the authors' search."""
        return 0.0


def score_gradient(logits: Tensor, drawn: Tensor, of_drawn: Tensor) -> Tensor:
    """dL/dZ of each edge's drawn operation times the gradient of its log p: (T, E, O).

    logits (T, E, O), -inf where pruned; drawn one-hot; of_drawn: gradient of the loss with respect
    to the one-hot weights, 0 where nothing ran. For a loss that is linear in each edge's weights
    the expectation is the exact gradient of the expected loss.
    """
    cost = (drawn * of_drawn).sum(-1, keepdim=True)
    return cost * (drawn - logits.softmax(-1))


class Dsnas(Method):
    """Single level on the weights' half by default: one pass moves both."""

    settings_type = DsnasSettings
    mixes = False
    differentiable = False

    def __init__(self, settings: DsnasSettings) -> None:
        self.settings = settings

    @property
    def arch_hook(self) -> UpdateHook:
        """By the weights' own loss, unless bilevel."""
        return "arch_step" if self.settings.bilevel else "weight_step"

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): softmax of alpha over the kept operations."""
        return softmax_shares(run)

    def sample(self, run: RunView) -> ArchSample:
        """One path, drawn from the probabilities; its weights require a gradient."""
        sample = one_path(draw_choice(self.strengths(run)), alpha_of(run))
        sample.weights.requires_grad_()
        return sample

    def mean(self, run: RunView) -> ArchSample:
        """The most probable path."""
        return most_probable(self.strengths(run))

    def _step_arch(self, run: RunView, drawn: Tensor, of_drawn: Tensor) -> None:
        logits = masked(alpha_of(run).detach(), run.mask)
        run.step_arch((score_gradient(logits, drawn.detach(), of_drawn),))

    def arch_step(self, run: RunView, train: Batch, val: Batch) -> None:
        """Bilevel: the same estimate on the architecture's half; else nothing."""
        if not self.settings.bilevel:
            return
        sample = self.sample(run)
        loss = run.loss(sample, val)
        (of_drawn,) = torch.autograd.grad(
            loss, [sample.weights], allow_unused=True, materialize_grads=True
        )
        self._step_arch(run, sample.weights, of_drawn)

    def weight_step(self, run: RunView, train: Batch) -> None:
        """Single level: one forward and one backward pass move weights and alpha."""
        if self.settings.bilevel or not run.searching:
            super().weight_step(run, train)
            return
        sample = self.sample(run)
        (of_drawn,) = run.step_weights(sample, train, wrt=[sample.weights])
        self._step_arch(run, sample.weights, of_drawn)

    def end_epoch(self, run: RunView) -> None:
        """Fix edges whose best operation leads by `fix_margin`: only that one is kept."""
        if self.settings.fix_margin is None or not run.searching:
            return
        shares = self.strengths(run).detach().cpu()
        best, second = shares.topk(2, -1).values.unbind(-1)
        fixed = best - second >= self.settings.fix_margin
        only = torch.zeros_like(shares, dtype=torch.bool).scatter(
            -1, shares.argmax(-1, keepdim=True), True
        )
        kept = torch.ones_like(only) if run.active is None else run.active
        if fixed.any():
            run.active = torch.where(fixed[..., None], only, kept)
