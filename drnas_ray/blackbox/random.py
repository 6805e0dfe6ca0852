"""Random search as NAS-Bench-201 runs it (Dong & Yang 2020, arXiv:2001.00326): best of many."""

from __future__ import annotations

from typing import Literal

import numpy as np

from drnas_ray.blackbox.base import BlackBox
from drnas_ray.config import MethodSettings
from drnas_ray.spaces.space import Space


class RandomSettings(MethodSettings):
    """Nothing to set but the run's budget."""

    name: Literal["random"] = "random"

    @property
    def label(self) -> str:
        """The row's name in the paper's tables."""
        return "Random"


class RandomSearch(BlackBox):
    """Uniform draws, with replacement; the best by validation is the answer."""

    settings_type = RandomSettings
    queries_benchmark = True

    def __init__(self, settings: RandomSettings, space: Space) -> None:
        self.space = space

    def ask(self, rng: np.random.Generator) -> str:
        """A fresh uniform draw."""
        return self.space.random(rng)
