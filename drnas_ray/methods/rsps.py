"""RSPS (Li & Talwalkar, UAI 2019, arXiv:1902.07638): random search with shared weights.

The supernet trains under uniformly random single paths; nothing is learnt about the architecture.
At the end random cells are scored with the shared weights, and the best one is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from drnas_ray.config import MethodSettings
from drnas_ray.core.archsample import ArchSample
from drnas_ray.methods.base import Method, RunView, Statistics, UpdateHook
from drnas_ray.methods.relax import best_scored, draw_choice, kept_shares, one_path
from drnas_ray.spaces.space import Space


class RspsSettings(MethodSettings):
    """candidates: cells scored at the end, each on a fresh validation batch of `score_batch`.
    bn: which statistics batch normalisation uses in scoring, worth more than five points."""

    name: Literal["rsps"] = "rsps"
    candidates: int = Field(100, ge=1)
    score_batch: int = Field(512, ge=2)
    bn: Statistics = "batch"
    # NAS-Bench-201's own settings for RSPS (RANDOM-NAS.py and RANDOM-NAS.sh of its authors).
    shared_defaults: ClassVar[Mapping[str, Any]] = {
        "epochs": 250,
        "weights": {"nesterov": True, "weight_decay": 5e-4, "schedule": "step"},
    }

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "RSPS"


class UniformChoice(nn.Module):
    """Uniform probabilities (T, E, O) as a buffer, without a parameter."""

    uniform: Tensor

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.register_buffer("uniform", torch.full(space.shape, 1 / space.shape[-1]))


class Rsps(Method):
    """Uniform over the kept operations, `none` included."""

    settings_type = RspsSettings
    mixes = False
    differentiable = False
    ranks = False

    def __init__(self, settings: RspsSettings) -> None:
        self.settings = settings

    @property
    def arch_hook(self) -> UpdateHook:
        """Nothing is learnt."""
        return "never"

    def make_arch(self, space: Space) -> nn.Module:
        """No parameter."""
        return UniformChoice(space)

    def strengths(self, run: RunView) -> Tensor:
        """(T, E, O): equal for all kept operations."""
        assert isinstance(run.arch, UniformChoice)
        return kept_shares(run.arch.uniform, run.mask)

    def sample(self, run: RunView) -> ArchSample:
        """One path."""
        probabilities = self.strengths(run)
        return one_path(draw_choice(probabilities), probabilities)

    def mean(self, run: RunView) -> ArchSample:
        """A uniform choice of one path has no mean: another draw."""
        return self.sample(run)

    def derive(self, run: RunView) -> str:
        """The best of `candidates` random cells by the accuracy of the shared weights."""
        settings = self.settings
        samples = (self.sample(run) for _ in range(settings.candidates))
        return best_scored(samples, run, settings.score_batch, settings.bn)
