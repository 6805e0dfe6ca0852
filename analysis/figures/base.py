"""What a figure is: a name, a sentence, and a function from the data to a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected


class Missing(Exception):
    """The data lack what the figure shows; the message says what would bring it."""


@dataclass(frozen=True)
class FigureKind:
    """One figure. `draw` raises Missing where the data hold nothing to show."""

    name: str
    about: str
    """One sentence for lists, and the caption's start."""
    draw: Callable[[Collected, BenchmarkTable | None], Figure]
