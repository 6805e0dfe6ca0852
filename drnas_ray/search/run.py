"""One weight-sharing search: everything that changes while it runs, and so all of a checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from drnas_ray.archsample import ArchSample
from drnas_ray.config import SearchConfig
from drnas_ray.data.images import DataInfo, ImageSet
from drnas_ray.methods import METHODS
from drnas_ray.methods.base import Batch, Weights
from drnas_ray.search.rng import RandomState
from drnas_ray.search.schedule import cosine
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
        with self.random.in_use():
            self.net = SUPERNETS[config.space](
                config.supernet, in_channels=self.info.channels, classes=self.info.classes
            ).to(device, dtype)
            self.arch: nn.Module = self.method.make_arch(self.space).to(device, dtype)
        self.active: Tensor | None = None
        self.epoch = 0
        weights = config.weights
        self.weight_optimizer = torch.optim.SGD(
            self.net.parameters(),
            lr=weights.lr,
            momentum=weights.momentum,
            weight_decay=weights.weight_decay,
            nesterov=weights.nesterov,
        )
        self.arch_optimizer = self.method.make_arch_optimizer(self.arch, config)
        self.tally = Tally(device)

    @property
    def finished(self) -> bool:
        """All epochs are done."""
        return self.epoch >= self.config.epochs

    def set_lr(self, step: int, steps: int) -> float:
        """Put the learning rate of this step of the current epoch in place, and return it."""
        settings = self.config.weights
        within = step / steps if settings.schedule == "step" else 0.0
        lr = cosine(settings.lr, settings.lr_min, (self.epoch + within) / self.config.epochs)
        self.weight_optimizer.param_groups[0]["lr"] = lr
        return lr

    # What a method may call (methods.base.RunView) ------------------------------------------

    def loss(self, sample: ArchSample, batch: Batch) -> Tensor:
        """Cross-entropy of the supernet on a batch, a scalar with its graph."""
        return F.cross_entropy(self.net(batch[0], sample), batch[1])

    def step_arch(self, gradients: tuple[Tensor, ...]) -> None:
        """One step of the architecture's optimiser."""
        for parameter, gradient in zip(self.arch.parameters(), gradients, strict=True):
            parameter.grad = gradient.detach()
        self.arch_optimizer.step()
        self.arch_optimizer.zero_grad()

    def step_weights(self, sample: ArchSample, batch: Batch) -> None:
        """One step of SGD, gradients asked for the weights alone and clipped by their norm.

        With `clip_over_arch` the architecture's gradient of this loss counts in the norm, as in
        the authors' NAS-Bench-201 script; it moves nothing.
        """
        settings = self.config.weights
        weights = list(self.net.parameters())
        arch = list(self.arch.parameters()) if settings.clip_over_arch else []
        logits = self.net(batch[0], sample if arch else sample.detach())
        loss = F.cross_entropy(logits, batch[1])
        gradients = torch.autograd.grad(loss, weights + arch, allow_unused=True)
        for parameter, gradient in zip(weights, gradients, strict=False):
            # An operation that did not run has no gradient, yet weight decay and momentum move
            # it all the same, as they do where every operation runs.
            parameter.grad = torch.zeros_like(parameter) if gradient is None else gradient
        norm = nn.utils.get_total_norm([g for g in gradients if g is not None])
        nn.utils.clip_grads_with_norm_(weights, settings.clip, norm)
        self.weight_optimizer.step()
        self.weight_optimizer.zero_grad()
        self.tally.add(loss.detach(), logits.detach(), batch[1])

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
            "net": self.net.state_dict(),
            "arch": self.arch.state_dict(),
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "arch_optimizer": self.arch_optimizer.state_dict(),
            "active": self.active,
            "random": self.random.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken."""
        self.epoch = state["epoch"]
        self.net.load_state_dict(state["net"])
        self.arch.load_state_dict(state["arch"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.arch_optimizer.load_state_dict(state["arch_optimizer"])
        self.active = state["active"]
        self.random.load_state_dict(state["random"])


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
