"""PARSEC (Casale et al. 2019, arXiv:1902.05116): a categorical prior moved by empirical Bayes.

K cells are drawn for each batch. How likely the batch is under each says how much it counts: in the
gradient of the weights, and in the operation frequencies that the prior moves towards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from drnas_ray.archsample import ArchSample
from drnas_ray.config import MethodSettings, SearchConfig
from drnas_ray.errors import UserError
from drnas_ray.methods.base import Batch, Method, RunView
from drnas_ray.methods.relax import draw_choice, most_probable, one_path
from drnas_ray.spaces.space import Space


class ParsecSettings(MethodSettings):
    """samples: cells drawn for each batch, the paper's K."""

    name: Literal["parsec"] = "parsec"
    samples: int = Field(4, ge=1)
    shared_defaults: ClassVar[Mapping[str, Any]] = {"arch": {"lr": 0.01}}
    mixes: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "PARSEC"

    def arch_weight_decay(self) -> float:
        """None: probabilities don't decay."""
        return 0.0

    def check(self, config: SearchConfig) -> None:
        """The prior stays a distribution only for rates up to 1 and without decay."""
        if config.arch.lr > 1 or config.arch_weight_decay():
            raise UserError(
                f"arch.lr={config.arch.lr:g}, arch.weight_decay={config.arch.weight_decay} with "
                "method parsec: the prior moves by a share of at most 1 and does not decay"
            )


class Prior(nn.Module):
    """prior: (T, E, O), rows on the simplex, started uniform."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.prior = nn.Parameter(torch.full(space.shape, 1 / space.shape[-1]))


class Toward(torch.optim.Optimizer):
    """p <- p - lr * gradient. With the gradient p - f that is (1 - lr) p + lr f, on the simplex."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(group["lr"] * parameter.grad)


def importance(losses: Tensor, images: int) -> Tensor:
    """(K,): omega_k proportional to p(labels | images, cell k), from mean cross-entropies (K,)."""
    return (-images * losses).softmax(0)


class Parsec(Method):
    """Weights and prior both move by importance-weighted samples; only drawn operations run."""

    settings_type = ParsecSettings

    def __init__(self, settings: ParsecSettings) -> None:
        self.settings = settings

    def make_arch(self, space: Space) -> nn.Module:
        """The prior."""
        return Prior(space)

    def make_arch_optimizer(self, arch: nn.Module, config: SearchConfig) -> torch.optim.Optimizer:
        """The convex step, of share `arch.lr`."""
        return Toward(arch.parameters(), config.arch.lr)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): the prior over the operations kept."""
        assert isinstance(run.arch, Prior)
        prior = run.arch.prior if run.mask is None else run.arch.prior * run.mask
        # The start of an operation lies above 0 and a kept one never reaches it in float32's range.
        prior = prior.clamp_min(torch.finfo(prior.dtype).tiny)
        prior = prior if run.mask is None else prior * run.mask
        return prior / prior.sum(-1, keepdim=True)

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
        run.step_arch((self.strengths(run).detach() - frequency,))

    def weight_step(self, run: RunView, train: Batch) -> None:
        """The gradient of sum_k omega_k L_k, the weights omega held fixed."""
        samples = [self.sample(run) for _ in range(self.settings.samples)]
        logits = torch.stack([run.logits(sample, train) for sample in samples])
        losses = torch.stack([nn.functional.cross_entropy(one, train[1]) for one in logits])
        omega = importance(losses.detach(), len(train[1]))
        run.descend(omega @ losses, torch.einsum("k,kbc->bc", omega, logits), train[1])
