"""All that changes while a search runs, and so all that a checkpoint holds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from drnas_ray.config import SearchConfig
from drnas_ray.data.images import DataInfo, ImageSet
from drnas_ray.methods import METHODS
from drnas_ray.search.rng import RandomState
from drnas_ray.search.schedule import weight_lr
from drnas_ray.search.tally import Tally
from drnas_ray.spaces import space_named
from drnas_ray.supernets import SUPERNETS

Measurement = tuple[int, float, str]
"""An epoch, the largest eigenvalue after it, and the cell that the search would return."""


class RunState:
    """A search between two epochs, as made from settings and data or by `load_state_dict`.

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
        self.watched: list[Measurement] = []
        """What early stopping compares, in order."""
        self.answer_epoch: int | None = None
        """The epoch whose cell is the answer, if the search stopped early."""
        self.stages = config.stage_epochs()
        with self.random.in_use():
            self.build(0)
        self.tally = Tally(device)

    def build(self, stage: int) -> None:
        """Make a new supernet, architecture module and optimisers for a stage (from 0)."""
        self.stage = stage
        self.net = self.make_net(stage)
        self.arch: nn.Module = self.method.make_arch(self.space).to(self.device, self.dtype)
        self.weight_optimizer = self.make_weight_optimizer()
        self.arch_optimizer = self.method.make_arch_optimizer(self.arch, self.config)

    def make_net(self, stage: int) -> nn.Module:
        """A new supernet of the size for a stage."""
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
        """Set the learning rate for this step of the current epoch, and return it."""
        settings = self.config.weights
        within = step / steps if settings.schedule == "step" else 0.0
        lr = weight_lr(settings, self.epoch + within, self.stages)
        self.weight_optimizer.param_groups[0]["lr"] = lr
        return lr

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
        """Continue exactly where `state_dict` was taken."""
        self.epoch = state["epoch"]
        if state["stage"] != self.stage:
            with self.random.in_use():  # what it draws is overwritten below
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
        """Continue from where another run's `state_dict` was taken, under this run's own settings.

        Optimisers keep their momentum and moments and take rates, decay and betas from the
        settings; all else is read from the settings as the search continues. The two runs may
        differ in settings that shape no tensor (`drnas_ray.sweeps.tune.plan.MAY_CHANGE`).
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
    """The part of an optimiser's group that follows from the settings."""
    return {key: value for key, value in group.items() if key != "params"}
