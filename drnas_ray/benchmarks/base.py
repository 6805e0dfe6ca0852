"""What a multi-trial method may ask for: the cheap validation accuracy of a cell, nothing else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Answer:
    """val_acc_pct: validation accuracy after the benchmark's short training.

    cost_s: how long that training would have taken, None where that is unknown.
    """

    val_acc_pct: float
    cost_s: float | None = None


class Benchmark(ABC):
    """One data set's figures. It offers no test figure, so no search can read one."""

    cheap: ClassVar[bool]
    """Whether a query takes microseconds, so that a whole run is one step."""

    @abstractmethod
    def query(self, genotype: str) -> Answer:
        """The figures of a cell. Raises UserError if the benchmark lacks the cell."""
