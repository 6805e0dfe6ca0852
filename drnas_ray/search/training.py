"""Training one derived cell from scratch and testing it on images that no search has seen."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional as F

from drnas_ray.config import RetrainConfig
from drnas_ray.data.batches import batch_count, eval_batches, train_batches
from drnas_ray.data.images import DataInfo, ImageSet
from drnas_ray.networks import NETWORKS
from drnas_ray.results.status import step_status
from drnas_ray.search.clock import Clock
from drnas_ray.search.rng import RandomState
from drnas_ray.search.schedule import cosine
from drnas_ray.search.tally import Tally


class Training:
    """One network between two epochs of SGD on the whole training set.

    data: the data set's facts, all training images, the held-out test images.
    """

    def __init__(
        self,
        config: RetrainConfig,
        data: tuple[DataInfo, ImageSet, ImageSet],
        device: torch.device,
    ) -> None:
        self.config, self.device = config, device
        self.info, train, test = data
        self.train, self.test = train.to(device), test.to(device)
        self.random = RandomState(config.seed, device)
        with self.random.in_use():
            self.net = NETWORKS[config.space](
                config.genotype,
                channels=config.channels,
                cells=config.cells,
                in_channels=self.info.channels,
                classes=self.info.classes,
            ).to(device)
        self.optimizer = torch.optim.SGD(
            self.net.parameters(),
            lr=config.lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            nesterov=config.nesterov,
        )
        self.epoch = 0

    @property
    def finished(self) -> bool:
        """All epochs are done."""
        return self.epoch >= self.config.epochs

    def step(self) -> dict[str, Any]:
        """Train one epoch; test after the last one only. One line of the trial's record."""
        clock = Clock(self.device)
        with self.random.in_use():
            loss, accuracy = self._train()
        self.epoch += 1
        record: dict[str, Any] = {
            "epoch": self.epoch,
            "train_loss": loss,
            "train_acc_pct": accuracy,
            "lr": self.optimizer.param_groups[0]["lr"],
            "params_m": sum(p.numel() for p in self.net.parameters()) / 1e6,
        }
        diverged = not math.isfinite(loss)
        if self.finished and not diverged:
            record["test_loss"], record["test_acc_pct"] = self._test()
        record["status"] = step_status(finished=self.finished, diverged=diverged)
        return {**record, **clock.seconds()}

    def _train(self) -> tuple[float, float]:
        config, tally = self.config, Tally(self.device)
        steps = batch_count(len(self.train), config.batch_size)
        self.net.train()
        for step, (images, labels) in enumerate(
            train_batches(self.train, config.batch_size, self.info)
        ):
            progress = (self.epoch + step / steps) / config.epochs
            self.optimizer.param_groups[0]["lr"] = cosine(config.lr, 0.0, progress)
            logits = self.net(images)
            loss = F.cross_entropy(logits, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            tally.add(loss.detach(), logits.detach(), labels)
        return tally.read()

    @torch.no_grad()
    def _test(self) -> tuple[float, float]:
        self.net.eval()
        tally = Tally(self.device)
        for images, labels in eval_batches(self.test, self.config.batch_size, self.info):
            logits = self.net(images)
            tally.add(F.cross_entropy(logits, labels), logits, labels)
        return tally.read()

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on: tensors, numbers and text only."""
        return {
            "config": self.config.canonical_json(),
            "epoch": self.epoch,
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": self.random.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken."""
        self.epoch = state["epoch"]
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.random.load_state_dict(state["random"])
