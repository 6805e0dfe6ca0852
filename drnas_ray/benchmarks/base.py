"""What a multi-trial method may ask: the cheap validation figure of a cell, and nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Answer:
    """val_acc_pct: validation accuracy after the benchmark's short training.

    cost_s: what that training would have taken, None where it is not known.
    """

    val_acc_pct: float
    cost_s: float | None = None


class Benchmark(ABC):
    """One data set's figures. It has no way to a test figure, so no search can read one."""

    cheap: ClassVar[bool]
    """A query takes microseconds, so that a whole run is one step."""

    @abstractmethod
    def query(self, genotype: str) -> Answer:
        """The figures of a cell. Raises UserError if the benchmark lacks it."""
