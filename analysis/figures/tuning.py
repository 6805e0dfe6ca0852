"""Figures of a tuning: its points in parallel coordinates, and which key matters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analysis.figures.base import FigureKind, Missing, Needs
from analysis.records.benchmark import BenchmarkTable
from analysis.records.collect import Collected
from analysis.tuning.importance import importance
from analysis.tuning.results import Tuning, tunings, value_text
from drnas_ray.core.errors import UserError
from drnas_ray.results.status import Status, counts_text

Array = np.ndarray[Any, np.dtype[np.float64]]


def _tunings(data: Collected) -> list[Tuning]:
    found = [tuning for tuning in tunings(data.runs) if len(tuning.done)]
    if not found:
        raise Missing("no point of a tuning is done: run a sweep with a `search:` section")
    return found


def _title(tuning: Tuning) -> str:
    return f"{tuning.label} on {tuning.dataset}"


def draw_parallel(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    """A line per point across an axis per key, coloured by objective; dashed: points not done."""
    found = _tunings(data)
    width = max(6.0, 1.5 * (1 + max(len(tuning.keys) for tuning in found)))
    figure = Figure(figsize=(width, 4.0 * len(found)), layout="constrained")
    for axes, tuning in zip(np.atleast_1d(figure.subplots(len(found))), found, strict=True):
        _parallel(figure, axes, tuning)
    return figure


def _parallel(figure: Figure, axes: Axes, tuning: Tuning) -> None:
    shown = tuning.points["objective"].notna().to_numpy()
    objective = tuning.points["objective"].to_numpy(float)
    done = tuning.points["status"].eq(Status.done).to_numpy()
    columns = [_scaled(axes, place, tuning, key) for place, key in enumerate(tuning.keys)]
    low, high = objective[shown].min(), objective[shown].max()
    columns.append((objective - low) / (high - low or 1.0))
    for share in (0.0, 0.5, 1.0):
        _tick(axes, len(columns) - 1, share, value_text(float(low + share * (high - low))))
    norm, colours = Normalize(low, high), colormaps["viridis" if tuning.largest else "viridis_r"]
    order = np.argsort(objective if tuning.largest else -objective)  # the best on top
    for number in order:
        if shown[number]:
            axes.plot(
                [column[number] for column in columns],
                color=colours(norm(objective[number])),
                linewidth=1.6 if done[number] else 0.8,
                linestyle="-" if done[number] else "--",
                alpha=0.9 if done[number] else 0.5,
            )
    for place in range(len(columns)):
        axes.axvline(place, color="#444444", linewidth=0.8, zorder=0)
    names = [f"{key}\n(log)" if "log" in tuning.kind(key) else key for key in tuning.keys]
    axes.set_xticks(range(len(columns)), [*names, tuning.metric])
    axes.set_yticks([])
    axes.set_xlim(-0.35, len(columns) - 0.55)
    axes.set_ylim(-0.06, 1.06)
    axes.spines[:].set_visible(False)
    others = counts_text(tuning.points["status"][shown])
    dashed = f"; dashed: {others}" if others else ""
    axes.set_title(f"{_title(tuning)}\n{int(done.sum())} points{dashed}", fontsize=10)
    bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes, pad=0.01)
    bar.set_label(tuning.metric)


def _scaled(axes: Axes, place: int, tuning: Tuning, key: str) -> Array:
    """(points,) coordinates of the key, from 0 to 1 over its space; draws ticks on its axis."""
    found = tuning.coordinates(key)
    if tuning.kind(key) == "choice":
        options = tuning.options(key)
        for number, option in enumerate(options):
            _tick(axes, place, number / (len(options) - 1), value_text(option))
        return found / (len(options) - 1)
    low, high = tuning.search["space"][key][tuning.kind(key)][:2]
    log = "log" in tuning.kind(key)
    first, last = (math.log(low), math.log(high)) if log else (low, high)
    for share in (0.0, 0.5, 1.0):
        value = first + share * (last - first)
        _tick(axes, place, share, value_text(math.exp(value) if log else float(value)))
    return np.asarray((found - first) / (last - first), dtype=np.float64)


def _tick(axes: Axes, place: int, height: float, text: str) -> None:
    axes.text(place - 0.03, height, text, ha="right", va="center", fontsize=8, color="#444444")


def draw_importance(data: Collected, benchmark: BenchmarkTable | None) -> Figure:
    """A bar per key: how much a random forest's error rises when the key's values are shuffled."""
    found = []
    why = "no tuning"
    for tuning in _tunings(data):
        try:
            found.append((tuning, importance(tuning)))
        except UserError as error:
            why = str(error)
    if not found:
        raise Missing(why)
    bars = sum(len(tuning.keys) for tuning, _ in found)
    figure = Figure(figsize=(7.0, 1.4 * len(found) + 0.4 * bars), layout="constrained")
    for axes, (tuning, result) in zip(
        np.atleast_1d(figure.subplots(len(found))), found, strict=True
    ):
        keys = sorted(result.share, key=lambda key: result.share[key])
        axes.barh(keys, [result.share[key] for key in keys], color="#3b6ea5", height=0.6)
        axes.axvline(0, color="#444444", linewidth=0.8)
        axes.set_xlabel("rise of the squared error when shuffled / variance of the objective")
        axes.set_title(
            f"{_title(tuning)}\n{tuning.metric}, {result.points} points, held-out R² of the forest "
            f"{result.r2:.2f}",
            fontsize=10,
        )
        axes.spines[["top", "right"]].set_visible(False)
    return figure


PARALLEL = FigureKind(
    "tuning-parallel",
    "Every point of a tuning as a line across its settings, coloured by its objective.",
    draw_parallel,
    needs=(Needs.tuning,),
)
IMPORTANCE = FigureKind(
    "tuning-importance",
    "Which tuned setting matters: permutation importance of a random forest on held-out points.",
    draw_importance,
    details="Explained in [tuning.md](tuning.md).",
    needs=(Needs.tuning,),
)
