"""Both sides of Proposition 1 of DrNAS (arXiv:2006.10355), measured during the search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.base import FigureKind, Missing, Needs
from analysis.figures.page import page, style_axes, whole_ticks
from analysis.figures.select import pairs, select
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.style import GREY, INK, line_style, styled

_LEFT, _SE = "proposition1_sampled", "proposition1_sampled_se"
_RIGHT, _MEAN = "proposition1_laplace", "proposition1_at_mean"
_MOST = 4
_DIFFERENCE: dict[str, Any] = {"color": INK, "linestyle": "-", "marker": "X"}


def sides(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per series, panel and epoch: means over runs of both sides, and standard errors.

    _SE: of the mean of the sampled side, from each run's own standard error. difference: left
    minus right. Differences between runs affect both sides alike, so its error is that of sampling
    alone.
    """
    known = frame.dropna(subset=[_LEFT, _SE, _RIGHT])
    known = known.assign(variance=known[_SE] ** 2, difference=known[_LEFT] - known[_RIGHT])
    grouped = known.groupby(["series", "panel", "epoch"], sort=False)
    result = grouped[[_LEFT, _RIGHT, _MEAN, "difference"]].mean()
    result[_SE] = np.sqrt(grouped["variance"].sum()) / grouped.size()
    return result.assign(n=grouped.size()).reset_index()


def _panels(above: Axes, below: Axes, part: pd.DataFrame) -> None:
    part = part.sort_values("epoch")
    epoch = part["epoch"].to_numpy(np.float64)
    above.errorbar(
        epoch, part[_LEFT], yerr=2 * part[_SE], capsize=3, linewidth=1.9, markersize=5,
        label="left", **line_style(0),
    )  # fmt: skip
    above.plot(epoch, part[_RIGHT], linewidth=1.9, markersize=5, label="right", **line_style(1))
    above.plot(epoch, part[_MEAN], linewidth=1.5, markersize=4, label="at mean", **line_style(2))
    below.errorbar(
        epoch, part["difference"], yerr=2 * part[_SE], capsize=3, linewidth=1.9, markersize=5,
        label="difference", **_DIFFERENCE,
    )  # fmt: skip
    below.axhline(0, color=GREY, linewidth=1, linestyle=(0, (1, 1.5)))
    for axes in (above, below):
        whole_ticks(axes)


def _seen(shown: pd.DataFrame) -> str:
    """How well the panels support the claim that both sides are about equal."""
    apart = int((shown["difference"].abs() > 2 * shown[_SE]).sum())
    return (
        f"Left and right are more than two standard errors apart at {apart} of {len(shown)} "
        "points. They need not agree: the right side has no term for the slope of the loss at µ, "
        "which is not the distribution's mean in that basis, and higher terms matter if "
        "concentrations are near 1."
    )


@styled
def _proposition1(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    chosen = select(data, multi_trial=False)
    frame = sides(chosen.epochs(data, [_LEFT, _SE, _RIGHT, _MEAN]))
    if frame.empty:
        raise Missing(
            "no run measured Proposition 1: search with drnas and --set diagnostics.proposition1=10"
        )
    shown = pairs(frame)
    handles = [
        Line2D([], [], label="left side: mean loss over draws, ± 2 standard errors",
               **line_style(0)),
        Line2D([], [], label="right side: L(µ) + ½ tr(ΣH)", **line_style(1)),
        Line2D([], [], label="its first term L(µ)", **line_style(2)),
        Line2D([], [], label="left minus right, ± 2 standard errors", **_DIFFERENCE),
    ]  # fmt: skip
    drawn = pd.concat(
        frame[(frame["series"] == series) & (frame["panel"] == panel)]
        for series, panel in shown[:_MOST]
    )
    cut = f" The first {_MOST} of {len(shown)}." if len(shown) > _MOST else ""
    figure, axes = page(
        (2, len(shown[:_MOST])),
        "Proposition 1: both sides measured",
        "Validation loss on a fixed batch. µ and Σ: Laplace approximation of the Dirichlet "
        "distributions; H: Hessian at µ. Means over seeds; the standard error is that of the draws "
        f"(of their mean over seeds). {_seen(drawn)} {chosen.facts}{cut}",
        handles,
        (3.7, 2.7),
    )
    for column, (series, panel) in enumerate(shown[:_MOST]):
        part = drawn[(drawn["series"] == series) & (drawn["panel"] == panel)]
        above, below = axes[0][column], axes[1][column]
        _panels(above, below, part)
        first = column == 0
        style_axes(above, f"{series}, {panel}", "", "validation loss, nats" if first else "")
        style_axes(below, "", "epoch", "left minus right, nats" if first else "")
    return figure


PROPOSITION1 = FigureKind(
    "proposition1",
    "Both sides of the paper's Proposition 1 and their difference, measured during the search.",
    _proposition1,
    details="Means over seeds, with two standard errors of the draws.",
    needs=(Needs.dirichlet, Needs.diagnostics),
)
