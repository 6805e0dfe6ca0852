"""Figures of their own for pages of tests: the real ones take seconds, and have tests."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from analysis.figures import FigureKind, Missing
from analysis.report import pictures


def _drawn(data, benchmark):
    figure = Figure(figsize=(3, 2))
    figure.add_subplot().plot(range(len(data.runs)))
    return figure


def _missing(data, benchmark):
    raise Missing("nothing was <measured>")


@pytest.fixture
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = (
        FigureKind("steps", "A line of so many points as there are runs.", _drawn),
        FigureKind("nothing", "A figure without data.", _missing),
    )
    monkeypatch.setattr(pictures, "FIGURES", {kind.name: kind for kind in kinds})
