"""DARTS (Liu et al., ICLR 2019, arXiv:1806.09055): a softmax mixture, first or second order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from torch import Tensor

from drnas_ray.config import MethodSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.base import Batch, Method, RunView, Weights
from drnas_ray.methods.relax import softmax_shares
from drnas_ray.methods.unrolled import unrolled_gradient


class DartsSettings(MethodSettings):
    """order: 1 treats the weights as optimal; 2 looks one SGD step ahead (the paper's eq. 7)."""

    name: Literal["darts"] = "darts"
    order: Literal[1, 2] = 1
    # NAS-Bench-201's own settings for DARTS (Dong & Yang 2020, and DARTS.config of their code).
    shared_defaults: ClassVar[Mapping[str, Any]] = {
        "epochs": 50,
        "weights": {"nesterov": True, "weight_decay": 5e-4, "schedule": "step"},
    }

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "DARTS (1st)" if self.order == 1 else "DARTS (2nd)"


class Darts(Method):
    """Shares are the softmax of alpha over the kept operations on each edge."""

    settings_type = DartsSettings

    def __init__(self, settings: DartsSettings) -> None:
        self.settings = settings

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): softmax of alpha; a pruned operation has share 0."""
        return softmax_shares(run)

    def sample(self, run: RunView) -> ArchSample:
        """The shares themselves: nothing is drawn."""
        return ArchSample(self.strengths(run), run.active)

    def arch_step(self, run: RunView, train: Batch, val: Batch) -> None:
        """First order, or through one virtual SGD step on the training batch."""
        if self.settings.order == 1:
            super().arch_step(run, train, val)
            return

        def train_loss(weights: Weights) -> Tensor:
            return run.loss_at(weights, self.sample(run), train)

        def val_loss(weights: Weights) -> Tensor:
            return run.loss_at(weights, self.sample(run), val)

        arch: list[Tensor] = list(run.arch.parameters())
        gradients = unrolled_gradient(train_loss, val_loss, run.weights(), arch, run.stepped)
        run.step_arch(gradients)
