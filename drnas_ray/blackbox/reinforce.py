"""REINFORCE (Williams 1992) over independent edges, as NAS-Bench-201 runs it (arXiv:2001.00326)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from drnas_ray.blackbox.base import BlackBox, History
from drnas_ray.config import Decay, MethodSettings
from drnas_ray.spaces.space import Space


class ReinforceSettings(MethodSettings):
    """lr: Adam's. baseline_decay: of the running mean of rewards.
    answer: `best` cell of the trace, or the policy's most probable one (`policy`)."""

    name: Literal["reinforce"] = "reinforce"
    lr: float = Field(0.01, gt=0)
    baseline_decay: Decay = 0.9
    answer: Literal["best", "policy"] = "best"

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "REINFORCE"


def policy(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def loss_gradient(
    logits: NDArray[np.float64], one_hot: NDArray[np.float64], advantage: float
) -> NDArray[np.float64]:
    """Gradient of -log p(choices) * advantage with respect to the logits: (T, E, O)."""
    return -advantage * (one_hot - policy(logits))


class Reinforce(BlackBox):
    """A categorical policy for each edge; the reward is the validation accuracy, 0 to 1."""

    settings_type = ReinforceSettings
    queries_benchmark = True

    def __init__(self, settings: ReinforceSettings, space: Space) -> None:
        self.settings, self.space = settings, space
        self.logits: torch.Tensor | None = None
        self.reward_sum, self.weight_sum = 0.0, 0.0

    @property
    def baseline(self) -> float:
        """Exponential mean of the rewards so far, corrected for its start at 0."""
        return self.reward_sum / self.weight_sum

    def _start(self, rng: np.random.Generator) -> torch.Tensor:
        start = torch.from_numpy(1e-3 * rng.standard_normal(self.space.shape))
        self.optimizer = torch.optim.Adam([start], lr=self.settings.lr, betas=(0.9, 0.999))
        return start

    def ask(self, rng: np.random.Generator) -> str:
        """A cell drawn edge by edge."""
        if self.logits is None:
            self.logits = self._start(rng)
        shares = policy(self.logits.numpy())
        # Inverse transform sampling, one uniform number per edge.
        chosen = (shares.cumsum(-1) < rng.random(shares.shape[:-1])[..., None]).sum(-1)
        chosen = chosen.clip(max=shares.shape[-1] - 1)
        self.drawn = np.eye(shares.shape[-1])[chosen]
        return self.space.discretise(self.drawn)

    def tell(self, genotype: str, val_acc_pct: float) -> None:
        """One step of Adam; the baseline includes this reward before it is subtracted."""
        assert self.logits is not None
        reward, decay = val_acc_pct / 100, self.settings.baseline_decay
        self.reward_sum = decay * self.reward_sum + (1 - decay) * reward
        self.weight_sum = decay * self.weight_sum + (1 - decay)
        gradient = loss_gradient(self.logits.numpy(), self.drawn, reward - self.baseline)
        self.logits.grad = torch.from_numpy(gradient)
        self.optimizer.step()

    def answer(self, history: History) -> str:
        """The best seen, or what the policy would choose."""
        if self.settings.answer == "best" or self.logits is None:
            return super().answer(history)
        return self.space.discretise(policy(self.logits.numpy()))
