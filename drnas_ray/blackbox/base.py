"""What a method without a supernet is: it asks for cells and is told how good they are.

A trial is one whole run of it. The method object is made anew for each run and holds what it has
learnt so far; a run goes on after a kill by asking and telling it the same again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from drnas_ray.config import MethodSettings
from drnas_ray.spaces.space import Space

History = list[tuple[str, float, float | None]]
"""(genotype, validation accuracy in percent, cost in seconds if known), in the order asked."""


class BlackBox(ABC):
    """Subclass this, never another method."""

    settings_type: ClassVar[type[MethodSettings]]

    @abstractmethod
    def __init__(self, settings: Any, space: Space) -> None:
        """Takes an instance of `settings_type`, and the space to choose from."""

    @abstractmethod
    def ask(self, rng: np.random.Generator) -> str:
        """The next genotype to look at; all that is random comes from `rng`."""

    def tell(self, genotype: str, val_acc_pct: float) -> None:  # noqa: B027  (a hook, not a duty)
        """The validation accuracy of the genotype last asked for."""

    def answer(self, history: History) -> str:
        """What the search answers with: the best seen, the first of equals."""
        return max(history, key=lambda entry: entry[1])[0]
