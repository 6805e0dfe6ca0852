"""The validation loss and accuracy around the learnt architecture parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from analysis.figures.base import FigureKind, Missing, Needs
from analysis.figures.page import LABEL_PT, page, style_axes
from analysis.figures.select import select
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.style import INK, styled

_MOST = 4
_MEASURES = (
    ("landscape_loss", "validation loss, nats"),
    ("landscape_acc_pct", "validation accuracy, %"),
)


def _grid(value: Any) -> NDArray[np.float64]:
    """As matplotlib expects it: direction 1, which is a record's rows, along x, so as columns."""
    return np.array([[np.nan if x is None else x for x in row] for row in value], np.float64).T


def _shown(data: Collected) -> tuple[pd.DataFrame, str]:
    """The last landscape of the first seed of each method and data set, and the caption's facts."""
    chosen = select(data, multi_trial=False)
    columns = ["landscape_offsets", *(name for name, _ in _MEASURES)]
    frame = chosen.epochs(data, columns).dropna(subset=columns)
    if frame.empty:
        raise Missing("no run measured its landscape: search with --set diagnostics.landscape=last")
    frame = frame.sort_values(["seed", "epoch"], kind="stable")
    first = frame.groupby(["series", "panel"])["seed"].transform("min")
    last = frame[frame["seed"] == first].groupby(["series", "panel"], sort=False).tail(1)
    order = pd.Categorical(last["series"], chosen.series)
    last = last.assign(order=order.codes).sort_values(["panel", "order"], kind="stable")
    protocol = " and ".join(dict.fromkeys(chosen.runs["protocol"]))
    text = f"One seed each. Protocol: {protocol}."
    if len(last) > _MOST:
        text += f" The first {_MOST} of {len(last)} methods and data sets."
    return last.head(_MOST), text


@styled
def _landscape(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    shown, facts = _shown(data)
    figure, axes = page(
        (2, len(shown)),
        "Landscape around the learnt architecture",
        "The supernet on a fixed validation batch, with its architecture parameter moved along two "
        "random directions of length 1. +: as learnt. Each row has one scale. How wide a valley "
        f"looks depends on how a method scales its parameter. {facts}",
        panel=(3.3, 3.2),
    )
    for at, (row, (column, label)) in enumerate(zip(axes, _MEASURES, strict=True)):
        grids = [_grid(value) for value in shown[column]]
        low, high = min(map(np.nanmin, grids)), max(map(np.nanmax, grids))
        levels = MaxNLocator(10).tick_values(low, high if high > low else low + 1e-6)
        for place, (one, grid) in enumerate(zip(row, grids, strict=True)):
            run = shown.iloc[place]
            offsets = np.asarray(run["landscape_offsets"], np.float64)
            filled = one.contourf(offsets, offsets, grid, levels, cmap="cividis")
            one.contour(offsets, offsets, grid, levels, colors="white", linewidths=0.5)
            one.plot(0, 0, marker="+", markersize=12, color="white", markeredgewidth=4)
            one.plot(0, 0, marker="+", markersize=11, color=INK, markeredgewidth=2)
            title = f"{run['series']}, {run['panel']}\nseed {run['seed']}, epoch {run['epoch']}"
            style_axes(
                one,
                "" if at else title,
                "offset along direction 1" if at else "",
                "" if place else "offset along direction 2",
            )
            one.grid(visible=False)
            one.set_aspect("equal")
            one.locator_params(nbins=4)
        bar = figure.colorbar(filled, ax=list(row), shrink=0.9)
        bar.set_label(label, fontsize=LABEL_PT)
        bar.ax.tick_params(labelsize=LABEL_PT - 2)
    return figure


LANDSCAPE = FigureKind(
    "landscape",
    "Validation loss and accuracy on a grid around the learnt architecture.",
    _landscape,
    details="For the first seed of up to four methods and data sets.",
    needs=(Needs.diagnostics,),
)
