"""P-DARTS (Chen et al., ICCV 2019, arXiv:1904.12760): deeper in stages, skips held back.

DARTS's mixture in three stages, each restarted with a deeper network and fewer operations; skip
connections are dropped out in training at a falling rate, and the answer may hold only a few.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from drnas_ray.config import MethodSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.base import Method, RunView
from drnas_ray.methods.relax import softmax_shares

# How fast the dropout rate falls after the warm-up, in each epoch (the authors' train_search.py).
DECAY = 0.2
Rate = Annotated[float, Field(ge=0, lt=1)]


class PDartsSettings(MethodSettings):
    """skip_dropout: rate at the start of each stage; the last one holds for all further stages.
    max_skips: skip connections that the answer may hold.
    """

    name: Literal["pdarts"] = "pdarts"
    skip_dropout: tuple[Rate, ...] = Field((0.1, 0.4, 0.7), min_length=1)
    max_skips: int = Field(2, ge=0)
    # Epochs, rates and warm-up are the authors'; depths and operations are NAS-Bench-201's.
    shared_defaults: ClassVar[Mapping[str, Any]] = {
        "epochs": 75,
        "batch_size": 96,
        "weights": {"lr_min": 0.0, "at_stage": "anew"},
        "arch": {"lr": 6e-4, "warmup_epochs": 10},
        "stages": [
            {"cells": 1, "keep_ops": 5},
            {"cells": 3, "keep_ops": 3, "restart": True},
            {"cells": 5, "keep_ops": 2, "restart": True},
        ],
    }

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "P-DARTS"


def dropout_rate(first: float, epoch: int, warmup: int, epochs: int) -> float:
    """The rate on skips in an epoch (from 0) of a stage of `epochs`, `warmup` of them at first.

    Linear towards 0 over the stage while the weights train alone, then back at `first` and
    exponential, as in the authors' train_search.py.
    """
    if epoch < warmup:
        return first * (epochs - epoch - 1) / epochs
    return first * math.exp(-DECAY * (epoch - warmup))


class PDarts(Method):
    """Stages are a setting of the run; P-DARTS adds the dropout and the limit on skips."""

    settings_type = PDartsSettings

    def __init__(self, settings: PDartsSettings) -> None:
        self.settings = settings

    def _dropout(self, run: RunView) -> float:
        rates = self.settings.skip_dropout
        first = rates[min(run.stage, len(rates) - 1)]
        return dropout_rate(first, run.stage_epoch, run.config.arch.warmup_epochs, run.stage_epochs)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): softmax of alpha over the kept operations."""
        return softmax_shares(run)

    def sample(self, run: RunView) -> ArchSample:
        """The shares, with the dropout rate of the epoch."""
        return ArchSample(self.strengths(run), run.active, skip_dropout=self._dropout(run))

    def mean(self, run: RunView) -> ArchSample:
        """The shares without dropout."""
        return ArchSample(self.strengths(run), run.active)

    def derive(self, run: RunView) -> str:
        """The strongest operations; while too many are skips, the weakest skip gives way.

        Where nothing but skips is left the answer may hold more of them.
        """
        ranked = self.strengths(run).detach().double().cpu().clone()
        skip = run.space.ops.index(run.space.skip_op)
        while True:
            genotype = run.space.discretise(ranked.numpy())
            if run.space.op_count(genotype, run.space.skip_op) <= self.settings.max_skips:
                return genotype
            others = ranked.clone()
            others[..., skip] = 0
            # Pruned operations have share 0: with nothing else left a skip stays.
            replaceable = (ranked.argmax(-1) == skip) & (others.amax(-1) > 0)
            if not replaceable.any():
                return genotype
            weakest = torch.where(replaceable, ranked[..., skip], math.inf).argmin()
            ranked[..., skip].view(-1)[weakest] = 0
