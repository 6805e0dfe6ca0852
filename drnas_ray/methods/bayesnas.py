"""BayesNAS (Zhou et al., ICML 2019, arXiv:1905.04123): sparse switches under a reweighted prior.

Each operation's output is multiplied by a switch s, whose penalty omega * |s| is added to the
validation loss. After each epoch omega is computed from the switch and the loss's curvature along
it, so that what the data don't need is pushed to 0 and pruned.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from drnas_ray.config import MethodSettings, SearchConfig
from drnas_ray.core.archsample import ArchSample
from drnas_ray.core.derivatives import gradient
from drnas_ray.core.errors import UserError
from drnas_ray.methods.base import Batch, Method, RunView
from drnas_ray.spaces.space import Space

# A switch along which the loss has no curvature would have no penalty and an infinite gamma.
SMALLEST_OMEGA = 1e-3
# `none` outputs 0, so its switch has no effect: it is what is left when all else is pruned.
NONE_STRENGTH = 1e-12


class BayesNASSettings(MethodSettings):
    """sparsity: lambda of the prior. threshold: an operation whose gamma is below it is pruned."""

    name: Literal["bayesnas"] = "bayesnas"
    sparsity: float = Field(0.01, gt=0)
    threshold: float = Field(0.01, ge=0)

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "BayesNAS"

    def arch_weight_decay(self) -> float:
        """No decay: the prior pulls the switches to 0."""
        return 0.0


class Switches(nn.Module):
    """switch, gamma, omega: (T, E, O). Switches start at 1/O: the uniform mixture."""

    gamma: Tensor
    omega: Tensor
    none: Tensor

    def __init__(self, space: Space) -> None:
        super().__init__()
        start = 1 / space.shape[-1]
        # Seeds differ in the switches as well, not only in the supernet.
        self.switch = nn.Parameter(start + 1e-3 * torch.randn(space.shape))
        self.register_buffer("gamma", torch.full(space.shape, start))
        self.register_buffer("omega", torch.ones(space.shape))
        none = torch.tensor([op == "none" for op in space.ops]).expand(space.shape)
        self.register_buffer("none", none, persistent=False)


def reweighted(
    switch: Tensor, omega: Tensor, curvature: Tensor, sparsity: float
) -> tuple[Tensor, Tensor]:
    """gamma and the next omega, element by element.

    gamma = |s| / omega, C = 1 / (1/gamma + H/lambda), omega' = sqrt(|1/gamma - C/gamma^2|). With
    h = H/lambda the root's argument is h / (1 + gamma h), which is what is computed: it has no
    difference of large numbers where gamma is small. H below 0 counts as 0.
    """
    gamma = switch.abs() / omega
    h = curvature.clamp_min(0) / sparsity
    return gamma, (h / (1 + gamma * h)).sqrt().clamp_min(SMALLEST_OMEGA)


class BayesNAS(Method):
    """Mixes the remaining operations, weighted by their switches, which need not sum to 1."""

    settings_type = BayesNASSettings

    def __init__(self, settings: BayesNASSettings) -> None:
        self.settings = settings

    def check(self, config: SearchConfig) -> None:
        """Weight decay would be a second prior."""
        if config.arch_weight_decay():
            raise UserError(
                f"arch.weight_decay={config.arch.weight_decay} with method bayesnas is a second "
                "prior on the switches: leave it out and set method.sparsity"
            )

    def make_arch(self, space: Space) -> nn.Module:
        """Switches with their prior."""
        return Switches(space)

    def sample(self, run: RunView) -> ArchSample:
        """The switches themselves."""
        switch = _switches(run).switch
        return ArchSample(switch if run.mask is None else switch * run.mask, run.active)

    def mean(self, run: RunView) -> ArchSample:
        """The sample itself: nothing is drawn."""
        return self.sample(run)

    def penalty(self, run: RunView) -> Tensor | float:
        """lambda * sum of omega |s|, over the remaining switches."""
        arch = _switches(run)
        terms = arch.omega * arch.switch.abs()
        return self.settings.sparsity * (terms if run.mask is None else terms * run.mask).sum()

    def end_epoch(self, run: RunView) -> None:
        """Reweight by the curvature on one validation batch, then prune by gamma."""
        if not run.searching:
            return
        arch = _switches(run)
        curvature = self.curvature(run, run.val_batch())
        with torch.no_grad():
            gamma, omega = reweighted(arch.switch, arch.omega, curvature, self.settings.sparsity)
            arch.gamma.copy_(gamma)
            arch.omega.copy_(omega)
            run.active = self._left(run)

    def curvature(self, run: RunView, batch: Batch) -> Tensor:
        """(T, E, O): the exact diagonal of the loss's Hessian with respect to the switches.

        At the current weights, with the batch's statistics; by double backward, one element at a
        time.
        """
        switch = _switches(run).switch
        weights = {name: weight.detach() for name, weight in run.weights().items()}
        loss = run.loss_at(weights, self.sample(run), batch)
        slope = gradient(loss, [switch], create_graph=True)
        rows = [gradient(one, [switch])[i] for i, one in enumerate(slope)]
        return torch.stack(rows).view_as(switch)

    def _left(self, run: RunView) -> Tensor:
        """(T, E, O) bool on the CPU: kept operations with gamma at or above the threshold.

        `none` stays unless a stage has pruned it, else the strongest does: no edge is left empty.
        """
        strengths = self.strengths(run)
        kept = torch.ones_like(strengths, dtype=torch.bool) if run.mask is None else run.mask
        on = kept & (_switches(run).gamma >= self.settings.threshold)
        last = kept & _switches(run).none
        empty = ~(on | last).any(-1, keepdim=True)
        strongest = torch.zeros_like(on).scatter(-1, strengths.argmax(-1, keepdim=True), True)
        return (on | last | (empty & strongest)).cpu()

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): |s|; `none` wins only where all others are pruned."""
        size = torch.where(_switches(run).none, NONE_STRENGTH, _switches(run).switch.abs())
        return size if run.mask is None else size * run.mask


def _switches(run: RunView) -> Switches:
    assert isinstance(run.arch, Switches)
    return run.arch
