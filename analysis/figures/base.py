"""What a figure is: a name, what it shows and needs, and a function that draws it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from matplotlib.figure import Figure

from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected


class Missing(Exception):
    """The data lack what the figure shows; the message says how to get it."""


class Needs(StrEnum):
    """What a figure needs besides finished runs; NAME stands for the figure's name."""

    table = "a table (`--benchmark`)"
    accuracies = "a table (`--benchmark`) or retrained cells"
    diagnostics = "`--set diagnostics.NAME=...` in the search"
    dirichlet = "a method with a Dirichlet distribution (such as DrNAS)"
    tuning = "a sweep with a `search:` section"


@dataclass(frozen=True)
class FigureKind:
    """One figure. `draw` raises Missing if the data have nothing to show."""

    name: str
    about: str
    """What it shows, in one sentence: for lists, and as caption of the saved file."""
    draw: Callable[[Collected, BenchmarkTable | None], Figure]
    details: str = ""
    """More sentences for docs/figures.md: how it is computed, and its limits."""
    needs: tuple[Needs, ...] = ()
