"""ProxylessNAS (Cai et al., ICLR 2019, arXiv:1812.00332): binary gates, two paths in memory.

Weights train under one drawn path. For the architecture two operations of each edge are drawn, one
of them open, and the gradient reaches their alphas through the gates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from drnas_ray.config import MethodSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.base import Alpha, Batch, Method, RunView, alpha_of
from drnas_ray.methods.relax import (
    draw_choice,
    gumbel_like,
    masked,
    most_probable,
    one_path,
    softmax_shares,
)
from drnas_ray.spaces.space import Space


class ProxylessSettings(MethodSettings):
    """every: weight steps per architecture step."""

    name: Literal["proxyless"] = "proxyless"
    every: int = Field(5, ge=1)
    # The authors' 40 epochs of weights alone, then 120 of both; Adam without its first moment.
    shared_defaults: ClassVar[Mapping[str, Any]] = {
        "epochs": 160,
        "arch": {"lr": 1e-3, "betas": (0.0, 0.999), "warmup_epochs": 40},
    }

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "ProxylessNAS"

    def arch_weight_decay(self) -> float:
        """No decay, as in the authors' search."""
        return 0.0


class Gates(Alpha):
    """Alpha, and how many steps of the search have passed.

    The count is a plain number, so that reading it never waits for a GPU.
    """

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.steps = 0

    def get_extra_state(self) -> dict[str, int]:
        """For the checkpoint."""
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """From the checkpoint."""
        self.steps = state["steps"]


def draw_pair(logits: Tensor) -> Tensor:
    """(T, E, 2): two operations of each edge, drawn without replacement from softmax(logits).

    The two largest of logits with Gumbel noise are such a draw. Where only one operation is above
    -inf it comes first, and an arbitrary one second.
    """
    return (logits + gumbel_like(logits)).topk(2, -1).indices


def gate_gradient(of_gates: Tensor, shares: Tensor) -> Tensor:
    """dL/dalpha_i = sum_j dL/dg_j p_j (delta_ij - p_i), the paper's eq. 4 over the pair.

    of_gates, shares, and the result: (T, E, 2), the gates' gradients and the pair's probabilities,
    which sum to 1.
    """
    return shares * (of_gates - (of_gates * shares).sum(-1, keepdim=True))


class Proxyless(Method):
    """Only drawn operations run: one for the weights, two for the architecture."""

    settings_type = ProxylessSettings
    mixes = False
    differentiable = False

    def __init__(self, settings: ProxylessSettings) -> None:
        self.settings = settings

    def make_arch(self, space: Space) -> nn.Module:
        """Alpha and the count of steps."""
        return Gates(space)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): softmax of alpha over the kept operations."""
        return softmax_shares(run)

    def sample(self, run: RunView) -> ArchSample:
        """One path, drawn from the probabilities."""
        return one_path(draw_choice(self.strengths(run)), alpha_of(run))

    def mean(self, run: RunView) -> ArchSample:
        """The most probable path."""
        return most_probable(self.strengths(run))

    def arch_step(self, run: RunView, train: Batch, val: Batch) -> None:
        """Two operations per edge, drawn without replacement; both run, one gate is open."""
        assert isinstance(run.arch, Gates)
        run.arch.steps += 1
        if (run.arch.steps - 1) % self.settings.every:
            return
        alpha = run.arch.alpha
        logits = masked(alpha.detach(), run.mask)
        pair = draw_pair(logits)
        shares = logits.gather(-1, pair).softmax(-1)
        opened = pair.gather(-1, draw_choice(shares)[..., None])
        gates = torch.zeros_like(logits).scatter(-1, opened, 1.0).requires_grad_()
        both = torch.zeros(logits.shape, dtype=torch.bool).scatter(-1, pair.cpu(), True)
        if run.active is not None:
            both &= run.active  # an edge with one operation left has no second one
        # Both run; the closed one, times 0, changes nothing but has a gradient to its gate.
        loss = run.loss(ArchSample(gates, both), val)
        (of_gates,) = torch.autograd.grad(loss, [gates], allow_unused=True, materialize_grads=True)
        before = alpha.detach().clone()
        gradient = gate_gradient(of_gates.gather(-1, pair), shares)
        run.step_arch((torch.zeros_like(before).scatter(-1, pair, gradient),))
        with torch.no_grad():
            alpha.copy_(same_mass(before, alpha, pair, run.mask))


def same_mass(before: Tensor, after: Tensor, pair: Tensor, mask: Tensor | None) -> Tensor:
    """(T, E, O): the pair's alphas as stepped, shifted so that their joint mass is as before.

    All others are unchanged, and so are their probabilities.
    """
    old, new = (masked(alpha, mask).gather(-1, pair) for alpha in (before, after))
    shift = old.logsumexp(-1, keepdim=True) - new.logsumexp(-1, keepdim=True)
    return before.scatter(-1, pair, after.gather(-1, pair) + shift)
