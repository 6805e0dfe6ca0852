"""Exploration against exploitation: how widely cells drawn from a learnt Dirichlet spread."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.figures.base import FigureKind, Missing, Needs
from analysis.figures.page import page, style_axes, whole_ticks
from analysis.figures.select import Selection, only, require_test_accuracies, select, table_fact
from analysis.figures.strengths import draw_choices, generator, nb201_index, strength_chunks
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.style import GREY, PALETTE, styled
from drnas_ray.spaces.nb201 import NB201

DRAWS = 100
"""Cells per epoch, as in the slides on DrNAS."""
_MOST_RUNS, _MOST_SERIES = 20, 6
SPREAD = ("low", "quarter", "median", "three_quarters", "high")
_BLUE, _RED = PALETTE[0], PALETTE[1]


def spread(
    data: Collected, chosen: Selection, benchmark: BenchmarkTable, split: str = "test"
) -> pd.DataFrame:
    """One row per series, panel and epoch: medians over the runs of each run's own figures.

    `SPREAD`: minimum, quartiles and maximum of the accuracy in percent of `DRAWS` cells drawn from
    the run's Dirichlet distributions after that epoch; mean_cell: accuracy of the cell of their
    means; n: runs. A run's draws depend on its id alone. Cells without an accuracy are left out.
    """
    rows = []
    epochs = chosen.epochs(data, ["strengths"]).sort_values("epoch", kind="stable")
    # A run that is looked up on several data sets has the same draws on each.
    for _, part in epochs.groupby(["series", *chosen.keys], sort=False):
        ident = str(part["run_id"].iloc[0])
        once = part[part["panel"] == part["panel"].iloc[0]]
        for places, strengths in strength_chunks(once["strengths"], NB201().shape):
            beta = np.where(np.isfinite(strengths), strengths, 0.0)[:, 0]
            known = (beta > 0).any(-1).all(-1)
            beta = beta[known]
            drawn = nb201_index(draw_choices(beta, DRAWS, generator(ident)))
            mean = nb201_index(beta.argmax(-1))
            for panel, data_set in dict(zip(part["panel"], part["data"], strict=True)).items():
                accuracy = benchmark.columns[data_set, split]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # all 100 lack an accuracy
                    five = np.nanquantile(accuracy[drawn], [0, 0.25, 0.5, 0.75, 1], axis=0)
                frame = pd.DataFrame(dict(zip(SPREAD, five, strict=True)))
                frame["mean_cell"] = accuracy[mean]
                frame["epoch"] = once["epoch"].to_numpy(np.int64)[places[known]]
                rows.append(frame.assign(series=part["series"].iloc[0], panel=panel))
    if not rows:
        raise Missing("no epoch of a DrNAS run has strengths to draw cells from")
    whole = pd.concat(rows, ignore_index=True)
    grouped = whole.groupby(["series", "panel", "epoch"], sort=False)
    result = grouped[[*SPREAD, "mean_cell"]].median()
    return result.assign(n=grouped.size()).reset_index()


def first_seeds(chosen: Selection, data: Collected) -> tuple[Selection, str]:
    """At most 20 seeds and 6 methods of each data set, and a sentence if some are left out."""
    number = chosen.runs.groupby(["series", "panel"])["seed"].rank(method="first")
    series = pd.Categorical(chosen.runs["series"], chosen.series).codes
    keep = (number <= _MOST_RUNS).to_numpy() & (series < _MOST_SERIES)
    if keep.all():
        return chosen, ""
    text = f" The first {_MOST_RUNS} seeds of the first {_MOST_SERIES} methods at most are shown."
    return only(chosen, keep, data), text


def _panel(axes: Axes, part: pd.DataFrame, best: float) -> None:
    part = part.sort_values("epoch")
    epoch = part["epoch"].to_numpy(np.float64)
    get = {name: part[name].to_numpy() for name in (*SPREAD, "mean_cell")}
    axes.fill_between(epoch, get["low"], get["high"], color=_BLUE, alpha=0.16, linewidth=0)
    axes.fill_between(
        epoch, get["quarter"], get["three_quarters"], color=_BLUE, alpha=0.38, linewidth=0
    )
    axes.plot(epoch, get["low"], color=_BLUE, linewidth=0.8, label="minimum")
    axes.plot(epoch, get["high"], color=_BLUE, linewidth=0.8, label="maximum")
    axes.plot(epoch, get["median"], color=_BLUE, linewidth=1.6, linestyle=(0, (4, 1.5)),
              label="median")  # fmt: skip
    axes.plot(
        epoch, get["mean_cell"], color=_RED, linewidth=2.2, marker="o", markersize=4.5,
        markevery=max(1, len(epoch) // 10), label="mean cell",
    )  # fmt: skip
    axes.axhline(best, color=GREY, linewidth=1, linestyle=(0, (1, 1.5)), zorder=1)
    axes.set_ylim(top=best + 0.06 * (best - get["low"].min()))


def _handles() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=_RED, linewidth=2.2, marker="o", markersize=4.5,
               label="cell of the Dirichlet mean"),
        Line2D([], [], color=_BLUE, linewidth=1.6, linestyle=(0, (4, 1.5)),
               label=f"median of {DRAWS} drawn cells"),
        Patch(color=_BLUE, alpha=0.5, label="quartiles"),
        Patch(facecolor=_BLUE, alpha=0.2, edgecolor=_BLUE, label="range"),
        Line2D([], [], color=GREY, linestyle=(0, (1, 1.5)), label="best cell of the table"),
    ]  # fmt: skip


@styled
def _exploration(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    if benchmark is None:
        raise Missing("accuracies of the drawn cells come from a table: give --benchmark TABLE")
    chosen = select(data, benchmark, distribution="dirichlet", space="nb201")
    require_test_accuracies(benchmark, chosen)
    chosen, cut = first_seeds(chosen, data)
    frame = spread(data, chosen, benchmark)
    places = dict(zip(chosen.runs["panel"], chosen.runs["data"], strict=True))
    series, panels = chosen.series, chosen.panels
    figure, axes = page(
        (len(series), len(panels)),
        "Exploration against exploitation: cells drawn from the learnt distribution",
        f"After each epoch {DRAWS} cells are drawn from the learnt Dirichlet distributions (the "
        "largest share of each edge). Each curve is the median over seeds of that figure of a run. "
        f"{chosen.facts}{cut} {table_fact(benchmark)}",
        _handles(),
        (4.0, 3.2),
    )
    for row, name in zip(axes, series, strict=True):
        for one, panel in zip(row, panels, strict=True):
            part = frame[(frame["series"] == name) & (frame["panel"] == panel)]
            if part.empty:
                one.set_axis_off()
                continue
            _panel(one, part, benchmark.best(places[panel], "test"))
            style_axes(
                one, f"{name}, {panel}", "epoch", "test accuracy, %" if panel == panels[0] else ""
            )
            whole_ticks(one)
    return figure


EXPLORATION = FigureKind(
    "exploration",
    "Accuracy of 100 cells drawn from DrNAS's distribution after each epoch, and of its mean.",
    _exploration,
    details="Exploration against exploitation: after each epoch 100 cells are drawn (edges "
    "independently, the operation with the largest share of each). Shown are range, quartiles and "
    "median of their test accuracy, and the accuracy of the cell of the means; with several seeds, "
    "the median over seeds of each. At most 20 seeds are shown. A run's draws depend on its id "
    "alone.",
    needs=(Needs.dirichlet, Needs.table),
)
