"""Figures by name, drawn from what runs left behind.

To add a figure, write its module with a `FigureKind` and list that in FIGURES below. The command
line, the report, the tests and docs/figures.md (`python -m analysis.figures`) follow from it.

- base: `FigureKind`; page: title, legend, panels and caption; lines: curves over epochs with bands
- select: the runs that a figure shows, and their names; strengths: strengths as arrays
- the others: one or several figures each
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from analysis.figures.base import FigureKind, Missing, Needs
from analysis.figures.boxes import BOXES
from analysis.figures.cells import CELLS
from analysis.figures.edges import CONCENTRATION, ENTROPY
from analysis.figures.exploration import EXPLORATION
from analysis.figures.landscape import LANDSCAPE
from analysis.figures.pareto import PARETO
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
"""Figure by name, in the order of lists and pages."""


def listing() -> str:
    """The figures as a Markdown list, as in docs/figures.md."""
    items = []
    for kind in FIGURES.values():
        needs = " and ".join(kind.needs).replace("NAME", kind.name)
        parts = (kind.about, kind.details, f"Needs {needs}." if needs else "")
        text = f"- **{kind.name}**: {' '.join(filter(None, parts))}"
        items += textwrap.wrap(
            text, 105, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(items) + "\n"


__all__ = ["FIGURES", "FigureKind", "Missing", "Needs", "listing"]
