"""BayesNAS (Zhou et al., ICML 2019, arXiv:1905.04123): sparse switches under a reweighted prior.

Each operation's output is multiplied by a switch. The switches pay omega * |s| beside the
validation loss; after each epoch omega follows from the switch and the loss's curvature along it,
so that what the data don't need is pushed to 0 and pruned.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from drnas_ray.archsample import ArchSample
from drnas_ray.config import MethodSettings, SearchConfig
from drnas_ray.errors import UserError
from drnas_ray.methods.base import Batch, Method, RunView
from drnas_ray.spaces.space import Space

# A switch along which the loss has no curvature would pay nothing, and its gamma be infinite.
SMALLEST_OMEGA = 1e-3


class BayesNASSettings(MethodSettings):
    """sparsity: lambda of the prior. threshold: a switch below it is off, and pruned."""

    name: Literal["bayesnas"] = "bayesnas"
    sparsity: float = Field(0.01, gt=0)
    threshold: float = Field(0.01, ge=0)

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "BayesNAS"

    def arch_weight_decay(self) -> float:
        """None: the prior is what pulls switches to 0."""
        return 0.0

    def check(self, config: SearchConfig) -> None:
        """A decay beside the prior would be a second one."""
        if config.arch_weight_decay():
            raise UserError(
                f"arch.weight_decay={config.arch.weight_decay} with method bayesnas is a second "
                "prior on the switches: leave it out and set method.sparsity"
            )


class Switches(nn.Module):
    """switch, gamma, omega: (T, E, O). Switches start at 1/O: the uniform mixture."""

    gamma: Tensor
    omega: Tensor

    def __init__(self, space: Space) -> None:
        super().__init__()
        start = 1 / space.shape[-1]
        # The seeds differ in the switches as well, not in the supernet alone.
        self.switch = nn.Parameter(start + 1e-3 * torch.randn(space.shape))
        self.register_buffer("gamma", torch.full(space.shape, start))
        self.register_buffer("omega", torch.ones(space.shape))


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
    """Mixes all operations that are left by their switches, which sum to nothing in particular."""

    settings_type = BayesNASSettings

    def __init__(self, settings: BayesNASSettings) -> None:
        self.settings = settings

    def make_arch(self, space: Space) -> nn.Module:
        """Switches with their prior."""
        return Switches(space)

    def sample(self, run: RunView) -> ArchSample:
        """The switches themselves."""
        switch = _switches(run).switch
        return ArchSample(switch if run.mask is None else switch * run.mask, run.active)

    def mean(self, run: RunView) -> ArchSample:
        """The same: nothing is drawn."""
        return self.sample(run)

    def penalty(self, run: RunView) -> Tensor | float:
        """lambda * sum of omega |s|, over switches that are left."""
        arch = _switches(run)
        paid = arch.omega * arch.switch.abs()
        return self.settings.sparsity * (paid if run.mask is None else paid * run.mask).sum()

    def end_epoch(self, run: RunView) -> None:
        """Reweight by the curvature on one validation batch, then prune what is off."""
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
        """(T, E, O): the exact diagonal of the loss's Hessian with respect to the switches."""
        switch = _switches(run).switch
        loss = run.loss_at(run.weights(), self.sample(run), batch)
        (gradient,) = torch.autograd.grad(
            loss, [switch], create_graph=True, allow_unused=True, materialize_grads=True
        )
        flat = gradient.flatten()
        if not flat.requires_grad:
            return torch.zeros_like(switch)
        rows = [
            torch.autograd.grad(
                one, [switch], retain_graph=True, allow_unused=True, materialize_grads=True
            )[0].flatten()[number]
            for number, one in enumerate(flat)
        ]
        return torch.stack(rows).view_as(switch)

    def _left(self, run: RunView) -> Tensor:
        """`none` has no switch to turn off; an edge always keeps its strongest operation."""
        size = _switches(run).switch.abs()
        on = size >= self.settings.threshold
        if run.mask is not None:
            size, on = size * run.mask, on & run.mask
        on.scatter_(-1, size.argmax(-1, keepdim=True), True)
        if "none" in run.space.ops:
            none = run.space.ops.index("none")
            on[..., none] = True if run.mask is None else run.mask[..., none]
        return on.cpu()

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): |s|. `none`, whose switch brings nothing, wins where all others are off."""
        size = _switches(run).switch.abs()
        if "none" in run.space.ops:
            none = torch.zeros_like(size, dtype=torch.bool)
            none[..., run.space.ops.index("none")] = True
            size = torch.where(none, max(self.settings.threshold, 1e-12), size)
        return size if run.mask is None else size * run.mask


def _switches(run: RunView) -> Switches:
    assert isinstance(run.arch, Switches)
    return run.arch
