"""Draws from Dirichlet distributions on the simplex: small, unit and large concentration."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.figures.base import FigureKind, Missing
from analysis.figures.edges import edge_names
from analysis.figures.page import LABEL_PT, page
from analysis.figures.select import select
from analysis.figures.strengths import entropies, generator, strength_chunks
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.style import INK, PALETTE, styled
from drnas_ray.spaces import SPACES

POINTS = 600
_WIDTH = 32  # letters of a panel's title
SYMMETRIC = (0.2, 1.0, 10.0)
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
_ABOUT = ("sparse: one share takes all", "uniform on the simplex", "dense: near equal shares")


def learnt_edge(data: Collected) -> tuple[str, list[str], NDArray[np.float64]] | None:
    """Title, names and concentrations of the three strongest operations of a learnt edge.

    It is the edge of lowest entropy after the last epoch of the first done DrNAS run; None without
    one. The three shares divided by their sum are Dirichlet with these concentrations.
    """
    try:
        chosen = select(data, distribution="dirichlet")
    except Missing:
        return None
    run = chosen.runs.iloc[0]
    epochs = chosen.epochs(data, ["strengths"])
    mine = epochs[epochs["run_id"] == run["run_id"]].sort_values("epoch")
    if run["space"] not in SPACES or mine.empty:
        return None
    space = SPACES[run["space"]]
    last = mine.iloc[-1:]
    for _, strengths in strength_chunks(last["strengths"], space.shape):
        if not np.isfinite(strengths).all() or not len(strengths):
            return None
        beta = strengths[0].reshape(-1, len(space.ops))
        edge = int(np.nanargmin(entropies(beta)))
        top = np.argsort(-beta[edge], kind="stable")[:3]
        if (beta[edge, top] <= 0).any():
            return None
        title = f"learnt: {edge_names(space)[edge]} of {run['series']} on {run['panel']}, "
        title += f"seed {run['seed']}, epoch {last['epoch'].iloc[0]}"
        title = textwrap.fill(title, _WIDTH)
        return title, [space.ops[op] for op in top], beta[edge, top]
    return None


def _triangle(
    axes: Axes, beta: NDArray[np.float64], title: str, names: list[str], colour: str
) -> None:
    draws = generator("simplex " + title).dirichlet(beta, POINTS)
    axes.fill(*_CORNERS.T, facecolor="none", edgecolor=INK, linewidth=1.2)
    axes.plot(
        *(draws @ _CORNERS).T,
        linestyle="",
        marker="o",
        markersize=2.8,
        color=colour,
        alpha=0.5,
        markeredgewidth=0,
    )
    mean = beta / beta.sum() @ _CORNERS
    axes.plot(*mean, marker="X", markersize=10, color="white", markeredgecolor=INK)
    texts = [f"{name}\nβ = {value:.3g}" for name, value in zip(names, beta, strict=True)]
    for (x, y), text, side in zip(_CORNERS, texts, ("left", "right", "center"), strict=True):
        shift = (-0.1 if side == "left" else 0.1) if side != "center" else 0
        axes.text(
            x + shift, y + (0.04 if y else -0.05), text, ha=side, va="bottom" if y else "top",
            fontsize=LABEL_PT - 1.5,
        )  # fmt: skip
    axes.set_xlim(-0.14, 1.14)
    axes.set_ylim(-0.26, 1.12)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_title(title, fontsize=LABEL_PT)


@styled
def _simplex(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    learnt = learnt_edge(data)
    caption = (
        f"{POINTS} draws each of the shares of three operations; a corner is one operation alone. "
        "X: the mean. "
    )
    caption += (
        "No DrNAS run is done, so no learnt edge is shown."
        if learnt is None
        else "Learnt: the edge of lowest entropy in the run; its three strongest operations, with "
        "their shares over the sum of the three, whose distribution is Dirichlet with the same β."
    )
    columns = 3 + (learnt is not None)
    figure, axes = page(
        (1, columns), "What a Dirichlet distribution draws", caption, panel=(2.75, 3.1)
    )
    for one, value, about in zip(axes[0], SYMMETRIC, _ABOUT, strict=False):
        sign = "≪" if value < 1 else "≫" if value > 1 else "="
        names = ["op 1", "op 2", "op 3"]
        _triangle(one, np.full(3, value), f"β {sign} 1\n{about}", names, PALETTE[0])
    if learnt is not None:
        title, names, beta = learnt
        _triangle(axes[0][3], beta, title, names, PALETTE[1])
    return figure


SIMPLEX = FigureKind(
    "simplex",
    "Draws from Dirichlet distributions with small, unit and large concentration, and from a "
    "learnt edge.",
    _simplex,
    details="Concentrations are 0.2, 1 and 10 on three operations. The learnt edge is the one of "
    "lowest entropy at the end of the first DrNAS run. It has more operations than the simplex has "
    "corners: shown are the three strongest, with their shares divided by the sum of the three, "
    "whose distribution is Dirichlet with the same concentrations.",
)
