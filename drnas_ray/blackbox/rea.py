"""Regularised evolution (Real et al., AAAI 2019, arXiv:1802.01548): the oldest cell dies."""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np
from pydantic import Field

from drnas_ray.blackbox.base import BlackBox
from drnas_ray.config import MethodSettings
from drnas_ray.spaces.space import Space


class ReaSettings(MethodSettings):
    """population: cells alive. tournament: cells drawn to find a parent, with replacement."""

    name: Literal["rea"] = "rea"
    population: int = Field(10, ge=1)
    tournament: int = Field(3, ge=1)

    @property
    def label(self) -> str:
        """How NAS-Bench-201's tables name the row."""
        return "REA"


class Rea(BlackBox):
    """A random population, then children of tournament winners."""

    settings_type = ReaSettings
    queries_benchmark = True

    def __init__(self, settings: ReaSettings, space: Space) -> None:
        self.settings, self.space = settings, space
        self.alive: deque[tuple[str, float]] = deque(maxlen=settings.population)
        """(genotype, accuracy), oldest first; when full, the oldest makes room for the next."""

    def ask(self, rng: np.random.Generator) -> str:
        """A random cell until the population is full, then a mutant of a tournament's winner."""
        if len(self.alive) < self.settings.population:
            return self.space.random(rng)
        drawn = rng.integers(len(self.alive), size=self.settings.tournament)
        parent = max((self.alive[int(place)] for place in drawn), key=lambda entry: entry[1])
        return self.space.mutate(parent[0], rng)

    def tell(self, genotype: str, val_acc_pct: float) -> None:
        """The new cell joins; if the population was full, the oldest drops out."""
        self.alive.append((genotype, val_acc_pct))
