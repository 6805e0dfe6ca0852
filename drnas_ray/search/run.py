"""One weight-sharing search: everything that changes while it runs, and so all of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from drnas_ray.config import SearchConfig
from drnas_ray.core.archsample import ArchSample
from drnas_ray.data.batches import random_batch
from drnas_ray.data.images import DataInfo, ImageSet
from drnas_ray.methods import METHODS
from drnas_ray.methods.base import Batch, Statistics, Weights
from drnas_ray.search.diagnostics.earlystop import Measured
from drnas_ray.search.perturb import perturbed, radius
from drnas_ray.search.rng import RandomState
from drnas_ray.search.schedule import weight_lr
from drnas_ray.search.stages import change
from drnas_ray.spaces import space_named
from drnas_ray.supernets import SUPERNETS


class Run:
    """A search between two epochs. Made from settings and data, or put back by `load_state_dict`.

    data: the data set's facts, the half that trains weights, the half that trains the
    architecture (`drnas_ray.data.catalog.search_halves`).
    """

    def __init__(
        self,
        config: SearchConfig,
        data: tuple[DataInfo, ImageSet, ImageSet],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.config, self.device, self.dtype = config, device, dtype
        self.space = space_named(config.space)
        self.method = METHODS[config.method.name](config.method)
        self.info, train, val = data
        self.train, self.val = train.to(device), val.to(device)
        self.random = RandomState(config.seed, device)
        self.active = None
        self.epoch = 0
        self.stage = 0
        self.watched: list[Measured] = []
        """What early stopping goes by, in order."""
        self.answer_epoch: int | None = None
        """The epoch whose cell is the answer of a search that stopped early."""
        self.stages = config.stage_epochs()
        with self.random.in_use():
            self.build(0)
        self.tally = Tally(device)

    def build(self, stage: int) -> None:
        """A new supernet, architecture parameter and optimisers, as the stage (from 0) has them."""
        self.stage = stage
        self.net = self.make_net(stage)
        self.arch: nn.Module = self.method.make_arch(self.space).to(self.device, self.dtype)
        self.weight_optimizer = self.make_weight_optimizer()
        self.arch_optimizer = self.method.make_arch_optimizer(self.arch, self.config)

    def make_net(self, stage: int) -> nn.Module:
        """A new supernet of the size that it has in a stage."""
        net = SUPERNETS[self.config.space](
            self.config.supernet_at(stage),
            in_channels=self.info.channels,
            classes=self.info.classes,
        )
        return net.to(self.device, self.dtype)

    def make_weight_optimizer(self) -> torch.optim.SGD:
        """SGD for the supernet as it is now."""
        weights = self.config.weights
        return torch.optim.SGD(
            self.net.parameters(),
            lr=weights.lr,
            momentum=weights.momentum,
            weight_decay=weights.weight_decay,
            nesterov=weights.nesterov,
        )

    def enter_stage(self) -> None:
        """Prune, widen or start anew where the epoch to come is the first of a later stage."""
        starts = [sum(self.stages[:number]) for number in range(len(self.stages))]
        due = max(number for number, start in enumerate(starts) if self.epoch >= start)
        while self.stage < due:
            change(self, self.stage + 1)

    @property
    def active(self) -> Tensor | None:
        """(T, E, O) bool on the CPU: operations not pruned; None while all are kept."""
        return self._active

    @active.setter
    def active(self, active: Tensor | None) -> None:
        self._active = active
        self._mask = None if active is None else active.to(self.device)

    @property
    def mask(self) -> Tensor | None:
        """`active` on the run's device."""
        return self._mask

    @property
    def stage_epoch(self) -> int:
        """Epochs completed in this stage."""
        return self.epoch - sum(self.stages[: self.stage])

    @property
    def stage_epochs(self) -> int:
        """Epochs of this stage."""
        return self.stages[self.stage]

    @property
    def searching(self) -> bool:
        """Past the warm-up of the stage: the architecture may move."""
        return self.stage_epoch >= self.config.arch.warmup_epochs

    @property
    def finished(self) -> bool:
        """All epochs are done, or the search stopped early."""
        return self.epoch >= self.config.epochs or self.answer_epoch is not None

    def set_lr(self, step: int, steps: int) -> float:
        """Put the learning rate of this step of the current epoch in place, and return it."""
        settings = self.config.weights
        within = step / steps if settings.schedule == "step" else 0.0
        lr = weight_lr(settings, self.epoch + within, self.stages)
        self.weight_optimizer.param_groups[0]["lr"] = lr
        return lr

    # What a method may call (methods.base.RunView) ------------------------------------------

    def val_batch(self, size: int | None = None) -> Batch:
        """A fresh random batch of the architecture's half; of the usual size if None."""
        size = size or self.config.batch_size
        return random_batch(self.val, size, self.info, dtype=self.dtype)

    @torch.no_grad()
    def score(self, sample: ArchSample, batch: Batch, bn: Statistics) -> tuple[Tensor, Tensor]:
        """Loss and accuracy (0 to 1) without a graph; running statistics stay as they are."""
        training = self.net.training
        self.net.train(bn == "batch")
        buffers = {name: buffer.clone() for name, buffer in self.net.named_buffers()}
        logits = functional_call(self.net, buffers, (batch[0], sample))
        self.net.train(training)
        hits = (logits.argmax(-1) == batch[1]).to(logits.dtype)
        return F.cross_entropy(logits, batch[1]), hits.mean()

    def logits(self, sample: ArchSample, batch: Batch) -> Tensor:
        """(batch, classes), with their graph."""
        out: Tensor = self.net(batch[0], sample)
        return out

    def loss(self, sample: ArchSample, batch: Batch) -> Tensor:
        """Cross-entropy of the supernet on a batch, a scalar with its graph."""
        return F.cross_entropy(self.logits(sample, batch), batch[1])

    def step_arch(self, gradients: tuple[Tensor, ...]) -> None:
        """One step of the architecture's optimiser."""
        for parameter, gradient in zip(self.arch.parameters(), gradients, strict=True):
            parameter.grad = gradient.detach()
        self.arch_optimizer.step()
        self.arch_optimizer.zero_grad()

    def step_weights(
        self, sample: ArchSample, batch: Batch, wrt: Sequence[Tensor] = ()
    ) -> tuple[Tensor, ...]:
        """One step of SGD on the supernet's weights under this sample; gradients for `wrt`."""
        if not wrt and not self.config.weights.clip_over_arch:
            sample = sample.detach()
        if self.config.perturb.kind != "none":
            sample = self._perturbed(sample, batch)
        logits = self.logits(sample, batch)
        return self.descend(F.cross_entropy(logits, batch[1]), logits, batch[1], wrt)

    def _perturbed(self, sample: ArchSample, batch: Batch) -> ArchSample:
        self.net.eval()
        epsilon = radius(self.config.perturb, self.epoch, self.config.epochs)
        at, settings = sample.detach(), self.config.perturb
        moved = perturbed(at, lambda s: self.loss(s, batch), settings, epsilon)
        self.net.train()
        # Added to the sample, so that its graph stays for `clip_over_arch`.
        return replace(sample, weights=sample.weights + (moved.weights - at.weights))

    def descend(
        self, loss: Tensor, logits: Tensor, labels: Tensor, wrt: Sequence[Tensor] = ()
    ) -> tuple[Tensor, ...]:
        """One step of SGD down a loss, gradients asked for the weights alone and clipped.

        With `clip_over_arch` the architecture's gradient of this loss counts in the norm, as in
        the authors' NAS-Bench-201 script; it moves nothing. Returns the gradients for `wrt`.
        """
        settings = self.config.weights
        weights = list(self.net.parameters())
        arch = list(self.arch.parameters()) if settings.clip_over_arch else []
        gradients = torch.autograd.grad(loss, [*weights, *arch, *wrt], allow_unused=True)
        for parameter, gradient in zip(weights, gradients, strict=False):
            # An operation that did not run has no gradient, yet weight decay and momentum move
            # it all the same, as they do where every operation runs.
            parameter.grad = torch.zeros_like(parameter) if gradient is None else gradient
        counted = gradients[: len(weights) + len(arch)]
        norm = nn.utils.get_total_norm([g for g in counted if g is not None])
        nn.utils.clip_grads_with_norm_(weights, settings.clip, norm)
        self.weight_optimizer.step()
        self.weight_optimizer.zero_grad()
        self.tally.add(loss.detach(), logits.detach(), labels)
        asked = gradients[len(weights) + len(arch) :]
        return tuple(
            torch.zeros_like(tensor) if gradient is None else gradient
            for tensor, gradient in zip(wrt, asked, strict=True)
        )

    def weights(self) -> Weights:
        """The supernet's weights by name."""
        return dict(self.net.named_parameters())

    def loss_at(self, weights: Weights, sample: ArchSample, batch: Batch) -> Tensor:
        """The loss with other weights in place; running statistics stay as they are."""
        buffers = {name: buffer.clone() for name, buffer in self.net.named_buffers()}
        logits = functional_call(self.net, {**weights, **buffers}, (batch[0], sample))
        return F.cross_entropy(logits, batch[1])

    def stepped(self, gradients: Weights) -> tuple[Weights, float]:
        """The weights after SGD with these gradients, unclipped, and the factor on a gradient."""
        group = self.weight_optimizer.param_groups[0]
        lr, momentum = group["lr"], group["momentum"]
        ahead = {}
        for name, weight in self.net.named_parameters():
            direction = gradients[name] + group["weight_decay"] * weight.detach()
            buffer = self.weight_optimizer.state.get(weight, {}).get("momentum_buffer")
            moved = direction if buffer is None else momentum * buffer + direction
            ahead[name] = weight.detach() - lr * (
                direction + momentum * moved if group["nesterov"] else moved
            )
        return ahead, lr * (1 + momentum if group["nesterov"] else 1)

    # Checkpoints -----------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the search depends on: tensors, numbers and text only."""
        return {
            "config": self.config.canonical_json(),
            "epoch": self.epoch,
            "stage": self.stage,
            "net": self.net.state_dict(),
            "arch": self.arch.state_dict(),
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "arch_optimizer": self.arch_optimizer.state_dict(),
            "active": self.active,
            "random": self.random.state_dict(),
            "watched": list(self.watched),
            "answer_epoch": self.answer_epoch,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.epoch = state["epoch"]
        if state["stage"] != self.stage:
            with self.random.in_use():  # what it draws is overwritten, its state too
                self.build(state["stage"])
        self.net.load_state_dict(state["net"])
        self.arch.load_state_dict(state["arch"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.arch_optimizer.load_state_dict(state["arch_optimizer"])
        self.active = state["active"]
        self.random.load_state_dict(state["random"])
        self.watched = list(state["watched"])
        self.answer_epoch = state["answer_epoch"]

    def adopt_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where another run's `state_dict` was taken, under this run's own settings.

        Optimisers keep what they have learnt (momentum, moments) and take rates, decay and betas
        from the settings; all else is read from them as the search goes. The two runs may differ
        in settings that shape no tensor (`drnas_ray.sweeps.tune.plan.MAY_CHANGE`).
        """
        optimizers = (self.weight_optimizer, self.arch_optimizer)
        own = [[_rates(group) for group in one.param_groups] for one in optimizers]
        self.load_state_dict(state)
        for optimizer, groups in zip(
            (self.weight_optimizer, self.arch_optimizer), own, strict=True
        ):
            for group, rates in zip(optimizer.param_groups, groups, strict=True):
                group.update(rates)


def _rates(group: dict[str, Any]) -> dict[str, Any]:
    """What a group of an optimiser has from the settings."""
    return {key: value for key, value in group.items() if key != "params"}


class Tally:
    """Loss and accuracy over batches, added up on the device and read once at the end."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: its mean loss, and how many labels its logits hit."""
        correct = (logits.argmax(-1) == labels).sum()
        count = torch.full_like(loss, len(labels))
        self.sums += torch.stack([loss * count, correct.to(loss.dtype), count])

    def read(self) -> tuple[float, float]:
        """Mean loss and accuracy in percent since the last read, which starts anew."""
        loss, correct, count = self.sums.tolist()
        self.sums.zero_()
        return loss / max(count, 1.0), 100.0 * correct / max(count, 1.0)
