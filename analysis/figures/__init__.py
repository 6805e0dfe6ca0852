"""Figures by name, drawn from what runs left; each says what is missing where it can't be."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.figures.base import FigureKind, Missing
from analysis.figures.tuning import IMPORTANCE, PARALLEL

FIGURES: Mapping[str, FigureKind] = {kind.name: kind for kind in (PARALLEL, IMPORTANCE)}
"""Every figure by its name, in the order in which a reader wants them."""

__all__ = ["FIGURES", "FigureKind", "Missing"]
