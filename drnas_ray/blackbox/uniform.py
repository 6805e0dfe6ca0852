"""One cell drawn uniformly from the space: what a search has to beat."""

from __future__ import annotations

from typing import Literal

import numpy as np

from drnas_ray.blackbox.base import BlackBox
from drnas_ray.config import MethodSettings
from drnas_ray.spaces.space import Space


class UniformSettings(MethodSettings):
    """Nothing to set."""

    name: Literal["uniform"] = "uniform"

    @property
    def label(self) -> str:
        """How tables name the row; not the paper's `Random`, which picks the best of many."""
        return "uniform cell"


class Uniform(BlackBox):
    """Every genotype as likely as any other; asked once."""

    settings_type = UniformSettings

    def __init__(self, settings: UniformSettings, space: Space) -> None:
        self.space = space

    def ask(self, rng: np.random.Generator) -> str:
        """A fresh uniform draw."""
        return self.space.random(rng)
