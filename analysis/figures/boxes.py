"""Box plots of the test accuracies that methods reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.base import FigureKind, Missing, Needs
from analysis.figures.page import LABEL_PT, page, style_axes
from analysis.figures.progress import look_up
from analysis.figures.select import Selection, select, table_fact
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.style import GREY, INK, PALETTE, styled

_MOST_POINTS = 200


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
        style_axes(one, panel, label)
    return figure


BOXES = FigureKind(
    "boxes",
    "Box plots of the methods' test accuracies, with a point for each seed.",
    _boxes,
    details="Accuracies are looked up in the table; without one, they come from cells retrained by "
    "one recipe.",
    needs=(Needs.accuracies,),
)
