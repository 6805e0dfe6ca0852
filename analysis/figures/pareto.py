"""Accuracy against cost: all cells of a benchmark, and the cells that methods chose."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from analysis.figures.base import FigureKind, Missing, Needs
from analysis.figures.page import page, style_axes
from analysis.figures.select import require_test_accuracies, select, table_fact
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.stats.pareto import pareto
from analysis.style import INK, MARKERS, PALETTE, styled

_COSTS = {
    "params_mb": "parameters, millions",
    "flops_m": "multiply-adds, millions",
    "latency_s": "latency of a batch, seconds",
}


def _pareto_panel(
    axes: Axes, cost: NDArray[np.float64], accuracy: NDArray[np.float64], cells: dict[str, Any]
) -> None:
    """cells: series to the numbers of its cells."""
    axes.plot(
        cost, accuracy, linestyle="", marker=".", markersize=2, color="#BDBDBD", rasterized=True,
        label="cells",
    )  # fmt: skip
    front = pareto(cost, accuracy)
    axes.plot(
        cost[front], accuracy[front], drawstyle="steps-post", color=INK, linewidth=1.4,
        label="front",
    )  # fmt: skip
    for place, (name, numbers) in enumerate(cells.items()):
        axes.plot(cost[numbers], accuracy[numbers], label=name, **_mark(place))
    chosen = np.concatenate([np.zeros(0, np.intp), *cells.values()])
    low = np.nanmin([np.nanquantile(accuracy, 0.1), *accuracy[chosen]])
    high = np.nanmax(accuracy)
    axes.set_ylim(low - 0.05 * (high - low), high + 0.07 * (high - low))


def _mark(place: int) -> dict[str, Any]:
    return {
        "linestyle": "",
        "marker": MARKERS[place % len(MARKERS)],
        "markersize": 8,
        "color": PALETTE[place % len(PALETTE)],
        "markeredgecolor": "white",
        "markeredgewidth": 0.7,
    }


@styled
def _pareto(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    if benchmark is None:
        raise Missing("costs and accuracies of cells come from a table: give --benchmark TABLE")
    chosen = select(data, benchmark, space="nb201")
    require_test_accuracies(benchmark, chosen)
    runs = chosen.runs
    places = dict(zip(runs["panel"], runs["data"], strict=True))
    every = {
        what: {panel: benchmark.cost(name, what) for panel, name in places.items()}
        for what in _COSTS
    }
    costs = {
        what: found
        for what, found in every.items()
        if any(np.isfinite(values).any() for values in found.values())
    }
    if not costs:
        raise Missing(f"{benchmark.label} has no costs: give a table with cifar10_params_mb or so")
    handles = [
        Line2D([], [], linestyle="", marker=".", color="#9E9E9E", label="all cells of the table"),
        Line2D([], [], color=INK, linewidth=1.4, label="Pareto front"),
        *(Line2D([], [], label=name, **_mark(i)) for i, name in enumerate(chosen.series)),
    ]
    figure, axes = page(
        (len(costs), len(places)),
        "Accuracy against cost: all cells, and those the methods chose",
        "A mark is a distinct derived cell, of one seed or of several. The accuracy axis leaves "
        f"out the worst cells that no method chose. {chosen.facts} {table_fact(benchmark)}",
        handles,
        (3.5, 2.9),
    )
    for row, (what, found) in zip(axes, costs.items(), strict=True):
        for number, (one, (panel, name)) in enumerate(zip(row, places.items(), strict=True)):
            here = runs[runs["panel"] == panel]
            cells = {
                series: np.array(
                    [benchmark.rows[g] for g in dict.fromkeys(part["genotype"])], dtype=np.intp
                )
                for series in chosen.series
                for part in [here[here["series"] == series]]
            }
            _pareto_panel(one, found[panel], benchmark.columns[name, "test"], cells)
            style_axes(one, panel, _COSTS[what], "" if number else "test accuracy, %")
    return figure


PARETO = FigureKind(
    "pareto",
    "Accuracy against cost: all cells of the table with their front, and the chosen cells.",
    _pareto,
    details="Costs are parameters, multiply-adds and latency, as far as the table has them. The "
    "accuracy axis leaves out the worst cells that no method chose.",
    needs=(Needs.table,),
)
