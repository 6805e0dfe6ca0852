"""Figures of the cells that methods end with: box plots, accuracy against cost, graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from analysis.cells.draw import cell_groups, overview
from analysis.figures.base import FigureKind, Missing
from analysis.figures.page import LABEL_PT, dress, page
from analysis.figures.progress import look_up
from analysis.figures.select import Selection, need_tests, select, table_fact
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.stats.pareto import pareto
from analysis.style import GREY, INK, MARKERS, PALETTE, styled
from drnas_ray.spaces import SPACES

_MOST_POINTS = 200
_COSTS = {
    "params_mb": "parameters, millions",
    "flops_m": "multiply-adds, millions",
    "latency_s": "latency of a batch, seconds",
}


def _accuracies(
    data: Collected, benchmark: BenchmarkTable | None
) -> tuple[Selection, pd.Series[float], str]:
    """Runs, their test accuracy in percent, and what the axis is called."""
    if benchmark is not None:
        chosen = select(data, benchmark, space="nb201")
        return chosen, look_up(chosen.runs, benchmark, "test"), "test accuracy, %"
    chosen = select(data)
    values = chosen.runs["retrain_test_acc_pct"].astype(float)
    lengths = sorted(set(chosen.runs["retrain_epochs"].dropna().astype(int)))
    if values.isna().all() or not lengths:
        raise Missing(
            "no cell has been trained from scratch: give a table with --benchmark, or a sweep "
            "with retrain"
        )
    if len(lengths) > 1:
        raise Missing(
            f"cells were trained for {' and '.join(map(str, lengths))} epochs, which don't "
            "compare: give folders of one recipe, or a table with --benchmark"
        )
    return chosen, values, f"test accuracy after {lengths[0]} epochs, %"


def _boxes_panel(axes: Axes, values: list[NDArray[Any]], names: list[str]) -> None:
    for number in range(len(values)):
        place = len(values) - number
        mine = values[number][np.isfinite(values[number])]
        if not len(mine):
            axes.text(0.02, place, "no figure", transform=axes.get_yaxis_transform(),
                      va="center", color=GREY, fontsize=LABEL_PT - 1)  # fmt: skip
            continue
        colour = PALETTE[number % len(PALETTE)]
        axes.boxplot(
            [mine], positions=[place], orientation="horizontal", widths=0.55, showfliers=False,
            patch_artist=True, manage_ticks=False,
            boxprops={"facecolor": (colour, 0.25), "edgecolor": INK},
            medianprops={"color": INK, "linewidth": 2},
        )  # fmt: skip
        shown = mine[:: -(-len(mine) // _MOST_POINTS)]
        # Spread by the golden ratio: even, and the same each time.
        offsets = (np.arange(len(shown)) * 0.618034 % 1 - 0.5) * 0.4
        axes.plot(
            shown, place + offsets, linestyle="", marker="o", markersize=4, color=colour, alpha=0.7,
            markeredgecolor="white", markeredgewidth=0.3,
        )  # fmt: skip
    axes.set_yticks(range(len(values), 0, -1), names)
    axes.set_ylim(0.4, len(values) + 0.6)


@styled
def _boxes(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    chosen, values, label = _accuracies(data, benchmark)
    series, panels = chosen.series, chosen.panels
    longest = max(map(len, series))
    source = "" if benchmark is None else f" {table_fact(benchmark)}"
    figure, axes = page(
        (1, len(panels)),
        "Test accuracy of the derived cells, by method",
        "Box: quartiles and median over seeds; whiskers: to the farthest point within 1.5 times "
        f"the box; points: seeds ({_MOST_POINTS} at most). {chosen.facts}{source}",
        panel=(max(3.4, 2.6 + longest * 0.08 / len(panels)), 0.9 + 0.36 * len(series)),
    )
    for place, (one, panel) in enumerate(zip(axes[0], panels, strict=True)):
        here = chosen.runs["panel"] == panel
        parts = [
            values[here & (chosen.runs["series"] == name)].to_numpy(np.float64) for name in series
        ]
        _boxes_panel(one, parts, series if place == 0 else [""] * len(series))
        dress(one, panel, label)
    return figure


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
    need_tests(benchmark, chosen)
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
            dress(one, panel, _COSTS[what], "" if number else "test accuracy, %")
    return figure


@styled
def _cells(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    runs = data.runs[data.runs["space"].isin(SPACES)]
    groups = cell_groups(runs)
    if not groups:
        raise Missing("no run is done yet: let a search end")
    protocols = " and ".join(dict.fromkeys(str(group["protocol"].iloc[0]) for _, group in groups))
    return overview(groups, f"The cell of each run after its last epoch. Protocol: {protocols}.")


BOXES = FigureKind("boxes", "Box plots of the methods' test accuracies, with a point a seed.",
                   _boxes)  # fmt: skip
PARETO = FigureKind(
    "pareto", "Accuracy against cost: front of all cells of the table, and the chosen cells.",
    _pareto,
)  # fmt: skip
CELLS = FigureKind("cells", "The derived cells as graphs, a row a method, a column a seed.", _cells)
