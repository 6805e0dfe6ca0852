"""The interface of a weight-sharing method: what it can do, and hooks for the search loop.

A method holds only settings. All that changes during a search is in the run passed to its hooks
(`RunView`, in practice a `drnas_ray.search.steps.Run`): the architecture module, the optimisers,
the epoch, the random state. A training step goes from `search.loop` to a hook here, which draws a
sample and hands it to one of the run's steps, which runs the supernet under it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from drnas_ray.config import MethodSettings, SearchConfig
from drnas_ray.core.archsample import ArchSample
from drnas_ray.core.distribution import Distribution
from drnas_ray.spaces.space import Space

Batch = tuple[Tensor, Tensor]
"""Images (batch, channels, height, width), augmented and normalised, and labels (batch,)."""
Weights = dict[str, Tensor]
"""The supernet's weights by parameter name."""
UpdateHook = Literal["arch_step", "weight_step", "end_epoch", "never"]
Statistics = Literal["batch", "running"]
"""Which statistics batch normalisation uses when cells are scored: the batch's or running ones."""


class RunView(Protocol):
    """The part of a run that a method may use."""

    config: SearchConfig
    space: Space
    arch: nn.Module
    """What the method's `make_arch` made, on the run's device."""
    active: Tensor | None
    """(T, E, O) bool on the CPU: operations not pruned; None while all are kept."""
    epoch: int
    """Epochs completed."""
    stage: int
    """Stage in progress, from 0."""

    @property
    def mask(self) -> Tensor | None:
        """`active` on the run's device."""

    @property
    def searching(self) -> bool:
        """Past the stage's warm-up: the architecture may be updated."""

    @property
    def stage_epoch(self) -> int:
        """Epochs completed in this stage."""

    @property
    def stage_epochs(self) -> int:
        """Epochs of this stage."""

    def val_batch(self, size: int | None = None) -> Batch:
        """A fresh random batch of the architecture's half; of the usual size if None."""

    def score(self, sample: ArchSample, batch: Batch, bn: Statistics) -> tuple[Tensor, Tensor]:
        """Loss and accuracy (0 to 1) without a graph; running statistics stay as they are."""

    def loss(self, sample: ArchSample, batch: Batch) -> Tensor:
        """Cross-entropy of the supernet on a batch, a scalar with its graph."""

    def step_arch(self, gradients: tuple[Tensor, ...]) -> None:
        """One step of the architecture's optimiser, gradients in the order of its parameters."""

    def logits(self, sample: ArchSample, batch: Batch) -> Tensor:
        """(batch, classes), with their graph."""

    def step_weights(
        self, sample: ArchSample, batch: Batch, wrt: Sequence[Tensor] = ()
    ) -> tuple[Tensor, ...]:
        """One step of SGD on the supernet's weights, and nothing else, under this sample.

        Returns the gradients of the same loss with respect to `wrt`, for methods that update the
        architecture by the same loss (single level).
        """

    def descend(
        self, loss: Tensor, logits: Tensor, labels: Tensor, wrt: Sequence[Tensor] = ()
    ) -> tuple[Tensor, ...]:
        """As `step_weights`, for a loss of the method's own; logits: for the recorded accuracy."""

    def weights(self) -> Weights:
        """The supernet's weights as they are now."""

    def loss_at(self, weights: Weights, sample: ArchSample, batch: Batch) -> Tensor:
        """The loss under other weights than the supernet's; running statistics stay as they are."""

    def stepped(self, gradients: Weights) -> tuple[Weights, float]:
        """The weights after an unclipped step of SGD, and the factor on each gradient in it."""


class Alpha(nn.Module):
    """A real number for each operation of each edge, (T, E, O); near 0 unless `start` is given."""

    def __init__(self, space: Space, start: Tensor | None = None) -> None:
        super().__init__()
        self.alpha = nn.Parameter(1e-3 * torch.randn(space.shape) if start is None else start)


