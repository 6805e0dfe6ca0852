"""Figures by name, drawn from what runs left; each says what is missing where it can't be."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.figures.base import FigureKind, Missing

FIGURES: Mapping[str, FigureKind] = {}
"""Every figure by its name, in the order in which a reader wants them."""

__all__ = ["FIGURES", "FigureKind", "Missing"]
