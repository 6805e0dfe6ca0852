"""What a method without a supernet is: it asks for cells. A trial is one whole run of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from drnas_ray.config import MethodSettings
from drnas_ray.spaces.space import Space


class BlackBox(ABC):
    """Subclass this, never another method."""

    settings_type: ClassVar[type[MethodSettings]]

    def __init__(self, settings: MethodSettings) -> None:
        self.settings = settings

    @abstractmethod
    def ask(self, space: Space, rng: np.random.Generator) -> str:
        """The next genotype to look at; the last one asked for is the answer."""