def alpha_of(run: RunView) -> Tensor:
    """The parameter of a run whose architecture module is an `Alpha`."""
    assert isinstance(run.arch, Alpha)
    return run.arch.alpha


class Method(ABC):
    """Subclass this, never another method. Shapes: T cell types, E edges, O operations."""

    settings_type: ClassVar[type[MethodSettings]]
    # What the method can do. `methods.compatibility` checks shared settings against it.
    mixes: ClassVar[bool] = True
    """Every kept operation runs in each pass, weighted; False: a pass runs only drawn ones."""
    ranks: ClassVar[bool] = True
    """Strengths rank operations before the end, so that stages can prune by them."""
    differentiable: ClassVar[bool] = True
    """The weight step's loss has a gradient with respect to what is learnt."""
    distribution: ClassVar[Distribution] = "categorical"
    """What strengths parametrise on each edge; runs record it for the analysis."""

    @abstractmethod
    def __init__(self, settings: Any) -> None:
        """Takes an instance of `settings_type`; a method holds nothing else."""

    @property
    def arch_hook(self) -> UpdateHook:
        """The hook that updates the architecture, which may depend on the method's settings:
        `arch_step` on batches of its own half (bilevel), `weight_step` by the same loss as the
        weights (single level), `end_epoch`, or `never`."""
        return "arch_step"

    def check(self, config: SearchConfig) -> None:  # noqa: B027  (an optional hook)
        """Raise UserError, naming both values, where shared settings contradict its own.

        Called while settings are read, before anything runs.
        """

    def make_arch(self, space: Space) -> nn.Module:
        """What is learnt about the architecture; its buffers and parameters are checkpointed."""
        return Alpha(space)

    def make_arch_optimizer(self, arch: nn.Module, config: SearchConfig) -> torch.optim.Optimizer:
        """Adam with coupled weight decay."""
        return torch.optim.Adam(
            [{"params": list(arch.parameters())}],  # a group may be empty, a bare list may not
            lr=config.arch.lr,
            betas=config.arch.betas,
            weight_decay=config.arch_weight_decay(),
        )

    @abstractmethod
    def sample(self, run: RunView) -> ArchSample:
        """Operation weights for one forward pass, with their graph to the architecture module."""

    def mean(self, run: RunView) -> ArchSample:
        """The sample at the mean of what is learnt; here each edge's normalised strengths."""
        strengths = self.strengths(run)
        return ArchSample(strengths / strengths.sum(-1, keepdim=True), run.active)

    def penalty(self, run: RunView) -> Tensor | float:
        """Added to the loss of the architecture step only."""
        return 0.0

    def arch_step(self, run: RunView, train: Batch, val: Batch) -> None:
        """First order: the gradient of the validation loss at the current weights.

        Does nothing where another hook updates the architecture.
        """
        if self.arch_hook != "arch_step":
            return
        loss = run.loss(self.sample(run), val) + self.penalty(run)
        arch = list(run.arch.parameters())
        # Parameters are unused where only `none` is left; their gradient is 0 then.
        run.step_arch(torch.autograd.grad(loss, arch, allow_unused=True, materialize_grads=True))

    def weight_step(self, run: RunView, train: Batch) -> None:
        """One step of the supernet's weights under a fresh sample."""
        run.step_weights(self.sample(run), train)

    def end_epoch(self, run: RunView) -> None:  # noqa: B027  (an optional hook)
        """After the last step of each epoch, before validation; for controllers and pruning.

        `run.epoch` does not count the epoch yet.
        """

    def notes(self, run: RunView) -> dict[str, float]:
        """Further metrics for the record of the epoch that ended, such as a temperature.

        Each needs an entry in `drnas_ray.results.metrics`; the first epoch fails without one.
        """
        return {}

    @abstractmethod
    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O), not negative, 0 for a pruned operation: what `discretise` ranks."""

    def derive(self, run: RunView) -> str:
        """The genotype that is the search's answer."""
        return run.space.discretise(self.strengths(run).detach().double().cpu().numpy())
