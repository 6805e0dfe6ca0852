"""The interface of a method without a supernet: it asks for cells and gets their accuracies.

A trial is one whole run of it. Each run has its own method object, which holds what it has learnt
so far; a resumed run replays the same questions and answers.
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
    queries_benchmark: ClassVar[bool] = False
    """It evaluates cells with a benchmark, and a run has a budget of queries."""

    @abstractmethod
    def __init__(self, settings: Any, space: Space) -> None:
        """Takes an instance of `settings_type`, and the space to choose from."""

    def check(self) -> None:  # noqa: B027  (a hook, not a duty)
        """Raise UserError where the space does not fit the settings.

        Called while settings are read, before anything runs.
        """

    @abstractmethod
    def ask(self, rng: np.random.Generator) -> str:
        """The next genotype to evaluate; all randomness comes from `rng`."""

    def tell(self, genotype: str, val_acc_pct: float) -> None:  # noqa: B027  (a hook, not a duty)
        """Learn from the validation accuracy of the genotype last asked for."""

    def answer(self, history: History) -> str:
        """The search's answer: the best cell seen, the first in a tie."""
        return max(history, key=lambda entry: entry[1])[0]
