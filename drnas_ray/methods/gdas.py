"""GDAS (Dong & Yang, CVPR 2019, arXiv:1910.04465): one operation per edge, hard Gumbel-softmax."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor

from drnas_ray.config import MethodSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.base import Method, RunView, alpha_of
from drnas_ray.methods.relax import (
    gumbel_softmax,
    linear,
    masked,
    most_probable,
    one_hot,
    path,
    softmax_shares,
)


class GdasSettings(MethodSettings):
    """tau_first, tau_last: temperature in the first and last epoch, linear between."""

    name: Literal["gdas"] = "gdas"
    tau_first: float = Field(10.0, gt=0)
    tau_last: float = Field(0.1, gt=0)
    # NAS-Bench-201's own settings for GDAS (GDAS.config and GDAS.sh of its authors).
    shared_defaults: ClassVar[Mapping[str, Any]] = {
        "epochs": 250,
        "weights": {"nesterov": True, "weight_decay": 5e-4, "schedule": "step"},
    }

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "GDAS"


def straight_through(logits: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """One choice per edge by Gumbel-max (T, E), and its one-hot weights (T, E, O).

    The weights' gradient is that of softmax((logits + noise) / tau).
    """
    soft = gumbel_softmax(logits, tau)
    chosen = soft.detach().argmax(-1)
    hard = one_hot(chosen, logits.shape[-1], logits.dtype)
    # The bracket is exactly 0: weights are 1 and 0 to the bit.
    return chosen, hard + (soft - soft.detach())


class Gdas(Method):
    """Forward and backward pass through the chosen operation only."""

    settings_type = GdasSettings
    mixes = False

    def __init__(self, settings: GdasSettings) -> None:
        self.settings = settings

    def _tau(self, run: RunView, epoch: int) -> float:
        return linear(self.settings.tau_first, self.settings.tau_last, epoch, run.config.epochs)

    def notes(self, run: RunView) -> dict[str, float]:
        """The temperature of the epoch that ended."""
        return {"temperature": self._tau(run, run.epoch - 1)}

    def sample(self, run: RunView) -> ArchSample:
        """One choice per edge; only that operation runs."""
        logits = masked(alpha_of(run).log_softmax(-1), run.mask)
        return path(*straight_through(logits, self._tau(run, run.epoch)))

    def mean(self, run: RunView) -> ArchSample:
        """The most probable path."""
        return most_probable(self.strengths(run))

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): softmax of alpha over the kept operations, the choice's probabilities."""
        return softmax_shares(run)
