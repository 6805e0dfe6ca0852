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

from drnas_ray.archsample import ArchSample
from drnas_ray.config import MethodSettings
from drnas_ray.methods.base import Alpha, Batch, Method, RunView, alpha_of
from drnas_ray.methods.relax import draw_choice, gumbel_like, masked, most_probable, one_path
from drnas_ray.spaces.space import Space


class ProxylessSettings(MethodSettings):
    """every: one architecture step in so many weight steps."""

    name: Literal["proxyless"] = "proxyless"
    every: int = Field(5, ge=1)
    shared_defaults: ClassVar[Mapping[str, Any]] = {
        "epochs": 160,
        "arch": {"lr": 1e-3, "betas": (0.0, 0.999), "warmup_epochs": 40},
    }
    mixes: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "ProxylessNAS"

    def arch_weight_decay(self) -> float:
        """None, as in the authors' search."""
        return 0.0


class Gates(Alpha):
    """Alpha, and how many steps of the search have passed; the count is a plain number, so that
    asking it never waits for a GPU."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.steps = 0

    def get_extra_state(self) -> dict[str, int]:
        """For the checkpoint."""
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """From the checkpoint."""
        self.steps = state["steps"]


def gate_gradient(of_gates: Tensor, shares: Tensor, alpha_like: Tensor, pair: Tensor) -> Tensor:
    """dL/dalpha_i = sum over the pair's j of dL/dg_j p_j (delta_ij - p_i), 0 for other operations.

    of_gates, shares, pair: (T, E, 2), the gates' gradients, the pair's probabilities (sum 1) and
    which operations it is; the result is (T, E, O) like alpha (paper, eq. 4).
    """
    inner = (of_gates * shares).sum(-1, keepdim=True)
    return torch.zeros_like(alpha_like).scatter(-1, pair, shares * (of_gates - inner))


class Proxyless(Method):
    """Only drawn operations run: one for the weights, two for the architecture."""

    settings_type = ProxylessSettings

    def __init__(self, settings: ProxylessSettings) -> None:
        self.settings = settings

    def make_arch(self, space: Space) -> nn.Module:
        """Alpha and the count of steps."""
        return Gates(space)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): softmax of alpha over the operations kept."""
        return masked(alpha_of(run), run.mask).softmax(-1)

    def sample(self, run: RunView) -> ArchSample:
        """One path, each operation with its probability."""
        return one_path(draw_choice(self.strengths(run)), alpha_of(run))

    def mean(self, run: RunView) -> ArchSample:
        """The most probable path."""
        return most_probable(self.strengths(run))

    def arch_step(self, run: RunView, train: Batch, val: Batch) -> None:
        """Two operations an edge, drawn without replacement; both run, one gate is open."""
        assert isinstance(run.arch, Gates)
        run.arch.steps += 1
        if (run.arch.steps - 1) % self.settings.every:
            return
        logits = masked(run.arch.alpha.detach(), run.mask)
        # The two largest of logits with Gumbel noise: a draw of two without replacement.
        pair = (logits + gumbel_like(logits)).topk(2, -1).indices
        shares = logits.gather(-1, pair).softmax(-1)
        opened = pair.gather(-1, draw_choice(shares)[..., None])
        gates = torch.zeros_like(logits).scatter(-1, opened, 1.0).requires_grad_()
        both = torch.zeros(logits.shape, dtype=torch.bool).scatter(-1, pair.cpu(), True)
        if run.active is not None:
            both &= run.active  # an edge with one operation left has no second one
        loss = run.loss(ArchSample(gates, both), val)
        (of_gates,) = torch.autograd.grad(loss, [gates], allow_unused=True, materialize_grads=True)
        before = logits.gather(-1, pair).logsumexp(-1, keepdim=True)
        run.step_arch((gate_gradient(of_gates.gather(-1, pair), shares, logits, pair),))
        self._keep_mass(run, pair, before)

    @torch.no_grad()
    def _keep_mass(self, run: RunView, pair: Tensor, before: Tensor) -> None:
        """Shift the pair so that its total mass, and so that of the others, is as it was."""
        alpha = alpha_of(run)
        logits = masked(alpha, run.mask).gather(-1, pair)
        shift = before - logits.logsumexp(-1, keepdim=True)
        alpha.scatter_add_(-1, pair, shift.expand_as(pair).to(alpha.dtype))
