"""Figures by name, drawn from what runs left; each says what is missing where it can't be."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.figures.base import FigureKind, Missing
from analysis.figures.chosen import BOXES, CELLS, PARETO
from analysis.figures.edges import CONCENTRATION, ENTROPY
from analysis.figures.exploration import EXPLORATION
from analysis.figures.landscape import LANDSCAPE
from analysis.figures.progress import HESSIAN, SKIPS, TRAJECTORY
from analysis.figures.proposition1 import PROPOSITION1
from analysis.figures.simplex import SIMPLEX
from analysis.figures.tuning import IMPORTANCE, PARALLEL

FIGURES: Mapping[str, FigureKind] = {
    kind.name: kind
    for kind in (
        TRAJECTORY,
        EXPLORATION,
        BOXES,
        CELLS,
        SKIPS,
        ENTROPY,
        CONCENTRATION,
        SIMPLEX,
        HESSIAN,
        LANDSCAPE,
        PROPOSITION1,
        PARETO,
        PARALLEL,
        IMPORTANCE,
    )
}
"""Every figure by its name, in the order in which a reader wants them."""

__all__ = ["FIGURES", "FigureKind", "Missing"]
