"""SNAS (Xie et al., ICLR 2019, arXiv:1812.09926): shares drawn by a soft Gumbel-softmax."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from drnas_ray.config import MethodSettings, SearchConfig
from drnas_ray.core.archsample import ArchSample
from drnas_ray.core.errors import UserError
from drnas_ray.methods.base import Batch, Method, RunView, UpdateHook, alpha_of
from drnas_ray.methods.relax import gumbel_softmax, linear, masked, softmax_shares


class SnasSettings(MethodSettings):
    """tau_first, tau_last: temperature in the first and last epoch. bilevel: False is the paper's
    single level, weights and alpha by one loss; True is how the NAS-Bench-201 row was made."""

    name: Literal["snas"] = "snas"
    tau_first: float = Field(10.0, gt=0)
    tau_last: float = Field(1.0, gt=0)
    bilevel: bool = True

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "SNAS" if self.bilevel else "SNAS (single level)"


class Snas(Method):
    """Alpha itself is the logits."""

    settings_type = SnasSettings

    def __init__(self, settings: SnasSettings) -> None:
        self.settings = settings

    def check(self, config: SearchConfig) -> None:
        """With a single level the step that SDARTS perturbs would also update the architecture."""
        if not self.settings.bilevel and config.perturb.kind != "none":
            raise UserError(
                f"perturb.kind={config.perturb.kind} with method.bilevel=false: the perturbed "
                "step would also update the architecture, set method.bilevel=true"
            )

    @property
    def arch_hook(self) -> UpdateHook:
        """By the weights' own loss, unless bilevel."""
        return "arch_step" if self.settings.bilevel else "weight_step"

    def _tau(self, run: RunView, epoch: int) -> float:
        return linear(self.settings.tau_first, self.settings.tau_last, epoch, run.config.epochs)

    def notes(self, run: RunView) -> dict[str, float]:
        """The temperature of the epoch that ended."""
        return {"temperature": self._tau(run, run.epoch - 1)}

    def sample(self, run: RunView) -> ArchSample:
        """softmax((alpha + Gumbel noise) / tau) over the kept operations."""
        logits = masked(alpha_of(run), run.mask)
        return ArchSample(gumbel_softmax(logits, self._tau(run, run.epoch)), run.active)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): softmax of alpha over the kept operations."""
        return softmax_shares(run)

    def weight_step(self, run: RunView, train: Batch) -> None:
        """Single level: the same pass updates alpha."""
        if self.settings.bilevel or not run.searching:
            super().weight_step(run, train)
            return
        gradients = run.step_weights(self.sample(run), train, wrt=[alpha_of(run)])
        run.step_arch(gradients)
