"""A run: its state, and the steps that a method's hooks may call (`methods.base.RunView`).

Here a sample meets the supernet: all forward passes of a search except validation's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from drnas_ray.core.archsample import ArchSample
from drnas_ray.data.batches import random_batch
from drnas_ray.methods.base import Batch, Statistics, Weights
from drnas_ray.search.perturb import perturbed, radius
from drnas_ray.search.state import RunState


class Run(RunState):
    """One weight-sharing search, as its loop and its method's hooks use it."""

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
        """One step of SGD down a loss, with clipped gradients of the weights alone.

        With `clip_over_arch` the norm includes this loss's gradient for the architecture, as in
        the authors' NAS-Bench-201 script; nothing else is done with it. Returns the gradients for
        `wrt`.
        """
        settings = self.config.weights
        weights = list(self.net.parameters())
        arch = list(self.arch.parameters()) if settings.clip_over_arch else []
        gradients = torch.autograd.grad(loss, [*weights, *arch, *wrt], allow_unused=True)
        for parameter, gradient in zip(weights, gradients, strict=False):
            # An operation that did not run has no gradient, yet weight decay and momentum move
            # its weights, as they do in methods that run every operation.
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
        """The loss under other weights; running statistics stay as they are."""
        buffers = {name: buffer.clone() for name, buffer in self.net.named_buffers()}
        logits = functional_call(self.net, {**weights, **buffers}, (batch[0], sample))
        return F.cross_entropy(logits, batch[1])

    def stepped(self, gradients: Weights) -> tuple[Weights, float]:
        """The weights after an unclipped step of SGD, and the factor on each gradient in it."""
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
