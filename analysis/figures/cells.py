"""The cells that runs derived, as graphs."""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis.cells.draw import cell_groups, overview
from analysis.figures.base import FigureKind, Missing
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.style import styled
from drnas_ray.spaces import SPACES


@styled
def _cells(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    runs = data.runs[data.runs["space"].isin(SPACES)]
    groups = cell_groups(runs)
    if not groups:
        raise Missing("no run is done yet: wait until a search has finished")
    protocols = " and ".join(dict.fromkeys(str(group["protocol"].iloc[0]) for _, group in groups))
    return overview(groups, f"The cell of each run after its last epoch. Protocol: {protocols}.")


CELLS = FigureKind(
    "cells",
    "The derived cells as graphs: a row for each method, a column for each seed.",
    _cells,
    details="Each data set and cell type also has its own row. At most 20 rows and 8 seeds are "
    "shown; the title says so if there are more.",
)
